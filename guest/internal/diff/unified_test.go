package diff

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type change struct {
	name     string
	old, new side
}

var changes = []change{
	{"content", side{regular, []byte("a\nb\n")}, side{regular, []byte("a\nc\n")}},
	{"mode", side{regular, []byte("a\n")}, side{executable, []byte("a\n")}},
	{"content and mode", side{executable, []byte("a\n")}, side{regular, []byte("b")}},
	{"created", side{}, side{executable, []byte("a\nb")}},
	{"created empty", side{}, side{regular, nil}},
	{"deleted", side{regular, []byte("a\n")}, side{}},
	{"deleted empty", side{executable, nil}, side{}},
	{"emptied", side{regular, []byte("a\n")}, side{regular, nil}},
	{"filled", side{regular, nil}, side{regular, []byte("a\n")}},
	{"new link", side{}, side{link, []byte("to")}},
	{"other link", side{link, []byte("to")}, side{link, []byte("other\nwhere")}},
	{"deleted link", side{link, []byte("to")}, side{}},
	{"file to link", side{regular, []byte("a\n")}, side{link, []byte("to")}},
	{"link to file", side{link, []byte("to")}, side{executable, nil}},
}

// TestPatchesReadAsGitWritesThem has git itself say what the text of each change is.
func TestPatchesReadAsGitWritesThem(t *testing.T) {
	needGit(t)
	repository := t.TempDir()
	git(t, repository, "init", "-q")
	check := func(path string, c change) {
		t.Helper()
		want := git(t, repository, "diff", "--full-index", stored(t, repository, path, c.old), stored(t, repository, path, c.new))
		if got := patchText(path, c.old, c.new); got != want {
			t.Errorf("%s of %q: git writes\n%s\nhave\n%s", c.name, path, want, got)
		}
	}
	for _, c := range changes {
		check("name", c)
	}
	for _, path := range append(names, "d/e/f", "x b/x", "trailing ", "a/b", "b/a", "\x01\x7f\a\b\v\f\r", "\"", "é/ü") {
		check(path, changes[0])
		check(path, changes[1])
	}
}

// stored returns git's name of a tree in which a path has one side of a change.
func stored(t *testing.T, repository, path string, s side) string {
	t.Helper()
	top := filepath.Join(repository, strings.Split(path, "/")[0])
	place := filepath.Join(repository, path)
	must(t, os.MkdirAll(filepath.Dir(place), 0o755))
	switch s.mode {
	case link:
		must(t, os.Symlink(string(s.content), place))
	case regular, executable:
		must(t, os.WriteFile(place, s.content, os.FileMode(s.mode&0o777)))
	}
	git(t, repository, "add", "-A")
	must(t, os.RemoveAll(top))
	return strings.TrimSpace(git(t, repository, "write-tree"))
}

func TestEqualSidesHaveNoPatch(t *testing.T) {
	if text := patchText("a", side{regular, []byte("a")}, side{regular, []byte("a")}); text != "" {
		t.Error(text)
	}
}
