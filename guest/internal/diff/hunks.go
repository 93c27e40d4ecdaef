package diff

import (
	"strconv"
	"strings"
)

// around is how many unchanged lines a hunk shows before and behind its changes.
const around = 3

// span is a change: lines [a0, a1) of the old text are replaced by lines [b0, b1) of the new one.
type span struct {
	a0, a1, b0, b1 int
}

// writeHunks writes the hunks that make new of old.
func writeHunks(text *strings.Builder, old, new []byte) {
	a, b := splitLines(old), splitLines(new)
	spans := compareLines(a, b)
	for len(spans) > 0 {
		together := 1
		for together < len(spans) && spans[together].a0-spans[together-1].a1 <= 2*around {
			together++
		}
		writeHunk(text, a, b, spans[:together])
		spans = spans[together:]
	}
}

func writeHunk(text *strings.Builder, a, b lines, spans []span) {
	first, last := spans[0], spans[len(spans)-1]
	before := min(around, first.a0)
	behind := min(around, a.len()-last.a1)
	a0, a1 := first.a0-before, last.a1+behind
	text.WriteString("@@ -")
	writeRange(text, a0, a1)
	text.WriteString(" +")
	writeRange(text, first.b0-before, last.b1+behind)
	text.WriteString(" @@\n")
	at := a0
	for _, s := range spans {
		writeLines(text, ' ', a, at, s.a0)
		writeLines(text, '-', a, s.a0, s.a1)
		writeLines(text, '+', b, s.b0, s.b1)
		at = s.a1
	}
	writeLines(text, ' ', a, at, a1)
}

// writeRange writes which lines a hunk is about, counted from 1; an empty range is named by the line before it.
func writeRange(text *strings.Builder, from, to int) {
	count := to - from
	if count > 0 {
		from++
	}
	text.WriteString(strconv.Itoa(from))
	if count != 1 {
		text.WriteByte(',')
		text.WriteString(strconv.Itoa(count))
	}
}

func writeLines(text *strings.Builder, sign byte, l lines, from, to int) {
	for i := from; i < to; i++ {
		line := l.at(i)
		text.WriteByte(sign)
		text.Write(line)
		if line[len(line)-1] != '\n' {
			text.WriteString("\n\\ No newline at end of file\n")
		}
	}
}
