package diff

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
)

// applied does what hunks say to a text, to the letter: every line must be where and what the hunk says.
func applied(t *testing.T, old, hunks string) string {
	t.Helper()
	source := strings.SplitAfter(old, "\n")
	var result strings.Builder
	at := 0
	lines := strings.SplitAfter(hunks, "\n")
	for i := 0; i < len(lines)-1; {
		var from, count, to, made int
		header, _, _ := strings.Cut(lines[i], " @@")
		scanRange(t, strings.Fields(header)[1], "-", &from, &count)
		scanRange(t, strings.Fields(header)[2], "+", &to, &made)
		if count > 0 {
			from--
		}
		for ; at < from; at++ {
			result.WriteString(source[at])
		}
		for i++; count > 0 || made > 0; i++ {
			sign, text := lines[i][0], lines[i][1:]
			if strings.HasPrefix(lines[i+1], "\\") {
				text = strings.TrimSuffix(text, "\n")
			}
			if sign != '+' {
				if source[at] != text {
					t.Fatalf("%q is not line %d, %q", text, at+1, source[at])
				}
				at, count = at+1, count-1
			}
			if sign != '-' {
				result.WriteString(text)
				made--
			}
			if strings.HasPrefix(lines[i+1], "\\") {
				i++
			}
		}
	}
	return result.String() + strings.Join(source[at:], "")
}

func scanRange(t *testing.T, text, sign string, from, count *int) {
	t.Helper()
	*count = 1
	first, second, both := strings.Cut(strings.TrimPrefix(text, sign), ",")
	if _, err := fmt.Sscan(first, from); err != nil {
		t.Fatal(text, err)
	}
	if both {
		if _, err := fmt.Sscan(second, count); err != nil {
			t.Fatal(text, err)
		}
	}
}

func hunksOf(old, new string) string {
	var text strings.Builder
	writeHunks(&text, []byte(old), []byte(new))
	return text.String()
}

func TestHunksShowThreeLinesAround(t *testing.T) {
	for _, c := range []struct{ name, old, new, hunks string }{
		{"first text", "", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n"},
		{"last line gone", "a\n", "", "@@ -1 +0,0 @@\n-a\n"},
		{"in the middle", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
			"@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"},
		{"six lines apart", "a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
			"@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n"},
		{"seven lines apart", "a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
			"@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n"},
		{"newline at the end comes", "a", "a\n", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"},
		{"no newline on either side", "a\nb", "c\nb",
			"@@ -1,2 +1,2 @@\n-a\n+c\n b\n\\ No newline at end of file\n"},
		{"an inserted block", "a\nb\n", "a\na\nb\n", "@@ -1,2 +1,3 @@\n a\n+a\n b\n"},
	} {
		if got := hunksOf(c.old, c.new); got != c.hunks {
			t.Errorf("%s:\n%s", c.name, got)
		}
	}
}

// TestHunksTurnTheOldTextIntoTheNew tries texts of few different lines, of many, moved, edited, and cut off.
func TestHunksTurnTheOldTextIntoTheNew(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 6000 {
		old := randomText(random, random.IntN(60), 1+random.IntN(40))
		new := edited(random, old, random.IntN(12))
		if round%5 == 0 {
			new = randomText(random, random.IntN(60), 1+random.IntN(10))
		}
		if got := applied(t, old, hunksOf(old, new)); got != new {
			t.Fatalf("%q to %q gives %q", old, new, got)
		}
	}
}

// TestHunksAreRightWhereTheEffortIsBounded has Myers' algorithm commit itself early and often.
func TestHunksAreRightWhereTheEffortIsBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		old, new := randomText(random, 80, 3), randomText(random, 80, 3)
		a, b := splitLines([]byte(old)), splitLines([]byte(new))
		e := newEdits(number(a, b))
		e.trace.effort = 1 + random.IntN(5)
		e.keptA, e.keptB = indexes(len(e.a)), indexes(len(e.b))
		e.myers()
		var text strings.Builder
		for _, s := range e.spans(0) {
			writeHunk(&text, a, b, []span{s})
		}
		at, result := 0, ""
		for _, s := range e.spans(0) {
			result += join3(a, at, s.a0) + join3(b, s.b0, s.b1)
			at = s.a1
		}
		if result += join3(a, at, a.len()); result != new {
			t.Fatalf("%q to %q gives %q", old, new, result)
		}
	}
}

