package patch

import (
	"bytes"
	"strings"
	"time"
)

// Parse reads a patch. Text around its sections, as in mails, is passed over. Its errors are *ParseError.
func Parse(text []byte) (*Patch, error) {
	if len(text) > MaxText {
		return nil, failAt(0, "the patch has %d bytes; %d are allowed", len(text), MaxText)
	}
	scan, crlf := newScanner(text)
	patch := &Patch{crlf: crlf}
	for scan.more() {
		section, err := nextSection(scan)
		if err != nil {
			return nil, err
		}
		if section == nil {
			continue
		}
		if len(patch.sections) == MaxFiles {
			return nil, failAt(section.line, "the patch has more than %d files", MaxFiles)
		}
		patch.sections = append(patch.sections, *section)
	}
	if len(patch.sections) == 0 {
		return nil, failAt(0, "there is no unified diff in this text")
	}
	return patch, nil
}

// nextSection reads a section, or one line that belongs to none.
func nextSection(scan *scanner) (*section, error) {
	switch {
	case scan.startsWith("diff --git "):
		return gitSection(scan)
	case scan.startsWith("--- ") && bytes.HasPrefix(scan.peek(1), []byte("+++ ")):
		return plainSection(scan)
	case scan.startsWith("@@ -"):
		return nil, failAt(scan.line, "a hunk without the name of a file")
	case scan.startsWith("@@@ -"):
		return nil, failAt(scan.line, "diffs of merges are not supported")
	case isBinary(scan):
		return nil, failAt(scan.line, "binary patches are not supported")
	}
	scan.next()
	return nil, nil
}

func isBinary(scan *scanner) bool {
	return scan.startsWith("GIT binary patch") ||
		scan.startsWith("Binary files ") && bytes.HasSuffix(bytes.TrimSpace(scan.peek(0)), []byte(" differ"))
}

// plainSection reads what diff -u writes.
func plainSection(scan *scanner) (*section, error) {
	s := &section{line: scan.line}
	old, new, err := readLabels(scan)
	if err != nil {
		return nil, err
	}
	switch {
	case old.isNull && new.isNull:
		return nil, failAt(s.line, "both sides are nothing")
	case old.isNull || old.isEpoch:
		s.action = create
	case new.isNull || new.isEpoch:
		s.action = remove
	}
	names := stripped(old, new)
	switch {
	case old.isNull:
		s.new = names.new
	case new.isNull:
		s.new = names.old
	case strings.HasPrefix(names.new, names.old): // one is the other with something appended, like .orig
		s.new = names.old
	default:
		s.new = names.new
	}
	s.old = s.new
	if err := readHunks(scan, s); err != nil {
		return nil, err
	}
	if len(s.hunks) == 0 {
		return nil, failAt(s.line, "there is no hunk for this file")
	}
	s.unsure = s.action == modify && len(s.hunks) == 1 && s.hunks[0].oldCount == 0 && s.hunks[0].oldStart == 0
	return s, s.check()
}

// label is what the lines before the hunks say about one side.
type label struct {
	name    string
	isNull  bool // /dev/null
	isEpoch bool // dated 1970, as diff -N does for a file that is not there
}

// readLabels reads the lines "--- " and "+++ ".
func readLabels(scan *scanner) (old, new label, err error) {
	if old, err = readLabel(scan); err != nil {
		return old, new, err
	}
	if !scan.startsWith("+++ ") {
		return old, new, failAt(scan.line, `"+++ " and the name of the new file should stand here`)
	}
	new, err = readLabel(scan)
	return old, new, err
}

func readLabel(scan *scanner) (label, error) {
	line := scan.line
	text := strings.TrimSuffix(string(scan.next()[len("--- "):]), "\r")
	name, date, err := cutName(text)
	if err != nil {
		return label{}, failAt(line, "%v", err)
	}
	if name == "/dev/null" {
		return label{isNull: true}, nil
	}
	return label{name: name, isEpoch: isEpoch(date)}, nil
}

func isEpoch(date string) bool {
	for _, layout := range []string{"2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 -07:00"} {
		if when, err := time.Parse(layout, strings.TrimSpace(date)); err == nil && when.Equal(time.Unix(0, 0)) {
			return true
		}
	}
	return false
}

// readHunks reads all hunks of a section.
func readHunks(scan *scanner, s *section) error {
	for scan.startsWith("@@ -") {
		h, err := readHunk(scan)
		if err != nil {
			return err
		}
		s.hunks = append(s.hunks, h)
	}
	if isBinary(scan) {
		return failAt(scan.line, "binary patches are not supported")
	}
	return nil
}

// check refuses sections that contradict themselves, or lead where no patch may.
func (s *section) check() (err error) {
	if s.old, err = cleanPath(s.old); err == nil {
		s.new, err = cleanPath(s.new)
	}
	if err != nil {
		return failAt(s.line, "%v", err)
	}
	for _, mode := range []uint32{s.oldMode, s.newMode} {
		if kind := mode & typeMask; kind != 0 && kind != typeFile && kind != typeSymlink {
			return failAt(s.line, "files of mode %o are not supported", mode)
		}
	}
	if s.oldMode != 0 && s.newMode != 0 && s.oldMode&typeMask != s.newMode&typeMask {
		return failAt(s.line, "a file becomes a link, or a link a file: this takes a deletion and a creation")
	}
	for _, h := range s.hunks {
		if s.action == create && h.oldCount > 0 {
			return failAt(h.line, "a new file has no old lines")
		}
		if s.action == remove && h.newCount > 0 {
			return failAt(h.line, "a deleted file has no new lines")
		}
	}
	return nil
}
