package patch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tree makes a directory with files: "x" by content, "d/" a directory, "x -> y" a link, "x +x" an executable file.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(root, name)
		if link, target, isLink := strings.Cut(name, " -> "); isLink {
			must(t, os.Symlink(target, filepath.Join(root, link)))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if program, isProgram := strings.CutSuffix(path, " +x"); isProgram {
			must(t, os.WriteFile(program, []byte(files[name]), 0o755))
		} else if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
		} else {
			must(t, os.WriteFile(path, []byte(files[name]), 0o644))
		}
	}
	return root
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// listed returns a line for each path in a tree, in the same notation, with the content of files.
func listed(t *testing.T, root string) string {
	t.Helper()
	var text strings.Builder
	must(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name := strings.TrimPrefix(path, root+"/")
		info, err := entry.Info()
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			fmt.Fprintf(&text, "%s/\n", name)
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			fmt.Fprintf(&text, "%s -> %s\n", name, target)
		default:
			content, _ := os.ReadFile(path)
			execute := ""
			if info.Mode()&0o100 != 0 {
				execute = " +x"
			}
			fmt.Fprintf(&text, "%s%s %q\n", name, execute, content)
		}
		return nil
	}))
	return text.String()
}

// stamps returns what tells whether anything has touched a path: all of lstat that a look leaves alone.
func stamps(t *testing.T, root string) string {
	t.Helper()
	var text strings.Builder
	must(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		var stat syscall.Stat_t
		if err = errors.Join(err, syscall.Lstat(path, &stat)); err != nil || entry.IsDir() {
			fmt.Fprintf(&text, "%s %o %d\n", path, stat.Mode, stat.Uid)
			return err
		}
		fmt.Fprintf(&text, "%s %o %d %d %d %v\n", path, stat.Mode, stat.Uid, stat.Ino, stat.Size, stat.Mtim)
		return nil
	}))
	return text.String()
}

func applied(t *testing.T, root, text string) ([]Change, error) {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err, text)
	}
	return p.Apply(t.Context(), root)
}

func git(header, body string) string { return "diff --git " + header + "\n" + body }

func TestSectionsDoWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  map[string]string
		text    string
		changes string
		after   string
	}{
		{"modify", map[string]string{"x +x": "a\n"}, "--- a/x\n+++ b/x\n" + oneHunk, "[{x modified}]", "x +x \"b\\n\"\n"},
		{"create", nil, "--- /dev/null\n+++ b/d/e/x\n@@ -0,0 +1 @@\n+b\n", "[{d/e/x added}]", "d/\nd/e/\nd/e/x \"b\\n\"\n"},
		{"create, unsure", nil, "--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+b\n", "[{x added}]", "x \"b\\n\"\n"},
		{"not unsure", map[string]string{"x": "a\n"}, "--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+b\n", "[{x modified}]", "x \"b\\na\\n\"\n"},
		{"create executable", nil, git("a/x b/x", "new file mode 100755\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+b\n\\ No newline\n"),
			"[{x added}]", "x +x \"b\"\n"},
		{"create empty", nil, git("a/x b/x", "new file mode 100644\n"), "[{x added}]", "x \"\"\n"},
		{"delete, and the directories left empty", map[string]string{"k": "", "d/e/x": "a\n"},
			"--- a/d/e/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", "[{d/e/x deleted}]", "k \"\"\n"},
		{"delete, others stay", map[string]string{"d/e/x": "a\n", "d/y": ""}, "--- a/d/e/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
			"[{d/e/x deleted}]", "d/\nd/y \"\"\n"},
		{"delete empty", map[string]string{"x": ""}, git("a/x b/x", "deleted file mode 100644\n"), "[{x deleted}]", ""},
		{"emptied is not deleted", map[string]string{"x": "a\n"}, "--- a/x\n+++ b/x\n@@ -1 +0,0 @@\n-a\n", "[{x modified}]", "x \"\"\n"},
		{"mode", map[string]string{"x": "a\n"}, git("a/x b/x", "old mode 100644\nnew mode 100755\n"), "[{x modified}]", "x +x \"a\\n\"\n"},
		{"mode and content", map[string]string{"x +x": "a\n"}, git("a/x b/x", "old mode 100755\nnew mode 100644\n--- a/x\n+++ b/x\n"+oneHunk),
			"[{x modified}]", "x \"b\\n\"\n"},
		{"rename", map[string]string{"d/x +x": "a\n"}, git("a/d/x b/e/y", "rename from d/x\nrename to e/y\n"), "[{d/x deleted} {e/y added}]",
			"e/\ne/y +x \"a\\n\"\n"},
		{"rename and modify", map[string]string{"x": "a\n"}, git("a/x b/y", "rename from x\nrename to y\n--- a/x\n+++ b/y\n"+oneHunk),
			"[{x deleted} {y added}]", "y \"b\\n\"\n"},
		{"rename a link", map[string]string{"x -> to": ""}, git("a/x b/y", "rename from x\nrename to y\n"), "[{x deleted} {y added}]", "y -> to\n"},
		{"change places", map[string]string{"x": "x\n", "y": "y\n"}, git("a/x b/y", "rename from x\nrename to y\n") +
			git("a/y b/x", "rename from y\nrename to x\n"), "[{x modified} {y modified}]", "x \"y\\n\"\ny \"x\\n\"\n"},
		{"change places, three", map[string]string{"x": "x\n", "y": "y\n", "z": "z\n"}, git("a/x b/y", "rename from x\nrename to y\n") +
			git("a/y b/z", "rename from y\nrename to z\n") + git("a/z b/x", "rename from z\nrename to x\n"),
			"[{x modified} {y modified} {z modified}]", "x \"z\\n\"\ny \"x\\n\"\nz \"y\\n\"\n"},
		{"modify, then rename", map[string]string{"x": "a\n"}, "--- a/x\n+++ b/x\n" + oneHunk + git("a/x b/y", "rename from x\nrename to y\n"),
			"[{x deleted} {y added}]", "y \"b\\n\"\n"},
		{"copy", map[string]string{"x": "a\n"}, git("a/x b/y", "copy from x\ncopy to y\n--- a/x\n+++ b/y\n"+oneHunk), "[{y added}]", "x \"a\\n\"\ny \"b\\n\"\n"},
		{"copy of what it was", map[string]string{"x": "a\n"}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+c\n" + git("a/x b/y", "copy from x\ncopy to y\n"),
			"[{x modified} {y added}]", "x \"c\\n\"\ny \"a\\n\"\n"},
		{"twice", map[string]string{"x": "a\n"}, "--- a/x\n+++ b/x\n" + oneHunk + "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-b\n+c\n", "[{x modified}]", "x \"c\\n\"\n"},
		{"create and modify", nil, "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n--- a/x\n+++ b/x\n" + oneHunk, "[{x added}]", "x \"b\\n\"\n"},
		{"create and delete", map[string]string{"k": ""}, "--- /dev/null\n+++ b/d/x\n@@ -0,0 +1 @@\n+a\n--- a/d/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
			"[]", "k \"\"\n"},
		{"nothing", map[string]string{"x": "a\n"}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n a\n", "[]", "x \"a\\n\"\n"},
		{"new link", nil, git("a/x b/x", "new file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+/to\n\\ No newline\n"), "[{x added}]", "x -> /to\n"},
		{"other link", map[string]string{"x -> to": ""}, git("a/x b/x", "index 1..2 120000\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-to\n\\ No newline\n+other\n\\ No newline\n"),
			"[{x modified}]", "x -> other\n"},
		{"link to file", map[string]string{"x -> to": ""}, git("a/x b/x", "deleted file mode 120000\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-to\n\\ No newline\n") +
			git("a/x b/x", "new file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n"), "[{x modified}]", "x \"a\\n\"\n"},
		{"file to directory", map[string]string{"x": "a\n"}, "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n--- /dev/null\n+++ b/x/y\n@@ -0,0 +1 @@\n+b\n",
			"[{x deleted} {x/y added}]", "x/\nx/y \"b\\n\"\n"},
		{"link to directory", map[string]string{"d/y": "k", "x -> d": ""}, git("a/x b/x", "deleted file mode 120000\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-d\n\\ No newline\n") +
			"--- /dev/null\n+++ b/x/y\n@@ -0,0 +1 @@\n+b\n", "[{x deleted} {x/y added}]", "d/\nd/y \"k\"\nx/\nx/y \"b\\n\"\n"},
		{"directory to file, file first", map[string]string{"d/e/y": "a\n", "d/z": "a\n"}, "--- /dev/null\n+++ b/d\n@@ -0,0 +1 @@\n+b\n" +
			"--- a/d/e/y\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n--- a/d/z\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
			"[{d added} {d/e/y deleted} {d/z deleted}]", "d \"b\\n\"\n"},
		{"empty directory to file", map[string]string{"d/": ""}, "--- /dev/null\n+++ b/d\n@@ -0,0 +1 @@\n+b\n", "[{d added}]", "d \"b\\n\"\n"},
		{"a directory whose last file is replaced stays", map[string]string{"d/x": "a\n"}, "--- a/d/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n--- /dev/null\n+++ b/d/y\n@@ -0,0 +1 @@\n+b\n",
			"[{d/x deleted} {d/y added}]", "d/\nd/y \"b\\n\"\n"},
		{"through a link", map[string]string{"d/x": "a\n", "l -> d": ""}, "--- a/l/x\n+++ b/l/x\n" + oneHunk, "[{l/x modified}]", "d/\nd/x \"b\\n\"\nl -> d\n"},
		{"through a link and directly", map[string]string{"d/x": "a\n", "l -> d": ""}, "--- a/l/x\n+++ b/l/x\n" + oneHunk + "--- a/d/x\n+++ b/d/x\n@@ -1 +1 @@\n-b\n+c\n",
			"[{l/x modified}]", "d/\nd/x \"c\\n\"\nl -> d\n"},
		{"into a new directory behind a link", map[string]string{"d/": "", "l -> d": ""}, "--- /dev/null\n+++ b/l/n/x\n@@ -0,0 +1 @@\n+a\n--- a/d/n/x\n+++ b/d/n/x\n" + oneHunk,
			"[{l/n/x added}]", "d/\nd/n/\nd/n/x \"b\\n\"\nl -> d\n"},
		{"strange names", map[string]string{"\xff\n": "a\n"}, "--- \"a/\\377\\n\"\n+++ \"b/\\377\\n\"\n" + oneHunk, "[{\xff\n modified}]", "\xff\n \"b\\n\"\n"},
	} {
		root := tree(t, c.before)
		changes, err := applied(t, root, c.text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := fmt.Sprint(changes); got != c.changes {
			t.Errorf("%s: %s", c.name, got)
		}
		if got := listed(t, root); got != c.after {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

// TestAPatchThatDoesNotFitChangesNothing adds to each bad section good ones, before and behind it.
func TestAPatchThatDoesNotFitChangesNothing(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "x"), []byte("a\n"), 0o644))
	files := map[string]string{
		"good": "a\n", "bye/bye": "a\n", "x": "1\n2\n3\n", "link -> x": "", "out -> " + outside: "", "up -> ..": "", "lost -> nowhere": "",
		"d/y": "y\n", "e/": "", "root -> " + "/": "", "loop -> loop": "", "in -> d": "",
	}
	modify := func(name string) string { return "--- a/" + name + "\n+++ b/" + name + "\n" + oneHunk }
	create := func(name string) string { return "--- /dev/null\n+++ b/" + name + "\n@@ -0,0 +1 @@\n+b\n" }
	for _, c := range []struct {
		name, text string
		file       string
		hunk       int
		reason     string
	}{
		{"a line differs", "--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n 1\n-two\n", "x", 1, `line 2 of the file is "2\n" where the hunk expects "two\n"`},
		{"second hunk", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+one\n@@ -3 +3 @@\n-4\n+four\n", "x", 2, "line 3"},
		{"beyond the end", "--- a/x\n+++ b/x\n@@ -7 +7 @@\n-7\n+seven\n", "x", 1, "ends at line 3"},
		{"hunks that overlap", "--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n 1\n-2\n@@ -2,2 +2 @@\n 2\n-3\n", "x", 2, "overlaps"},
		{"newline expected", "--- a/x\n+++ b/x\n@@ -3 +3 @@\n-3\n\\ No newline\n+4\n", "x", 1, "the hunk expects"},
		{"end expected", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n\\ No newline\n", "x", 1, "end of its file"},
		{"no such file", modify("z"), "z", 0, "no such file"},
		{"no such directory", modify("z/z"), "z/z", 0, "no such file"},
		{"exists", create("x"), "x", 0, "already"},
		{"link exists", create("lost"), "lost", 0, "already"},
		{"rename over", git("a/x b/d/y", "rename from x\nrename to d/y\n"), "d/y", 0, "already"},
		{"copy over", git("a/x b/d/y", "copy from x\ncopy to d/y\n"), "d/y", 0, "already"},
		{"rename of nothing", git("a/z b/y", "rename from z\nrename to y\n"), "z", 0, "no such file"},
		{"lines left", "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n", "x", 0, "has not all of its lines"},
		{"a directory", modify("d"), "d", 0, "directory"},
		{"beneath a file", create("x/y"), "x/y", 0, "no directory"},
		{"beneath a new file", create("n") + create("n/y"), "n/y", 0, "no directory"},
		{"over a directory in use", create("d"), "d", 0, "not empty"},
		{"over a new directory", create("n/y") + create("n"), "n/y", 0, "no directory"},
		{"a link as text", modify("link"), "link", 0, "symbolic link"},
		{"a link deleted as text", "--- a/link\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\\ No newline\n", "link", 0, "symbolic link"},
		{"a file as link", git("a/x b/x", "index 1..2 120000\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n"), "x", 0, "this is a file"},
		{"a link to nothing", git("a/n b/n", "new file mode 120000\n"), "n", 0, "target"},
		{"a link with NUL", git("a/n b/n", "new file mode 120000\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+a\x00b\n\\ No newline\n"), "n", 0, "target"},
		{"through a link that leads out", modify("out/x"), "out/x", 0, "out of the workspace"},
		{"created through a link that leads out", create("out/n"), "out/n", 0, "out of the workspace"},
		{"through ..", create("up/n"), "up/n", 0, "out of the workspace"},
		{"through the root", modify("root/etc/hostname"), "root/etc/hostname", 0, "out of the workspace"},
		{"through a link to nowhere", create("lost/n"), "lost/n", 0, "no directory"},
		{"through a loop", create("loop/n"), "loop/n", 0, "too many links"},
		{"a link made and led through", git("a/n b/n", "new file mode 120000\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+"+outside+"\n\\ No newline\n") + create("n/x"),
			"n/x", 0, "no directory"},
		{"a link led through and changed", "--- a/in/y\n+++ b/in/y\n@@ -1 +1 @@\n-y\n+z\n" +
			git("a/in b/in", "deleted file mode 120000\n--- a/in\n+++ /dev/null\n@@ -1 +0,0 @@\n-d\n\\ No newline\n"), "in", 0, "this link"},
		{"name too long", create(strings.Repeat("n", 256)), strings.Repeat("n", 256), 0, "too long"},
		{"path too long", create(strings.Repeat("n/", 2100) + "n"), strings.Repeat("n/", 2100) + "n", 0, "too long"},
	} {
		root := tree(t, files)
		before := stamps(t, root)
		good := modify("good") + "--- a/bye/bye\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
		changes, err := applied(t, root, good+c.text+git("a/later b/later", "new file mode 100644\n")+git("a/e/x b/e/x", "new file mode 100644\n"))
		var refused *ApplyError
		if !errors.As(err, &refused) || changes != nil {
			t.Errorf("%s: %v %v", c.name, changes, err)
			continue
		}
		if refused.File != c.file || refused.Hunk != c.hunk || !strings.Contains(refused.Reason, c.reason) {
			t.Errorf("%s: %q %d %s", c.name, refused.File, refused.Hunk, refused.Reason)
		}
		if after := stamps(t, root); after != before {
			t.Errorf("%s: want\n%s\nhave\n%s", c.name, before, after)
		}
	}
	if got := listed(t, outside); got != "x \"a\\n\"\n" {
		t.Error(got)
	}
}

func TestModesAndOwnersAreKept(t *testing.T) {
	root := tree(t, map[string]string{"x": "a\n", "y": "a\n", "other": "a\n"})
	must(t, os.Chmod(filepath.Join(root, "x"), 0o640|fs.ModeSetuid), os.Chmod(filepath.Join(root, "y"), 0o600))
	if os.Getuid() == 0 {
		must(t, os.Chown(filepath.Join(root, "x"), 12, 34))
		must(t, os.Chmod(filepath.Join(root, "x"), 0o640|fs.ModeSetuid))
	}
	var x, after syscall.Stat_t
	must(t, syscall.Lstat(filepath.Join(root, "x"), &x))
	if _, err := applied(t, root, "--- a/x\n+++ b/x\n"+oneHunk+git("a/y b/y", "old mode 100644\nnew mode 100755\n")); err != nil {
		t.Fatal(err)
	}
	must(t, syscall.Lstat(filepath.Join(root, "x"), &after))
	if after.Mode != x.Mode || after.Uid != x.Uid || after.Gid != x.Gid || after.Size != 2 {
		t.Errorf("%o %d %d, was %o %d %d", after.Mode, after.Uid, after.Gid, x.Mode, x.Uid, x.Gid)
	}
	must(t, syscall.Lstat(filepath.Join(root, "y"), &after))
	if after.Mode&0o7777 != 0o700 {
		t.Errorf("%o", after.Mode)
	}
}

func TestAFileChangedMeanwhileIsNotOverwritten(t *testing.T) {
	root := tree(t, map[string]string{"d/gone": "a\n", "n": "", "x": "a\n", "y": "a\n"})
	p, err := Parse([]byte("--- a/d/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n--- a/x\n+++ b/x\n" + oneHunk + "--- a/y\n+++ b/y\n" + oneHunk +
		"--- /dev/null\n+++ b/new/x\n@@ -0,0 +1 @@\n+b\n"))
	must(t, err)
	tree, err := openRoot(root)
	must(t, err)
	defer tree.close()
	plan, err := newPlan(tree, p)
	must(t, err)
	for i := range p.sections {
		must(t, plan.add(i))
	}
	files, err := plan.changed()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "y"), []byte("somebody else\n"), 0o644))
	before := stamps(t, root)
	if err := commit(t.Context(), tree, files); !errors.Is(err, errChanged) {
		t.Error(err)
	}
	if after := stamps(t, root); after != before {
		t.Errorf("want\n%s\nhave\n%s", before, after)
	}
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ size, files int }{"one": {MaxFile + 1, 1}, "all": {MaxFile, 5}} {
		root, text := t.TempDir(), ""
		for i := range c.files {
			path := filepath.Join(root, fmt.Sprint(i))
			must(t, os.WriteFile(path, []byte("a\n"), 0o644), os.Truncate(path, int64(c.size)))
			text += fmt.Sprintf("--- a/%d\n+++ b/%d\n%s", i, i, oneHunk)
		}
		if _, err := applied(t, root, text); err == nil || !strings.Contains(err.Error(), "bytes") {
			t.Error(name, err)
		}
	}
	root := tree(t, map[string]string{"x": "a\n" + strings.Repeat("x", MaxFile-2)})
	if _, err := applied(t, root, "--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n a\n+b\n"); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Error(err)
	}
}

