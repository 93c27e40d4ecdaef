package etc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAPlainFileTakesThePlaceOfWhateverIsThere(t *testing.T) {
	directory, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere")
	path := filepath.Join(directory, "file")
	for name, put := range map[string]func() error{
		"nothing":         func() error { return nil },
		"a file":          func() error { return os.WriteFile(path, []byte("longer than what comes\n"), 0o600) },
		"a link":          func() error { return os.Symlink(elsewhere, path) },
		"a draft":         func() error { return os.Symlink(elsewhere, path+".pyro") },
		"a file to read":  func() error { return os.WriteFile(path, nil, 0o444) },
		"a pipe":          func() error { return syscall.Mkfifo(path, 0o600) },
		"a dangling link": func() error { return os.Symlink("/none/there", path) },
	} {
		os.Remove(path)
		if err := errors.Join(put(), os.WriteFile(elsewhere, []byte("theirs"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := Replace(path, "mine\n", 0o644); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		info, err := os.Lstat(path)
		if text, _ := os.ReadFile(path); string(text) != "mine\n" || err != nil || info.Mode() != 0o644 {
			t.Errorf("%s: %q %v %v", name, text, info, err)
		}
		if text, _ := os.ReadFile(elsewhere); string(text) != "theirs" {
			t.Errorf("%s: it was followed", name)
		}
	}
	if left, _ := os.ReadDir(directory); len(left) != 1 {
		t.Error(left)
	}
}

func TestWhatCannotBeReplacedStays(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "file")
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if Replace(path, "mine\n", 0o644) == nil || Link(path, "elsewhere") == nil {
		t.Error("a directory was replaced")
	}
	if left, _ := os.ReadDir(directory); len(left) != 1 {
		t.Error(left)
	}
}

func TestAFileIsOverwrittenWhereItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if Overwrite(path, "mine\n") == nil {
		t.Error("what is not there was made")
	}
	if err := os.WriteFile(path, []byte("first\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Lstat(path)
	for _, content := range []string{"longer than the first\n", "short\n", ""} {
		if err := Overwrite(path, content); err != nil {
			t.Fatal(err)
		}
		after, _ := os.Lstat(path)
		if text, err := os.ReadFile(path); string(text) != content || err != nil || !os.SameFile(before, after) || after.Mode() != 0o640 {
			t.Error(string(text), err, after)
		}
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if Overwrite(link, "followed\n") == nil {
		t.Error("a link was followed")
	}
}

func TestALinkTakesThePlaceOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "link")
	if err := Replace(path, "mine\n", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Link(path, "/run/target"); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(path); target != "/run/target" {
		t.Error(target, err)
	}
}

func TestOnlyPlainFilesOfOrdinarySizeAreRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for name, c := range map[string]struct {
		put  func() error
		want error
	}{
		"nothing":         {func() error { return nil }, fs.ErrNotExist},
		"a dangling link": {func() error { return os.Symlink("/none/there", path) }, fs.ErrNotExist},
		"a pipe":          {func() error { return syscall.Mkfifo(path, 0o600) }, ErrForeign},
		"a directory":     {func() error { return os.Mkdir(path, 0o700) }, ErrForeign},
		"a device":        {func() error { return os.Symlink("/dev/zero", path) }, ErrForeign},
		"a large file":    {func() error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)) }, ErrForeign},
		"a loop":          {func() error { return os.Symlink(path, path) }, syscall.ELOOP},
	} {
		os.Remove(path)
		if err := c.put(); err != nil {
			t.Fatal(err)
		}
		if text, err := Read(path); text != "" || !errors.Is(err, c.want) {
			t.Errorf("%s: %q %v", name, text, err)
		}
	}
	os.Remove(path)
	long := strings.Repeat("x", 1<<20)
	if err := os.WriteFile(path, []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := Read(path); text != long || err != nil {
		t.Error(len(text), err)
	}
}
