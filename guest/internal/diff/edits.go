package diff

import (
	"bytes"
	"cmp"
	"slices"
)

// compareLines tells which lines of a to replace by which of b, in order.
//
// Lines that stand once in both texts, and in the same order, are taken to be the same ones (the patience method); what
// is between two of them is compared by Myers' algorithm with bounded effort. So the answer is always right, seldom
// longer than it must be, and found in time that hardly grows faster than the texts, whatever they are.
func compareLines(a, b lines) []span {
	head := 0
	for head < min(a.len(), b.len()) && bytes.Equal(a.at(head), b.at(head)) {
		head++
	}
	tail := 0
	for tail < min(a.len(), b.len())-head && bytes.Equal(a.at(a.len()-1-tail), b.at(b.len()-1-tail)) {
		tail++
	}
	e := newEdits(number(a.middle(head, tail), b.middle(head, tail)))
	e.find()
	return e.spans(head)
}

// edits collects which lines of a are not in b, and which of b not in a. Lines are numbers below count.
type edits struct {
	a, b              []int32
	deleted, inserted []bool
	inA, inB          []int32 // by number: how many there are in a part of a, of b; zero between uses
	keptA, keptB      []int32 // of a gap: the lines that stand in both parts, by index
	trace             trace
}

func newEdits(a, b []int32, count int) *edits {
	return &edits{
		a: a, b: b,
		deleted: make([]bool, len(a)), inserted: make([]bool, len(b)),
		inA: make([]int32, count), inB: make([]int32, count),
	}
}

func (e *edits) find() {
	e.trace.effort = effortFor(len(e.a) + len(e.b))
	a, b := 0, 0
	for _, anchor := range e.anchors() {
		e.gap(a, int(anchor.a), b, int(anchor.b))
		a, b = int(anchor.a)+1, int(anchor.b)+1
	}
	e.gap(a, len(e.a), b, len(e.b))
}

// anchor is a line of a that is taken to be a line of b.
type anchor struct {
	a, b int32
}

// anchors returns the longest sequence, rising in both texts, of lines that stand once in each.
func (e *edits) anchors() []anchor {
	e.tally(e.a, e.b, 1)
	at := make([]int32, len(e.inA)) // where in b the number stands
	for i, number := range e.b {
		at[number] = int32(i)
	}
	var candidates []anchor
	for i, number := range e.a {
		if e.inA[number] == 1 && e.inB[number] == 1 {
			candidates = append(candidates, anchor{int32(i), at[number]})
		}
	}
	e.tally(e.a, e.b, -1)
	return longestRise(candidates)
}

// tally counts the lines of two parts, or with -1 takes the counts back.
func (e *edits) tally(a, b []int32, by int32) {
	for _, number := range a {
		e.inA[number] += by
	}
	for _, number := range b {
		e.inB[number] += by
	}
}

// longestRise returns a longest subsequence that rises in b of what rises in a.
func longestRise(all []anchor) []anchor {
	var tops []int32 // by length: the index of the lowest end of a rise of that length
	before := make([]int32, len(all))
	for i, next := range all {
		length, _ := slices.BinarySearchFunc(tops, next.b, func(top, b int32) int { return cmp.Compare(all[top].b, b) })
		before[i] = -1
		if length > 0 {
			before[i] = tops[length-1]
		}
		if length == len(tops) {
			tops = append(tops, 0)
		}
		tops[length] = int32(i)
	}
	rise := make([]anchor, len(tops))
	if len(tops) > 0 {
		at := tops[len(tops)-1]
		for i := range slices.Backward(rise) {
			rise[i] = all[at]
			at = before[at]
		}
	}
	return rise
}

// gap compares lines [a0, a1) of a with [b0, b1) of b. Lines without an equal on the other side are changes for certain;
// the others are left to Myers' algorithm.
func (e *edits) gap(a0, a1, b0, b1 int) {
	for a0 < a1 && b0 < b1 && e.a[a0] == e.b[b0] {
		a0, b0 = a0+1, b0+1
	}
	for a0 < a1 && b0 < b1 && e.a[a1-1] == e.b[b1-1] {
		a1, b1 = a1-1, b1-1
	}
	e.tally(e.a[a0:a1], e.b[b0:b1], 1)
	e.keptA = sift(e.keptA[:0], e.a, e.inB, e.deleted, a0, a1)
	e.keptB = sift(e.keptB[:0], e.b, e.inA, e.inserted, b0, b1)
	e.tally(e.a[a0:a1], e.b[b0:b1], -1)
	e.myers()
}

// sift returns the lines, by index, of which the other side has some, and marks the others.
func sift(kept, text, others []int32, marks []bool, from, to int) []int32 {
	for i := from; i < to; i++ {
		if others[text[i]] > 0 {
			kept = append(kept, int32(i))
		} else {
			marks[i] = true
		}
	}
	return kept
}

// spans turns the marks into changes; head is how many equal lines come before the texts.
func (e *edits) spans(head int) []span {
	var spans []span
	for a, b := 0, 0; a < len(e.a) || b < len(e.b); a, b = a+1, b+1 {
		s := span{a0: a + head, b0: b + head}
		for a < len(e.a) && e.deleted[a] {
			a++
		}
		for b < len(e.b) && e.inserted[b] {
			b++
		}
		if s.a1, s.b1 = a+head, b+head; s.a1 > s.a0 || s.b1 > s.b0 {
			spans = append(spans, s)
		}
	}
	return spans
}
