package patch

import (
	"bytes"
	"fmt"
	"slices"
)

// maxSearch is how many bytes of files are searched for hunks that are not where they say, over a whole patch.
const maxSearch = 1 << 30

// hunkError says which hunk of a section does not fit, counted from 1, and why.
type hunkError struct {
	hunk   int
	reason string
}

// editor works hunks into a text, from its start to its end.
type editor struct {
	text   []byte
	starts []int32 // of each line, and the end of the text
	done   int     // bytes of text that are accounted for
	shift  int     // how many lines below its own number the last hunk was found
	made   []byte
	search *int // bytes that may yet be searched
}

// edit returns what hunks make of a text.
func edit(text []byte, hunks []hunk, carriageReturns bool, search *int) ([]byte, *hunkError) {
	e := editor{text: text, starts: lineStarts(text), search: search}
	for i := range hunks {
		if reason := e.apply(&hunks[i], carriageReturns); reason != "" {
			return nil, &hunkError{i + 1, reason}
		}
	}
	return append(e.made, text[e.done:]...), nil
}

func lineStarts(text []byte) []int32 {
	starts := make([]int32, 0, bytes.Count(text, []byte("\n"))+2)
	for at := 0; at < len(text); {
		starts = append(starts, int32(at))
		length := bytes.IndexByte(text[at:], '\n') + 1
		if length == 0 {
			length = len(text) - at
		}
		at += length
	}
	return append(starts, int32(len(text)))
}

// lines is how many lines the text has.
func (e *editor) lines() int { return len(e.starts) - 1 }

// apply does one hunk, or says why it cannot.
func (e *editor) apply(h *hunk, carriageReturns bool) (reason string) {
	old, new := h.texts(carriageReturns)
	own := h.oldStart - 1 // its place, as a line counted from 0
	if h.oldCount == 0 {
		own = h.oldStart // behind that line
	}
	wanted := piece{old: old, toEnd: !endsLine(old) || !endsLine(new)}
	at, found := e.locate(wanted, h, own+e.shift)
	if !found {
		return e.complain(wanted, own+e.shift)
	}
	e.shift = at - own
	start := int(e.starts[at])
	if len(e.made)+start-e.done+len(new) > MaxFile {
		return fmt.Sprintf("the file would be larger than %d bytes", MaxFile)
	}
	e.made = append(append(e.made, e.text[e.done:start]...), new...)
	e.done = start + len(old)
	return ""
}

func endsLine(text []byte) bool { return len(text) == 0 || text[len(text)-1] == '\n' }

// piece is what to find in a text: lines, and whether nothing may follow them.
type piece struct {
	old   []byte
	toEnd bool
}

// fits tells whether the piece stands at a line.
func (e *editor) fits(p piece, line int) bool {
	if line < 0 || line > e.lines() {
		return false
	}
	start := int(e.starts[line])
	end := start + len(p.old)
	switch {
	case start < e.done || !bytes.HasPrefix(e.text[start:], p.old):
		return false
	case p.toEnd && end != len(e.text):
		return false
	case len(p.old) == 0 && !endsLine(e.text[:start]): // it would be joined to the last line
		return false
	}
	return true
}

// locate returns the line at which to apply a hunk: the end of the text if it fits there and has no lines behind its
// changes, as git has it; else the guess; else the nearest line, the later of two.
func (e *editor) locate(p piece, h *hunk, guess int) (line int, found bool) {
	if len(p.old) > 0 && (p.toEnd || h.trailing == 0 && h.leading > 0) {
		last, exact := slices.BinarySearch(e.starts, int32(len(e.text)-len(p.old)))
		if exact && e.fits(p, last) {
			return last, true
		}
	}
	if e.fits(p, guess) {
		return guess, true
	}
	if len(p.old) == 0 || p.toEnd {
		return 0, false
	}
	return e.nearest(p.old, guess)
}

// nearest searches all that is left of the text, in time that grows with nothing but its length (the algorithm of Knuth,
// Morris and Pratt).
func (e *editor) nearest(old []byte, guess int) (line int, found bool) {
	retreat := retreats(old)
	matched := 0
	i := e.done
	for ; i < len(e.text) && i-e.done < *e.search; i++ {
		for matched > 0 && (matched == len(old) || e.text[i] != old[matched]) {
			matched = int(retreat[matched])
		}
		if e.text[i] == old[matched] {
			matched++
		}
		if matched < len(old) {
			continue
		}
		at, isLine := slices.BinarySearch(e.starts, int32(i+1-len(old)))
		if !isLine {
			continue
		}
		if !found || distance(at, guess) <= distance(line, guess) {
			line, found = at, true
		}
		if at >= guess {
			break
		}
	}
	*e.search -= i - e.done
	return line, found && *e.search > 0
}

// retreats tells, for every number of bytes that match, how many still match one byte later.
func retreats(old []byte) []int32 {
	table := make([]int32, len(old)+1)
	for i, length := 1, int32(0); i < len(old); i++ {
		for length > 0 && old[i] != old[length] {
			length = table[length]
		}
		if old[i] == old[length] {
			length++
		}
		table[i+1] = length
	}
	return table
}

func distance(a, b int) int { return max(a-b, b-a) }

// complain says what stands where a hunk should fit.
func (e *editor) complain(p piece, guess int) string {
	if *e.search <= 0 {
		return "the place of the hunk is not found in reasonable time"
	}
	if guess < 0 || guess >= e.lines() || len(p.old) == 0 {
		return fmt.Sprintf("the file ends at line %d, before the place of the hunk", e.lines())
	}
	if int(e.starts[guess]) < e.done {
		return "it overlaps the hunk before it, or stands before it"
	}
	there, wanted := e.text[e.starts[guess]:], p.old
	for line := guess + 1; ; line++ {
		have, want := firstLine(there), firstLine(wanted)
		if len(want) == 0 {
			return fmt.Sprintf("the hunk is at the end of its file, but here line %d follows", line)
		}
		if !bytes.Equal(have, want) {
			return fmt.Sprintf("line %d of the file is %.80q where the hunk expects %.80q", line, have, want)
		}
		there, wanted = there[len(have):], wanted[len(want):]
	}
}

func firstLine(text []byte) []byte {
	if end := bytes.IndexByte(text, '\n'); end >= 0 {
		return text[:end+1]
	}
	return text
}
