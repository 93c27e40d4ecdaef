package diff

import (
	"bytes"
	"hash/maphash"
	"math/bits"
)

// lines is a text cut into lines, each with its newline; the last may have none.
type lines struct {
	text   []byte
	starts []int32 // of each line, and the end of the text
}

func splitLines(text []byte) lines {
	starts := make([]int32, 0, bytes.Count(text, []byte{'\n'})+2)
	for at := 0; at < len(text); {
		starts = append(starts, int32(at))
		length := bytes.IndexByte(text[at:], '\n') + 1
		if length == 0 {
			length = len(text) - at
		}
		at += length
	}
	return lines{text, append(starts, int32(len(text)))}
}

func (l lines) len() int        { return len(l.starts) - 1 }
func (l lines) at(i int) []byte { return l.text[l.starts[i]:l.starts[i+1]] }

// middle returns the lines from the i-th on, without the last n.
func (l lines) middle(i, n int) lines { return lines{l.text, l.starts[i : len(l.starts)-n]} }

// number gives each line a number, the same to equal lines only, and says how many numbers there are.
func number(a, b lines) (inA, inB []int32, count int) {
	lines := a.len() + b.len()
	table := numberTable{seed: maphash.MakeSeed(), slots: make([]int32, 1<<bits.Len(uint(lines+lines/2)))}
	inA, inB = make([]int32, a.len()), make([]int32, b.len())
	for i := range inA {
		inA[i] = table.number(a.at(i))
	}
	for i := range inB {
		inB[i] = table.number(b.at(i))
	}
	return inA, inB, len(table.known)
}

// numberTable is a hash table with open addressing. A map would take several times the memory of the texts.
type numberTable struct {
	seed  maphash.Seed // random: nobody can prepare lines that collide
	slots []int32      // number + 1 of a line; 0 is free
	known [][]byte
}

func (t *numberTable) number(line []byte) int32 {
	mask := uint64(len(t.slots) - 1)
	for slot := maphash.Bytes(t.seed, line) & mask; ; slot = (slot + 1) & mask {
		switch found := t.slots[slot]; {
		case found == 0:
			t.known = append(t.known, line)
			t.slots[slot] = int32(len(t.known))
			return int32(len(t.known) - 1)
		case bytes.Equal(t.known[found-1], line):
			return found - 1
		}
	}
}
