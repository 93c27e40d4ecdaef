package patch

import (
	"bytes"
	"strconv"
	"strings"
)

// hunk is a piece of a file before and after.
type hunk struct {
	line     int // of its header in the patch, from 1
	oldStart int
	oldCount int
	newCount int
	body     []byte // its lines with their signs
	leading  int    // unchanged lines before the first change
	trailing int    // unchanged lines behind the last change
}

// maxNumber bounds line numbers. No file has as many lines.
const maxNumber = 1 << 30

func readHunk(scan *scanner) (hunk, error) {
	h := hunk{line: scan.line}
	header := string(scan.next())
	ranges, _, closed := strings.Cut(header[len("@@ "):], " @@")
	old, new, both := strings.Cut(ranges, " ")
	var ok, alsoOK bool
	if closed && both && strings.HasPrefix(new, "+") {
		h.oldStart, h.oldCount, ok = parseRange(old[1:])
		_, h.newCount, alsoOK = parseRange(new[1:])
	}
	if !ok || !alsoOK {
		return h, failAt(h.line, "this is no header of a hunk: @@ -LINE,COUNT +LINE,COUNT @@")
	}
	start := scan.at
	if err := h.readBody(scan); err != nil {
		return h, err
	}
	h.body = scan.text[start:scan.at]
	return h, h.refuseMore(scan)
}

func parseRange(text string) (start, count int, ok bool) {
	first, second, both := strings.Cut(text, ",")
	if !both {
		second = "1"
	}
	from, err := strconv.ParseUint(first, 10, 31)
	number, alsoErr := strconv.ParseUint(second, 10, 31)
	return int(from), int(number), err == nil && alsoErr == nil && from < maxNumber && number < maxNumber
}

// readBody reads the lines that the header announced.
func (h *hunk) readBody(scan *scanner) error {
	old, new := h.oldCount, h.newCount
	oldEnded, newEnded := false, false // by a line without newline
	var last byte                      // sign of the line before
	empty, changed := false, false
	for old > 0 || new > 0 || scan.startsWith("\\") {
		if !scan.more() {
			return failAt(scan.line, "the patch ends within a hunk: it lacks %d old and %d new lines", old, new)
		}
		sign := signOf(scan.peek(0))
		isOld, isNew := sign == ' ' || sign == '-', sign == ' ' || sign == '+'
		switch {
		case sign == '\\' && last != 0 && last != '\\' && !empty:
			oldEnded, newEnded = oldEnded || last != '+', newEnded || last != '-'
		case sign == 0 || sign == '\\':
			return failAt(scan.line, "this line fits nowhere in the hunk, which lacks %d old and %d new lines", old, new)
		case isOld && old == 0 || isNew && new == 0:
			return failAt(scan.line, "the hunk has more lines than its header says")
		case isOld && oldEnded || isNew && newEnded:
			return failAt(scan.line, "a line follows the one without newline")
		}
		old, new = old-count(isOld), new-count(isNew)
		h.countContext(sign, &changed)
		last, empty = sign, len(scan.next()) <= 1
	}
	return nil
}

// signOf returns what kind of line of a hunk this is, 0 if it is none. Some programs cut the blank off an empty line.
func signOf(line []byte) byte {
	switch {
	case len(line) == 0 || len(line) == 1 && line[0] == '\r':
		return ' '
	case strings.IndexByte(" +-\\", line[0]) >= 0:
		return line[0]
	}
	return 0
}

func count(one bool) int {
	if one {
		return 1
	}
	return 0
}

func (h *hunk) countContext(sign byte, changed *bool) {
	switch {
	case sign == '+' || sign == '-':
		*changed = true
		h.trailing = 0
	case sign == ' ' && *changed:
		h.trailing++
	case sign == ' ':
		h.leading++
	}
}

// refuseMore looks at what follows a hunk. Lines that look as if they belonged to it must not get lost silently.
func (h *hunk) refuseMore(scan *scanner) error {
	line := scan.peek(0)
	switch {
	case len(line) == 0 || hasSignature(line):
		return nil
	case scan.startsWith("--- ") && bytes.HasPrefix(scan.peek(1), []byte("+++ ")):
		return nil
	case line[0] == ' ' || line[0] == '+' || line[0] == '-':
		return failAt(scan.line, "the hunk has more lines than its header says")
	}
	return nil
}

// texts returns what the hunk replaces, and by what. With carriage returns, each newline gets one before it.
func (h *hunk) texts(carriageReturns bool) (old, new []byte) {
	rest := h.body
	for len(rest) > 0 {
		end := bytes.IndexByte(rest, '\n') + 1
		line := rest[:end]
		rest = rest[end:]
		sign := signOf(line[:end-1])
		if sign == '\\' {
			continue
		}
		text := line
		if line[0] == sign {
			text = line[1:]
		}
		text = text[:len(text)-1]
		ending := "\n"
		if len(rest) > 0 && rest[0] == '\\' {
			ending = ""
		} else if carriageReturns {
			ending = "\r\n"
		}
		if sign != '+' {
			old = append(append(old, text...), ending...)
		}
		if sign != '-' {
			new = append(append(new, text...), ending...)
		}
	}
	return old, new
}
