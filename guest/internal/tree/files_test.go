package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// linked makes a tree with links of every kind, beside a file that lies outside.
func linked(t *testing.T) (root *Root, top string) {
	t.Helper()
	outside := temp(t)
	file(t, outside, "secret", "classified")
	top = filepath.Join(outside, "top")
	file(t, top, "d/e/f", "content")
	file(t, top, "f", "at the top")
	for name, target := range map[string]string{
		"relative": "d/e", "to file": "d/e/f", "d/up": "../f", "d/e/absolute": "/workspace/d", "whole": "/workspace",
		"doubled": "//./workspace//d/./e", "out": "../secret", "out absolute": "/etc", "out late": "d/../../secret",
		"alias and out": "/workspace/../etc", "similar": "/workspaces/d", "loop": "loop", "circle": "d/circle",
		"d/circle": "../circle", "dangling": "d/new", "dangling out": "../new", "slash": "/", "late": "relative/../up",
		"proc": "/proc/self/root",
	} {
		must(t, os.Symlink(target, filepath.Join(top, name)))
	}
	for i := range 45 {
		must(t, os.Symlink(fmt.Sprint("chain", i+1), filepath.Join(top, fmt.Sprint("chain", i))))
	}
	file(t, top, "chain45", "the end")
	must(t, syscall.Mkfifo(filepath.Join(top, "fifo"), 0o600))
	return opened(t, top), top
}

func TestReadFollowsLinksThatStayInside(t *testing.T) {
	root, _ := linked(t)
	for path, want := range map[string]string{
		"f": "at the top", "./d//e/f": "content", "relative/f": "content", "to file": "content", "d/up": "at the top",
		"d/e/absolute/e/f": "content", "whole/whole/f": "at the top", "doubled/f": "content", "chain5": "the end",
		"late": "at the top", "d/e/absolute/../f": "at the top", "relative/absolute/up": "at the top",
	} {
		data, size, err := root.Read(path, 1000)
		if string(data) != want || size != int64(len(want)) || err != nil {
			t.Errorf("%s: %q %d %v", path, data, size, err)
		}
	}
}

func TestReadRefusesWhatLeadsOutOrIsNoFile(t *testing.T) {
	root, _ := linked(t)
	for path, want := range map[string]string{
		"out": PathOutside, "out absolute": PathOutside, "out absolute/passwd": PathOutside, "out late": PathOutside,
		"alias and out": PathOutside, "similar": PathOutside, "..": PathOutside, "../secret": PathOutside, "d/../..": PathOutside,
		"/etc/passwd": PathOutside, "slash": PathOutside, "proc": PathOutside, "proc/etc/passwd": PathOutside,
		"loop": PathNotFound, "circle": PathNotFound, "loop/x": PathNotFound, "chain0": PathNotFound,
		"dangling": PathNotFound, "missing": PathNotFound, "missing/../f": PathNotFound, "dangling out": PathOutside,
		"f/x": NotADirectory, "to file/x": NotADirectory, "": NotAFile, "d": NotAFile, "relative": NotAFile, "fifo": NotAFile,
		"a\x00b": PathNotFound, strings.Repeat("a/", 3000): PathNotFound, StagingPrefix + "x": PathNotFound,
		"whole/" + StagingPrefix + "x": PathNotFound,
	} {
		_, _, err := root.Read(path, 1000)
		if code(err) != want {
			t.Errorf("%q: %v is not %s", path, err, want)
		}
	}
	_, _, err := root.Read("fifo", 1)
	if e, ok := errors.AsType[*Error](err); !ok || e.Details["type"] != "other" {
		t.Error(err)
	}
}

func TestReadReturnsTheBeginningAndTheSize(t *testing.T) {
	root, top := linked(t)
	file(t, top, "long", strings.Repeat("x", 100_000))
	for limit, want := range map[int64]int{0: 0, 1: 1, 99_999: 99_999, 100_000: 100_000, 1 << 40: 100_000, -1: 0} {
		data, size, err := root.Read("long", limit)
		if len(data) != want || size != 100_000 || err != nil {
			t.Error(limit, len(data), size, err)
		}
	}
}

