package patch

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// gitHeader is what stands between "diff --git" and the hunks.
type gitHeader struct {
	section
	first              pair // of the first line, where that can be told apart
	from, to           string
	labelled           bool
	oldLabel, newLabel label
}

// gitSection reads what git diff writes.
func gitSection(scan *scanner) (*section, error) {
	header := gitHeader{section: section{line: scan.line}}
	first := scan.next()
	header.first = cutPair(strings.TrimSuffix(string(first[len("diff --git "):]), "\r"))
	if err := header.read(scan); err != nil {
		return nil, err
	}
	if err := header.name(); err != nil {
		return nil, failAt(header.line, "%v", err)
	}
	s := &header.section
	if err := readHunks(scan, s); err != nil {
		return nil, err
	}
	if s.action == modify && len(s.hunks) == 0 && s.newMode == s.oldMode {
		return nil, failAt(s.line, "this section changes nothing")
	}
	return s, s.check()
}

// read reads the lines that follow the first, up to the hunks.
func (h *gitHeader) read(scan *scanner) error {
	for scan.more() {
		if isBinary(scan) {
			return failAt(scan.line, "binary patches are not supported")
		}
		if scan.startsWith("--- ") {
			var err error
			h.labelled = true
			h.oldLabel, h.newLabel, err = readLabels(scan)
			return err
		}
		line := strings.TrimSuffix(string(scan.peek(0)), "\r")
		known, err := h.take(line)
		if err != nil {
			return failAt(scan.line, "%v", err)
		}
		if !known {
			return nil
		}
		scan.next()
	}
	return nil
}

// take understands one line of the header, or says that it is none.
func (h *gitHeader) take(line string) (known bool, err error) {
	for _, field := range []struct {
		prefix string
		take   func(rest string) error
	}{
		{"index ", h.takeIndex},
		{"old mode ", func(rest string) error { return parseMode(rest, &h.oldMode) }},
		{"new mode ", func(rest string) error { return parseMode(rest, &h.newMode) }},
		{"new file mode ", func(rest string) error { h.action = create; return parseMode(rest, &h.newMode) }},
		{"deleted file mode ", func(rest string) error { h.action = remove; return parseMode(rest, &h.oldMode) }},
		{"similarity index ", func(string) error { return nil }},
		{"dissimilarity index ", func(string) error { return nil }},
		{"rename from ", func(rest string) error { h.action = rename; return takeName(rest, &h.from) }},
		{"rename to ", func(rest string) error { h.action = rename; return takeName(rest, &h.to) }},
		{"copy from ", func(rest string) error { h.action = duplicate; return takeName(rest, &h.from) }},
		{"copy to ", func(rest string) error { h.action = duplicate; return takeName(rest, &h.to) }},
	} {
		if rest, found := strings.CutPrefix(line, field.prefix); found {
			return true, field.take(rest)
		}
	}
	return false, nil
}

// takeIndex reads "OLD..NEW MODE". The mode is there if it does not change.
func (h *gitHeader) takeIndex(rest string) error {
	_, mode, found := strings.Cut(rest, " ")
	if !found {
		return nil
	}
	if err := parseMode(mode, &h.oldMode); err != nil {
		return err
	}
	h.newMode = h.oldMode
	return nil
}

func parseMode(text string, mode *uint32) error {
	value, err := strconv.ParseUint(strings.TrimSpace(text), 8, 32)
	if err != nil || value&typeMask == 0 || value&^uint64(typeMask|0o7777) != 0 {
		return fmt.Errorf("%.40q is no mode", text)
	}
	*mode = uint32(value)
	return nil
}

func takeName(text string, name *string) (err error) {
	*name, _, err = cutName(text)
	return err
}

// name finds out which paths the section is about: git says it up to three times.
func (h *gitHeader) name() error {
	if h.action == rename || h.action == duplicate {
		h.old, h.new = h.from, h.to
		if h.old == "" || h.new == "" {
			return fmt.Errorf("a rename or copy needs both names")
		}
		return nil
	}
	names := h.first
	if h.labelled {
		if h.oldLabel.isNull && (h.newLabel.isNull || h.action == remove) || h.newLabel.isNull && h.action == create {
			return fmt.Errorf("both sides are nothing")
		}
		names = strippedLike(h.first, h.oldLabel, h.newLabel)
		if h.oldLabel.isNull {
			h.action = create
		} else if h.newLabel.isNull {
			h.action = remove
		}
	}
	switch h.old, h.new = names.old, names.new; h.action {
	case create:
		h.old = names.new
	case remove:
		h.new = names.old
	}
	if h.old == "" || h.new == "" {
		return fmt.Errorf("the name of the file cannot be told")
	}
	if h.first.old != "" && (h.old != h.first.old || h.new != h.first.new) {
		return fmt.Errorf("the names %.200q and %.200q of the first line are not the other names of this section",
			h.first.old, h.first.new)
	}
	if h.old != h.new {
		return fmt.Errorf("the names %.200q and %.200q differ, but this is no rename", h.old, h.new)
	}
	return nil
}

// hasSignature tells that a line ends a mail of git format-patch.
func hasSignature(line []byte) bool {
	return bytes.Equal(bytes.TrimRight(line, " \r"), []byte("--"))
}
