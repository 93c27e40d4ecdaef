package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pyro.local/guest/internal/at"
)

// temp is a directory that goes away at the end whatever its modes have become.
func temp(t testing.TB) string {
	t.Helper()
	directory := t.TempDir()
	t.Cleanup(func() {
		filepath.WalkDir(directory, func(path string, entry fs.DirEntry, _ error) error {
			if entry != nil && entry.IsDir() {
				os.Chmod(path, 0o700)
			}
			return nil
		})
	})
	return directory
}

// isRoot tells whether modes of files do not matter to the test, and owners can be changed.
var isRoot = os.Geteuid() == 0

var displaces bool

// opened is a root at a directory, which does not wait for a disk.
func opened(t testing.TB, directory string) *Root {
	t.Helper()
	root := brief(t, directory)
	t.Cleanup(root.Close)
	return root
}

// brief is such a root that the caller closes.
func brief(t testing.TB, directory string) *Root {
	t.Helper()
	root, err := Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	root.sync = func(int) error { return nil }
	root.displaces = displaces
	return root
}

// portrait describes everything that is to be kept of a tree: path, kind, mode, owner, time, size, content, link text and
// which names are one file. The directory itself is in it.
func portrait(t testing.TB, directory string) map[string]string {
	t.Helper()
	seen, first := map[string]string{}, map[identity]string{}
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat syscall.Stat_t
		if err := syscall.Lstat(path, &stat); err != nil {
			return err
		}
		name, _ := filepath.Rel(directory, path)
		line := fmt.Sprintf("%o %d:%d %d.%09d", stat.Mode, stat.Uid, stat.Gid, stat.Mtim.Sec, stat.Mtim.Nsec)
		switch kindOf(stat.Mode) {
		case File:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %x", stat.Size, sha256.Sum256(content))
		case Symlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" -> %q", target)
		}
		if same := (identity{stat.Dev, stat.Ino}); kindOf(stat.Mode) != Directory && stat.Nlink > 1 {
			if _, ok := first[same]; !ok {
				first[same] = name
			}
			line += fmt.Sprintf(" is %q of %d", first[same], stat.Nlink)
		}
		seen[name] = line
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// differences compares two portraits.
func differences(before, after map[string]string) []string {
	var found []string
	for path, line := range before {
		if after[path] != line {
			found = append(found, fmt.Sprintf("%q was %s, is %s", path, line, after[path]))
		}
	}
	for path, line := range after {
		if _, ok := before[path]; !ok {
			found = append(found, fmt.Sprintf("%q is new: %s", path, line))
		}
	}
	slices.Sort(found)
	return found
}

func same(t testing.TB, before, after map[string]string) {
	t.Helper()
	for _, line := range differences(before, after) {
		t.Error(line)
	}
}

// code is that of an error of this package.
func code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

func wantCode(t testing.TB, err error, want string) {
	t.Helper()
	if code(err) != want {
		t.Errorf("the error is %v (%s), not %s", err, code(err), want)
	}
}

// must fails the test with any error.
func must(t testing.TB, failures ...error) {
	t.Helper()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
}

// file makes a file with the directories above it.
func file(t testing.TB, directory, name, content string) {
	t.Helper()
	path := filepath.Join(directory, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644))
}

// age sets times that no test would come to by accident, different for every entry.
func age(t testing.TB, directory string) {
	t.Helper()
	var paths []string
	must(t, filepath.WalkDir(directory, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}))
	for i, path := range slices.Backward(paths) {
		when := syscall.Timespec{Sec: 1_500_000_000 + int64(i)*1000, Nsec: int64(i)*1_000_003%1e9 + 1}
		must(t, setTime(at.Cwd, path, when))
	}
}

// member of an archive that a test makes.
type entry struct {
	name   string
	kind   byte
	text   string // content or link text
	mode   int64
	mtime  time.Time
	format tar.Format
}