func join3(l lines, from, to int) string { return string(l.text[l.starts[from]:l.starts[to]]) }

func indexes(n int) []int32 {
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

func TestSmallChangesGiveSmallHunks(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		old := randomText(random, 400, 30) // hardly a line stands once
		new := edited(random, old, 3)
		hunks := hunksOf(old, new)
		if changed := strings.Count("\n"+hunks, "\n+") + strings.Count("\n"+hunks, "\n-"); changed > 3*8 {
			t.Fatalf("%d lines changed:\n%s", changed, hunks)
		}
	}
}

// TestHostileTextsTakeLittleTime has a limit far above what is needed, so that a slow machine does not fail it: the
// quadratic algorithms that it is to find would take minutes.
func TestHostileTextsTakeLittleTime(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for name, pair := range hostileTexts(random) {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		hunks := hunksOf(pair[0], pair[1])
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		t.Logf("%-12s %8v %4d MiB allocated", name, took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
		if took > 15*time.Second {
			t.Error(name, took)
		}
		if after.TotalAlloc-before.TotalAlloc > 256<<20 {
			t.Error(name, "takes too much memory")
		}
		if applied(t, pair[0], hunks) != pair[1] {
			t.Error(name, "gives another text")
		}
	}
}

func hostileTexts(random *rand.Rand) map[string][2]string {
	few := func(lines, kinds int) string {
		var text strings.Builder
		for range lines {
			text.WriteByte(byte('a' + random.IntN(kinds)))
			text.WriteByte('\n')
		}
		return text.String()
	}
	counted := func(from, step, lines int) string {
		var text strings.Builder
		for i := range lines {
			fmt.Fprintf(&text, "%06x\n", from+i*step&0xffffff)
		}
		return text.String()
	}
	half := 500_000
	return map[string][2]string{
		"two kinds":  {few(half, 2), few(half, 2)},
		"26 kinds":   {few(half, 26), few(half, 26)},
		"empty":      {strings.Repeat("\n", 1<<20), strings.Repeat("a\n\n", 1<<20/3)},
		"periods":    {strings.Repeat("a\nb\n", half/2), strings.Repeat("b\na\nc\n", half/3)},
		"reversed":   {counted(0, 1, 140_000), counted(140_000, -1, 140_000)},
		"nothing":    {counted(0, 1, 140_000), counted(200_000, 1, 140_000)},
		"interlaced": {counted(0, 2, 140_000), counted(0, 3, 140_000)},
		"blocks": {strings.Repeat("a\n", half/2) + strings.Repeat("b\n", half/2),
			strings.Repeat("b\n", half/2) + strings.Repeat("a\n", half/2)},
	}
}

func randomText(random *rand.Rand, lines, kinds int) string {
	var text strings.Builder
	for range lines {
		fmt.Fprintf(&text, "line %d\n", random.IntN(kinds))
	}
	if text.Len() > 0 && random.IntN(4) == 0 {
		return text.String()[:text.Len()-1]
	}
	return text.String()
}

func edited(random *rand.Rand, text string, edits int) string {
	lines := bytes.SplitAfter([]byte(text), []byte("\n"))
	for range edits {
		at := random.IntN(len(lines))
		switch random.IntN(4) {
		case 0:
			lines = append(lines[:at:at], lines[at+1:]...)
		case 1:
			lines = append(lines[:at:at], append([][]byte{fmt.Appendf(nil, "new %d\n", random.IntN(9))}, lines[at:]...)...)
		case 2:
			lines[at] = fmt.Appendf(nil, "changed %d\n", random.IntN(9))
		case 3: // what stood there stands there twice
			lines = append(lines[:at:at], lines[max(0, at-3):]...)
		}
		if len(lines) == 0 {
			return ""
		}
	}
	return string(bytes.Join(lines, nil))
}