func TestTextsOfErrorsAreQuoted(t *testing.T) {
	root, _ := linked(t)
	_, _, err := root.Read("\x1b[31m\xff", 1)
	e, ok := errors.AsType[*Error](err)
	if !ok || strings.ContainsAny(e.Text+fmt.Sprint(e.Details), "\x1b\xff") {
		t.Errorf("%q %q", e.Text, e.Details)
	}
}

func listed(t *testing.T, root *Root, path string, recursive bool) (lines []string) {
	t.Helper()
	must(t, root.List(context.Background(), path, recursive, func(e Entry) error {
		lines = append(lines, fmt.Sprintf("%s %s %d %s", e.Path, e.Type, e.Size, e.Target))
		return nil
	}))
	return lines
}

func TestListIsSortedByPathAndFollowsNothingBelow(t *testing.T) {
	top := temp(t)
	for _, name := range []string{"a/c", "a.b", "a/b/d", "\xff", StagingPrefix + "x/y", "a/" + StagingPrefix} {
		file(t, top, name, "12345")
	}
	must(t, os.Symlink("/etc", filepath.Join(top, "etc")), os.Symlink("a", filepath.Join(top, "to a")),
		syscall.Mkfifo(filepath.Join(top, "fifo"), 0o600))
	root := opened(t, top)
	inner := []string{"a/" + StagingPrefix + " file 5 ", "a/b directory 0 ", "a/b/d file 5 ", "a/c file 5 "}
	want := append(append([]string{"a directory 0 ", "a.b file 5 "}, inner...),
		"etc symlink 0 /etc", "fifo other 0 ", "to a symlink 0 a", "\xff file 5 ")
	if got := listed(t, root, "", true); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := listed(t, root, "a/", true); !slices.Equal(got, inner) {
		t.Errorf("%q", got)
	}
	if got := listed(t, root, "to a", false); !slices.Equal(got, []string{"to a/" + StagingPrefix + " file 5 ", "to a/b directory 0 ", "to a/c file 5 "}) {
		t.Errorf("%q", got)
	}
	if got := listed(t, root, "./a/c", true); !slices.Equal(got, []string{"a/c file 5 "}) {
		t.Errorf("%q", got)
	}
	if entries, bytes, err := root.Usage(context.Background()); entries != 10 || bytes != 25 || err != nil {
		t.Error(entries, bytes, err)
	}
}

func TestListIsBounded(t *testing.T) {
	root, _ := linked(t)
	root.limit = 10
	err := root.List(context.Background(), "", true, func(Entry) error { return nil })
	wantCode(t, err, TooManyEntries)
	wantCode(t, root.List(context.Background(), "out absolute", true, nil), PathOutside)
	stop := errors.New("enough")
	if err := root.List(context.Background(), "d", true, func(Entry) error { return stop }); err != stop {
		t.Error(err)
	}
}

func TestWriteMakesAndReplacesFiles(t *testing.T) {
	root, top := linked(t)
	user := os.Geteuid()
	if isRoot {
		user = 12
	}
	must(t, os.Chmod(filepath.Join(top, "f"), 0o750), syscall.Chown(filepath.Join(top, "f"), user, -1),
		syscall.Chmod(filepath.Join(top, "d/e/f"), 0o4711), os.Link(filepath.Join(top, "f"), filepath.Join(top, "other name")))
	defer syscall.Umask(syscall.Umask(0o077)) // whatever it is
	for path, want := range map[string]struct {
		made bool
		lies string
		mode uint32
		user int
	}{
		"f": {false, "f", 0o750, user}, "to file": {false, "d/e/f", 0o4711, os.Geteuid()}, "new": {true, "new", 0o644, os.Geteuid()},
		"m/a/d/e": {true, "m/a/d/e", 0o644, os.Geteuid()}, "dangling": {true, "d/new", 0o644, os.Geteuid()}, "relative/n": {true, "d/e/n", 0o644, os.Geteuid()},
	} {
		made, err := root.Write(path, []byte("written "+path))
		var stat syscall.Stat_t
		must(t, syscall.Lstat(filepath.Join(top, want.lies), &stat))
		content, _ := os.ReadFile(filepath.Join(top, want.lies))
		if err != nil || made != want.made || string(content) != "written "+path || stat.Mode != syscall.S_IFREG|want.mode || int(stat.Uid) != want.user {
			t.Errorf("%s: %v %v %q %o %d", path, made, err, content, stat.Mode, stat.Uid)
		}
	}
	var stat syscall.Stat_t
	must(t, syscall.Lstat(filepath.Join(top, "m/a"), &stat))
	if stat.Mode != syscall.S_IFDIR|0o755 {
		t.Errorf("%o", stat.Mode)
	}
	if other, _ := os.ReadFile(filepath.Join(top, "other name")); string(other) != "at the top" {
		t.Error("what was linked to the file has changed")
	}
}

