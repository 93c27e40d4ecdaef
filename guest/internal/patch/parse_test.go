package patch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const oneHunk = "@@ -1 +1 @@\n-a\n+b\n"

// described lists the sections of a patch.
func described(p *Patch) string {
	var text strings.Builder
	for _, s := range p.sections {
		fmt.Fprintf(&text, "%s %q", [...]string{"modify", "create", "remove", "rename", "copy"}[s.action], s.old)
		if s.new != s.old {
			fmt.Fprintf(&text, " to %q", s.new)
		}
		fmt.Fprintf(&text, " %o:%o %d;", s.oldMode, s.newMode, len(s.hunks))
	}
	return text.String()
}

func TestHeadersOfEveryKindAreUnderstood(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"git", "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n" + oneHunk, `modify "x" 100644:100644 1;`},
		{"git, no prefix", "diff --git x x\nindex 1..2\n--- x\n+++ x\n" + oneHunk, `modify "x" 0:0 1;`},
		{"git, no prefix, beneath a", "diff --git a/x a/x\n--- a/x\n+++ a/x\n" + oneHunk, `modify "a/x" 0:0 1;`},
		{"git, no prefix, new beneath b", "diff --git b/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+b\n",
			`create "b/x" 0:100644 1;`},
		{"git without labels", "diff --git a/x y b/x y\n" + oneHunk, `modify "x y" 0:0 1;`},
		{"mode", "diff --git a/a b b/a b\nold mode 100644\nnew mode 100755\n", `modify "a b" 100644:100755 0;`},
		{"created empty", "diff --git a/x b/x\nnew file mode 100755\nindex 0..1\n", `create "x" 0:100755 0;`},
		{"deleted empty", "diff --git a/x b/x\ndeleted file mode 100644\n", `remove "x" 100644:0 0;`},
		{"created without a mode", "diff --git a/x b/x\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+b\n", `create "x" 0:0 1;`},
		{"deleted without a mode", "diff --git a/x b/x\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", `remove "x" 0:0 1;`},
		{"rename", "diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n", `rename "x" to "y" 0:0 0;`},
		{"copy", "diff --git a/x b/d/y\nsimilarity index 90%\ncopy from x\ncopy to d/y\n--- a/x\n+++ b/d/y\n" + oneHunk,
			`copy "x" to "d/y" 0:0 1;`},
		{"quoted", "diff --git \"a/\\303\\244\\t\\\"\" \"b/\\303\\244\\t\\\"\"\nold mode 100644\nnew mode 100755\n", `modify "ä\t\"" 100644:100755 0;`},
		{"quoted rename", "diff --git a/x \"b/\\377\"\nrename from x\nrename to \"\\377\"\n", `rename "x" to "\xff" 0:0 0;`},
		{"quoted label", "--- \"a/\\001\"\n+++ \"b/\\001\"\t2020-01-01\n" + oneHunk, `modify "\x01" 0:0 1;`},
		{"plain", "--- a/x\n+++ b/x\n" + oneHunk, `modify "x" 0:0 1;`},
		{"plain, no prefix", "--- x\n+++ x\n" + oneHunk, `modify "x" 0:0 1;`},
		{"plain, one prefix only", "--- a/x\n+++ a/x\n" + oneHunk, `modify "a/x" 0:0 1;`},
		{"plain with dates", "--- x y\t2024-01-01 00:00:00.000000000 +0000\n+++ x y\t2024-01-02 00:00:00 +0000\n" + oneHunk, `modify "x y" 0:0 1;`},
		{"plain, .orig", "--- x.orig\n+++ x\n" + oneHunk, `modify "x" 0:0 1;`},
		{"plain, changed copy", "--- x\n+++ x.new\n" + oneHunk, `modify "x" 0:0 1;`},
		{"plain, created", "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+b\n", `create "x" 0:0 1;`},
		{"plain, created in 1970", "--- a/x\t1970-01-01 00:00:00.000000000 +0000\n+++ b/x\t2024-01-02 00:00:00 +0000\n@@ -0,0 +1 @@\n+b\n",
			`create "x" 0:0 1;`},
		{"plain, deleted, west of Greenwich", "--- a/x\t2024-01-02 00:00:00 +0000\n+++ b/x\t1969-12-31 19:00:00.000000000 -0500\n@@ -1 +0,0 @@\n-b\n",
			`remove "x" 0:0 1;`},
		{"./ before the name", "--- ./d//x\n+++ ./d/x\n" + oneHunk, `modify "d/x" 0:0 1;`},
		{"a mail", "From 1 Mon\nSubject: x\n\n---\n x | 2 +-\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n" + oneHunk + "-- \n2.39.5\n\n",
			`modify "x" 0:0 1;`},
		{"several", "--- a/x\n+++ b/x\n" + oneHunk + "@@ -9 +9 @@ func\n-a\n+b\nOnly in x: y\n--- a/y\n+++ b/y\n" + oneHunk,
			`modify "x" 0:0 2;modify "y" 0:0 1;`},
		{"empty context lines cut", "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n\n-a\n+b\n\n", `modify "x" 0:0 1;`},
		{"lines that look like headers", "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- a/y\n-@@ -1 +1 @@\n+++ b/y\n+\n", `modify "x" 0:0 1;`},
		{"CR LF throughout", strings.ReplaceAll("diff --git a/x b/x\n--- a/x\n+++ b/x\n"+oneHunk, "\n", "\r\n"), `modify "x" 0:0 1;`},
		{"CR in headers", "diff --git a/x b/x\r\nold mode 100644\r\nnew mode 100755\r\n--- a/x\r\n+++ b/x\n" + oneHunk, `modify "x" 100644:100755 1;`},
		{"no newline at the end of the patch", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b", `modify "x" 0:0 1;`},
		{"no newline at the ends of both", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ Kein Zeilenumbruch\n",
			`modify "x" 0:0 1;`},
	} {
		p, err := Parse([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := described(p); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

func TestWhatIsNoGoodPatchIsRefused(t *testing.T) {
	labels := "--- a/x\n+++ b/x\n"
	for _, c := range []struct {
		name, text string
		line       int
		reason     string
	}{
		{"empty", "", 0, "no unified diff"},
		{"prose", "hello\nworld\n", 0, "no unified diff"},
		{"another format", "*** Begin Patch\n*** Update File: x\n@@\n-a\n+b\n", 0, "no unified diff"},
		{"context diff", "*** a/x\n--- b/x\n***************\n*** 1 ****\n! a\n--- 1 ----\n! b\n", 0, "no unified diff"},
		{"too long", strings.Repeat("\n", MaxText+1), 0, "4194304 are allowed"},
		{"no name", oneHunk, 1, "without the name"},
		{"no hunk", labels, 1, "no hunk"},
		{"no hunk, git", "diff --git a/x b/x\nindex 1..2 100644\n", 1, "changes nothing"},
		{"no new label", "diff --git a/x b/x\n--- a/x\n" + oneHunk, 3, "+++"},
		{"names that differ", "diff --git a/x b/y\n--- a/x\n+++ b/y\n" + oneHunk, 1, "differ"},
		{"names of another section", "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n--- a/y\n+++ b/y\n" + oneHunk, 1, "the other names"},
		{"names of another new file", "diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+a\n", 1, "the other names"},
		{"no name to be told", "diff --git a/x b/y z\nold mode 100644\nnew mode 100755\n", 1, "cannot be told"},
		{"half a rename", "diff --git a/x b/y\nrename from x\n", 1, "both names"},
		{"nothing to nothing", "--- /dev/null\n+++ /dev/null\n" + oneHunk, 1, "both sides"},
		{"nothing to nothing, git", "diff --git a/x b/x\nnew file mode 100644\n--- a/x\n+++ /dev/null\n@@ -0,0 +0,0 @@\n", 1, "both sides"},
		{"binary", "diff --git a/x b/x\nindex 1..2 100644\nGIT binary patch\nliteral 1\n", 3, "binary"},
		{"binary, unsaid", "diff --git a/x b/x\nindex 1..2 100644\nBinary files a/x and b/x differ\n", 3, "binary"},
		{"binary, plain", labels + oneHunk + "Binary files x/y and z/y differ\n", 6, "binary"},
		{"a merge", "diff --cc x\n--- a/x\n+++ b/x\n@@@ -1,1 -1,1 +1,1 @@@\n- a\n -b\n++c\n", 2, "no hunk"},
		{"absolute", "--- /etc/passwd\n+++ /etc/passwd\n" + oneHunk, 1, "absolute"},
		{"absolute behind the prefix", "--- a//etc/passwd\n+++ b//etc/passwd\n" + oneHunk, 1, "absolute"},
		{"outside", "--- a/../x\n+++ b/../x\n" + oneHunk, 1, `".."`},
		{"outside, later", "--- a/d/../../x\n+++ b/d/../../x\n" + oneHunk, 1, `".."`},
		{"outside, quoted", "--- \"a/\\056./x\"\n+++ \"b/\\056./x\"\n" + oneHunk, 1, `".."`},
		{"rename to outside", "diff --git a/x b/y\nrename from x\nrename to ../y\n", 1, `".."`},
		{"copy from outside", "diff --git a/x b/y\ncopy from ../x\ncopy to y\n", 1, `".."`},
		{"staging", "--- a/.pyro-staging-1/x\n+++ b/.pyro-staging-1/x\n" + oneHunk, 1, "reserved"},
		{"staging, disguised", "--- a/./.pyro-staging-1\n+++ b/./.pyro-staging-1\n" + oneHunk, 1, "reserved"},
		{"NUL", "--- \"a/x\\000y\"\n+++ \"b/x\\000y\"\n" + oneHunk, 1, "NUL"},
		{"NUL as it is", "--- a/x\x00y\n+++ b/x\x00y\n" + oneHunk, 1, "NUL"},
		{"directory", "--- a/d/\n+++ b/d/\n" + oneHunk, 1, "directory"},
		{"nothing behind the prefix", "--- a/\n+++ b/\n" + oneHunk, 1, "empty"},
		{"no name at all", "--- \t\n+++ \n" + oneHunk, 1, "empty"},
		{"quote left open", "--- \"a/x\n+++ \"b/x\n" + oneHunk, 1, "quotes"},
		{"unknown escape", "--- \"a/\\x\"\n+++ \"b/\\x\"\n" + oneHunk, 1, "quotes"},
		{"escape of no byte", "--- \"a/\\777\"\n+++ \"b/\\777\"\n" + oneHunk, 1, "quotes"},
		{"no mode", "diff --git a/x b/x\nold mode rwx\nnew mode 100755\n", 2, "no mode"},
		{"huge mode", "diff --git a/x b/x\nnew file mode 7777777100644\n", 2, "no mode"},
		{"submodule", "diff --git a/x b/x\nnew file mode 160000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+Subproject\n", 1, "160000"},
		{"file to link at once", "diff --git a/x b/x\nold mode 100644\nnew mode 120000\n" + labels + oneHunk, 1, "deletion and a creation"},
		{"ranges missing", labels + "@@ -\n", 3, "header of a hunk"},
		{"ranges of other things", labels + "@@ -a +b @@\n-a\n+b\n", 3, "header of a hunk"},
		{"end of ranges missing", labels + "@@ -1 +1\n-a\n+b\n", 3, "header of a hunk"},
		{"negative count", labels + "@@ -1,-1 +1 @@\n+b\n", 3, "header of a hunk"},
		{"huge count", labels + "@@ -1,4294967297 +1,1 @@\n-a\n+b\n", 3, "header of a hunk"},
		{"huge line", labels + "@@ -2000000000 +1 @@\n-a\n+b\n", 3, "header of a hunk"},
		{"cut off", labels + "@@ -1,2 +1,2 @@\n-a\n+b\n", 6, "lacks 1 old and 1 new"},
		{"too few lines", labels + "@@ -1,2 +1 @@\n-a\n+b\n@@ -9 +9 @@\n-a\n+b\n", 6, "fits nowhere"},
		{"too many old lines", labels + "@@ -1 +1,2 @@\n-a\n-a\n+b\n+b\n", 5, "more lines"},
		{"lines behind the hunk", labels + "@@ -1 +1 @@\n-a\n+b\n+c\n", 6, "more lines"},
		{"context behind the hunk", labels + "@@ -1 +1 @@\n-a\n+b\n c\n", 6, "more lines"},
		{"a removed line behind the hunk", labels + "@@ -1 +1 @@\n-a\n+b\n--- c\n", 6, "more lines"},
		{"a line behind the last", labels + "@@ -1,2 +1 @@\n-a\n\\ No newline at end of file\n-b\n+c\n", 6, "without newline"},
		{"no newline of nothing", labels + "@@ -1 +1 @@\n\\ No newline at end of file\n-b\n+c\n", 4, "fits nowhere"},
		{"no newline of an empty line", labels + "@@ -1 +1 @@\n-a\n+\n\\ No newline at end of file\n", 6, "fits nowhere"},
		{"old lines of a new file", "--- /dev/null\n+++ b/x\n" + oneHunk, 3, "no old lines"},
		{"new lines of a deleted file", "--- a/x\n+++ /dev/null\n" + oneHunk, 3, "no new lines"},
		{"too many files", strings.Repeat("--- a/x\n+++ b/x\n"+oneHunk, MaxFiles+1), 5*MaxFiles + 1, "more than 10000 files"},
	} {
		_, err := Parse([]byte(c.text))
		var refused *ParseError
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v", c.name, err)
		} else if refused.Line != c.line || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %d: %v", c.name, refused.Line, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n--- a/x\n+++ b/x\n" + oneHunk))
	f.Add([]byte("--- \"a/\\303\\244\"\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n\\ No newline at end of file\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			var refused *ParseError
			if !errors.As(err, &refused) {
				t.Error(err)
			}
			return
		}
		for _, s := range p.sections {
			if _, err := cleanPath(s.old); err != nil {
				t.Error(err)
			}
			search := maxSearch
			edit([]byte("a\nb\n"), s.hunks, false, &search)
			for _, h := range s.hunks {
				old, new := h.texts(false)
				if len(lineStarts(old))-1 != h.oldCount || len(lineStarts(new))-1 != h.newCount {
					t.Errorf("%q: %d %d", h.body, h.oldCount, h.newCount)
				}
			}
		}
	})
}