// archived makes a tar stream.
func archived(t testing.TB, entries ...entry) *bytes.Buffer {
	t.Helper()
	var buffer bytes.Buffer
	out := tar.NewWriter(&buffer)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: e.mode, ModTime: e.mtime, Format: e.format}
		if e.kind == tar.TypeReg || e.kind == 0 {
			header.Typeflag, header.Size = tar.TypeReg, int64(len(e.text))
		} else {
			header.Linkname = e.text
		}
		if header.Mode == 0 {
			header.Mode = 0o644
		}
		if header.Format == 0 {
			header.Format = tar.FormatPAX
		}
		if err := out.WriteHeader(header); err != nil {
			t.Fatal(e.name, err)
		}
		if header.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(out, e.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	must(t, out.Close())
	return &buffer
}

// nasty makes a tree with everything that is to survive a journey.
func nasty(t testing.TB, top string) {
	t.Helper()
	file(t, top, "plain", "text\n")
	file(t, top, "a/x", "in a")
	file(t, top, "a.b", "sorted between a and what is in it")
	file(t, top, "empty", "")
	file(t, top, "new\nline\ttab", "odd name")
	file(t, top, "not utf-8 \xff\xfe", "raw")
	file(t, top, "ünïcödé/日本", "words")
	file(t, top, strings.Repeat("n", 255), "long name")
	file(t, top, strings.Repeat("directory-of-a-long-path/", 12)+"end", "over 255")
	file(t, top, "big", strings.Repeat("0123456789abcdef", 40_000)+"tail")
	file(t, top, "holes", strings.Repeat("\x00", 3<<20)+"data"+strings.Repeat("\x00", 100_000))
	must(t,
		os.Mkdir(filepath.Join(top, "empty directory"), 0o711),
		os.Symlink("plain", filepath.Join(top, "link")),
		os.Symlink("/nowhere/at all", filepath.Join(top, "dangling")),
		os.Symlink(strings.Repeat("t/", 2000), filepath.Join(top, "long target")),
		os.Symlink("\xff", filepath.Join(top, "raw target")),
		os.Link(filepath.Join(top, "plain"), filepath.Join(top, "a", "hard")),
		os.Link(filepath.Join(top, "plain"), filepath.Join(top, "zz hard")),
		os.Link(filepath.Join(top, "dangling"), filepath.Join(top, "zz hard link")),
	)
	for name, mode := range map[string]uint32{"setuid": 0o4755, "setgid": 0o2711, "none": 0, "all": 0o7777} {
		if mode == 0 && !isRoot {
			continue // nobody could read it
		}
		file(t, top, name, name)
		must(t, syscall.Chmod(filepath.Join(top, name), mode))
	}
	for name, mode := range map[string]uint32{"sticky": 0o1777, "group": 0o2775, "closed": 0, "read only": 0o555} {
		if mode == 0 && !isRoot {
			continue
		}
		file(t, top, name+".d/inner", name)
		must(t, syscall.Chmod(filepath.Join(top, name+".d"), mode))
	}
	age(t, top)
}

// deep makes directories within each other, beyond what a path can name, and returns the descriptor of the last.
func deep(t testing.TB, directory string, levels int, name string) {
	t.Helper()
	fd, err := syscall.Open(directory, asReader, 0)
	must(t, err)
	for range levels {
		must(t, at.Mkdir(fd, name, 0o755))
		inner, err := openAt(fd, name, asReader, 0)
		must(t, err)
		syscall.Close(fd)
		fd = inner
	}
	end, err := openAt(fd, "end", syscall.O_CREAT|syscall.O_WRONLY, 0o644)
	must(t, err, at.WriteAll(end, []byte("down here"), 0))
	syscall.Close(end)
	syscall.Close(fd)
}

// push is Push without cancelling.
func (r *Root) pushed(dest string, in io.Reader) (Result, error) {
	return r.Push(context.Background(), dest, in)
}