func TestWriteRefusesAndChangesNothing(t *testing.T) {
	root, top := linked(t)
	age(t, top)
	before, outside := portrait(t, top), portrait(t, filepath.Dir(top))
	for path, want := range map[string]string{
		"out": PathOutside, "dangling out": PathOutside, "out absolute/x": PathOutside, "../x": PathOutside, "": IsADirectory,
		"d": IsADirectory, "relative": IsADirectory, "whole": IsADirectory, "fifo": NotAFile, "f/x": NotADirectory, "loop": PathNotFound,
		strings.Repeat("n", 256): IOError, "x/" + strings.Repeat("n", 256): IOError, StagingPrefix: PathNotFound, "new/../x": PathNotFound,
	} {
		_, err := root.Write(path, []byte("x"))
		if code(err) != want {
			t.Errorf("%q: %v is not %s", path, err, want)
		}
	}
	same(t, before, portrait(t, top))
	same(t, outside, portrait(t, filepath.Dir(top)))
}

func TestWriteTouchesOnlyTheDirectoryItWritesIn(t *testing.T) {
	root, top := linked(t)
	age(t, top)
	before := portrait(t, top)
	_, err := root.Write("d/e/f", []byte("x"))
	must(t, err)
	after := portrait(t, top)
	for _, path := range []string{"d/e", "d/e/f"} {
		if before[path] == after[path] {
			t.Error(path, "is as it was")
		}
		delete(before, path)
		delete(after, path)
	}
	same(t, before, after)
}

// TestWhatIsMountedBelowIsNotEntered needs to mount, which root may mostly do.
func TestWhatIsMountedBelowIsNotEntered(t *testing.T) {
	root, top := linked(t)
	must(t, os.Mkdir(filepath.Join(top, "m"), 0o755), os.WriteFile(filepath.Join(top, "g"), nil, 0o644))
	for _, target := range []string{"m", "g"} {
		source := map[string]string{"m": filepath.Dir(top), "g": filepath.Join(filepath.Dir(top), "secret")}[target]
		if err := syscall.Mount(source, filepath.Join(top, target), "", syscall.MS_BIND, ""); err != nil {
			t.Skip("mounting is refused here: ", err)
		}
		defer syscall.Unmount(filepath.Join(top, target), syscall.MNT_DETACH)
	}
	_, _, err := root.Read("m/secret", 10)
	wantCode(t, err, PathOutside)
	_, _, err = root.Read("g", 10)
	wantCode(t, err, PathOutside)
	_, err = root.Write("m/x", nil)
	wantCode(t, err, PathOutside)
	_, err = root.pushed("m", archived(t, entry{name: "x"}))
	wantCode(t, err, PathOutside)
	_, err = root.pushed("", archived(t, entry{name: "m/x"}))
	wantCode(t, err, PathOutside)
	for _, line := range listed(t, root, "", true) {
		if strings.HasPrefix(line, "m/") {
			t.Error(line)
		}
	}
	stream, result := exported(t, root, "")
	if !slices.Equal(result.Skipped, []string{"fifo", "g", "m"}) || strings.Contains(stream.String(), "classified") {
		t.Error(result)
	}
}