func TestACancelledPatchChangesNothing(t *testing.T) {
	root := tree(t, map[string]string{"x": "a\n"})
	p, err := Parse([]byte("--- a/x\n+++ b/x\n" + oneHunk))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Apply(ctx, root); !errors.Is(err, context.Canceled) || listed(t, root) != "x \"a\\n\"\n" {
		t.Error(err)
	}
}

// TestAFIFOIsNotWaitedFor would hang.
func TestAFIFOIsNotWaitedFor(t *testing.T) {
	root := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(root, "x"), 0o644))
	if _, err := applied(t, root, "--- a/x\n+++ b/x\n"+oneHunk); err == nil || !strings.Contains(err.Error(), "neither a file nor a link") {
		t.Error(err)
	}
}

// TestAFileThatBecomesALinkMeanwhileIsNotFollowed has it happen between the look at the file and its opening.
func TestAFileThatBecomesALinkMeanwhileIsNotFollowed(t *testing.T) {
	root := tree(t, map[string]string{"secret": "s\n", "x": "a\n"})
	opened, err := openRoot(root)
	must(t, err)
	defer opened.close()
	f := &file{path: "x", parent: ".", name: "x"}
	must(t, syscall.Lstat(filepath.Join(root, "x"), &f.before))
	must(t, os.Remove(filepath.Join(root, "x")), os.Symlink("secret", filepath.Join(root, "x")))
	if s, err := f.read(opened); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("%q %v", s.content, err)
	}
}
