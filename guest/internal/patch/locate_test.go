package patch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// edited applies hunks to a text, or returns the error.
func edited(t *testing.T, text, hunks string) string {
	t.Helper()
	p, err := Parse([]byte("--- a/x\n+++ b/x\n" + hunks))
	if err != nil {
		t.Fatal(err)
	}
	search := maxSearch
	made, failure := edit([]byte(text), p.sections[0].hunks, false, &search)
	if failure != nil {
		return fmt.Sprintf("hunk %d: %s", failure.hunk, failure.reason)
	}
	return string(made)
}

func TestHunksAreFoundWhereTheyBelong(t *testing.T) {
	for _, c := range []struct{ name, text, hunks, want string }{
		{"at its line", "a\nb\nc\n", "@@ -2 +2 @@\n-b\n+B\n", "a\nB\nc\n"},
		{"at its line, though it is elsewhere too", "b\nb\nb\nc\n", "@@ -2 +2 @@\n-b\n+B\n", "b\nB\nb\nc\n"},
		{"below", "a\nb\nc\nd\ne\n", "@@ -1,2 +1,2 @@\n-d\n+D\n e\n", "a\nb\nc\nD\ne\n"},
		{"above", "a\nb\nc\nd\ne\n", "@@ -5,2 +5,2 @@\n-a\n+A\n b\n", "A\nb\nc\nd\ne\n"},
		{"the nearest, above", "k\nk\nx\nx\nx\nx\nk\n", "@@ -4,2 +4,2 @@\n-k\n+K\n x\n", "k\nK\nx\nx\nx\nx\nk\n"},
		{"as far on both sides: below", "k\nx\nx\nx\nk\nx\n", "@@ -3,2 +3,2 @@\n-k\n+K\n x\n", "k\nx\nx\nx\nK\nx\n"},
		{"later hunks move along", "0\n0\na\nb\nb\nb\nb\n", "@@ -1,2 +1,2 @@\n-a\n+A\n b\n@@ -3,2 +3,2 @@\n-b\n+B\n b\n", "0\n0\nA\nb\nB\nb\nb\n"},
		{"not before the hunk before", "b\nx\na\nc\n", "@@ -3 +3 @@\n-a\n+A\n@@ -4 +4 @@\n-b\n+B\n", `hunk 2: line 4 of the file is "c\n" where the hunk expects "b\n"`},
		{"only whole lines", "xa\na b\nb\n", "@@ -1 +1 @@\n-a\n+A\n", `hunk 1: line 1 of the file is "xa\n" where the hunk expects "a\n"`},
		{"inserted behind a line", "a\nb\n", "@@ -1,0 +2 @@\n+n\n", "a\nn\nb\n"},
		{"inserted at the top", "a\n", "@@ -0,0 +1 @@\n+n\n", "n\na\n"},
		{"inserted at the end", "a\n", "@@ -1,0 +2 @@\n+n\n", "a\nn\n"},
		{"inserted behind a line without newline", "a", "@@ -1,0 +2 @@\n+n\n", "hunk 1: the file ends at line 1, before the place of the hunk"},
		{"inserted beyond the end", "a\n", "@@ -3,0 +4 @@\n+n\n", "hunk 1: the file ends at line 1, before the place of the hunk"},
		{"inserted behind what moved", "0\na\nb\n", "@@ -1 +1 @@\n-a\n+A\n@@ -2,0 +3 @@\n+n\n", "0\nA\nb\nn\n"},
		{"no lines behind: at the end", "a\n}\na\n}\n", "@@ -1,2 +1,3 @@\n a\n }\n+n\n", "a\n}\na\n}\nn\n"},
		{"no lines behind, and not at the end", "a\n}\nb\n}\n", "@@ -1,2 +1,3 @@\n a\n }\n+n\n", "a\n}\nn\nb\n}\n"},
		{"newline comes", "a\nb", "@@ -2 +2 @@\n-b\n\\ No newline\n+b\n", "a\nb\n"},
		{"newline goes", "a\nb\n", "@@ -2 +2 @@\n-b\n+b\n\\ No newline\n", "a\nb"},
		{"no newline, found elsewhere", "0\na\nb", "@@ -1,2 +1,2 @@\n-a\n+A\n b\n\\ No newline\n", "0\nA\nb"},
		{"carriage returns are content", "a\r\nb\r\n", "@@ -1,2 +1,2 @@\n-a\r\n+A\r\n b\r\n", "A\r\nb\r\n"},
		{"carriage returns are missing", "a\r\n", "@@ -1 +1 @@\n-a\n+b\n", `hunk 1: line 1 of the file is "a\r\n" where the hunk expects "a\n"`},
		{"all of a file", "a\nb\n", "@@ -1,2 +0,0 @@\n-a\n-b\n", ""},
		{"empty lines without their blank", "a\n\nb\n", "@@ -1,3 +1,3 @@\n-a\n+A\n\n b\n", "A\n\nb\n"},
	} {
		if got := edited(t, c.text, c.hunks); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// TestAPatchWithCarriageReturnsFitsFilesOfBothKinds is about patches that were converted as a whole.
func TestAPatchWithCarriageReturnsFitsFilesOfBothKinds(t *testing.T) {
	text := strings.ReplaceAll("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n\\ No newline at end of file\n", "\n", "\r\n")
	for before, want := range map[string]string{"a\nb\nc": "a\nB\nc", "a\r\nb\r\nc": "a\r\nB\r\nc"} {
		root := tree(t, map[string]string{"x": before})
		if _, err := applied(t, root, text); err != nil {
			t.Error(err)
		}
		if got, _ := os.ReadFile(filepath.Join(root, "x")); string(got) != want {
			t.Errorf("%q", got)
		}
	}
	root := tree(t, map[string]string{"x": "a\r\nb\r\n"})
	if _, err := applied(t, root, "--- a/x\r\n+++ b/x\r\n@@ -1,0 +2 @@\r\n+n\r\n"); err != nil || listed(t, root) != "x \"a\\r\\nn\\r\\nb\\r\\n\"\n" {
		t.Error(err, listed(t, root))
	}
	root = tree(t, nil)
	if _, err := applied(t, root, "--- /dev/null\r\n+++ b/x\r\n@@ -0,0 +1 @@\r\n+a\r\n"); err != nil || listed(t, root) != "x \"a\\n\"\n" {
		t.Error(err, listed(t, root))
	}
	_, err := applied(t, root, "--- a/x\r\n+++ b/x\r\n@@ -1 +1 @@\r\n-b\r\n+c\r\n")
	if err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Error(err)
	}
}

// TestHostilePatchesTakeLittleTime has limits far above what is needed, and far below what searching byte by byte from
// every line would take.
func TestHostilePatchesTakeLittleTime(t *testing.T) {
	half := 1 << 20
	var wandering strings.Builder
	for i := range 20_000 { // each right behind the other, each said to be far below it
		fmt.Fprintf(&wandering, "@@ -%d,2 +1,2 @@\n-%d\n+x\n \n", 50_000*i+50_000, i)
	}
	var numbers strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&numbers, "%d\n\n", i)
	}
	for name, c := range map[string]struct{ text, hunks string }{
		"almost, everywhere": {strings.Repeat("\n", MaxFile),
			fmt.Sprintf("@@ -9,%d +9,%d @@\n%s-x\n+y\n", half+1, half+1, strings.Repeat(" \n", half))},
		"periods":   {strings.Repeat("a\nb\n", MaxFile/4), fmt.Sprintf("@@ -9,%d +9,%d @@\n%s-x\n+y\n", half/2+1, half/2+1, strings.Repeat(" a\n b\n", half/4))},
		"wandering": {numbers.String() + strings.Repeat("\n", MaxFile-numbers.Len()), wandering.String()},
	} {
		start := time.Now()
		result := edited(t, c.text, c.hunks)
		took := time.Since(start)
		t.Logf("%-20s %v %.70q", name, took.Round(time.Millisecond), result)
		if took > 60*time.Second {
			t.Error(name, took)
		}
		if !strings.HasPrefix(result, "hunk ") {
			t.Error(name, "fits")
		}
	}
}
