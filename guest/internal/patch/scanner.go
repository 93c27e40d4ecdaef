package patch

import "bytes"

// scanner gives the lines of a patch one by one, without their ends.
type scanner struct {
	text []byte
	at   int
	line int // number of the line that comes next
}

// newScanner takes a text of which the last line may lack its end. Where all lines end in CR LF it sees them without CR.
func newScanner(text []byte) (s *scanner, crlf bool) {
	lines := bytes.Count(text, []byte("\n"))
	if lines > 0 && bytes.Count(text, []byte("\r\n")) == lines {
		text, crlf = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), true
		text = bytes.TrimSuffix(text, []byte("\r"))
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(bytes.Clone(text), '\n')
	}
	return &scanner{text: text, line: 1}, crlf
}

func (s *scanner) more() bool { return s.at < len(s.text) }

// peek returns the line that comes next, "" at the end; ahead is how many lines to look beyond it.
func (s *scanner) peek(ahead int) []byte {
	rest := s.text[s.at:]
	for {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return nil
		}
		if ahead == 0 {
			return rest[:end]
		}
		ahead--
		rest = rest[end+1:]
	}
}

func (s *scanner) startsWith(prefix string) bool {
	return bytes.HasPrefix(s.text[s.at:], []byte(prefix))
}

func (s *scanner) next() []byte {
	line := s.peek(0)
	s.at += len(line) + 1
	s.line++
	return line
}
