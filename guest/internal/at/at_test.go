package at

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// opened is a descriptor of a directory of its own with a file "f", a directory "d" and links: "in" to the directory,
// "out" to the one above.
func opened(t *testing.T) int {
	t.Helper()
	path := t.TempDir()
	must(t, os.WriteFile(filepath.Join(path, "f"), []byte("text"), 0o600), os.Mkdir(filepath.Join(path, "d"), 0o700),
		os.Symlink("d", filepath.Join(path, "in")), os.Symlink("..", filepath.Join(path, "out")))
	fd, err := syscall.Open(path, OPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	return fd
}

func TestOpenGoesAsFarAsItMay(t *testing.T) {
	directory := opened(t)
	const noLinks = ResolveBeneath | ResolveNoSymlinks
	for _, c := range []struct {
		path    string
		resolve uint64
		want    error
	}{
		{"", noLinks, nil},
		{"d", noLinks, nil},
		{"none", noLinks, syscall.ENOENT},
		{"f", noLinks, syscall.ENOTDIR},
		{"in", ResolveBeneath, nil},
		{"in", noLinks, syscall.ELOOP},
		{"in/../d", ResolveBeneath, nil},
		{"out", 0, nil},
		{"out", ResolveBeneath, syscall.EXDEV},
		{"d/../..", ResolveBeneath, syscall.EXDEV},
		{"/", 0, nil},
		{"/", ResolveBeneath, syscall.EXDEV},
		{"/proc", ResolveNoXDev, syscall.EXDEV},
		{"/proc/self/cwd", 0, nil},
		{"/proc/self/cwd", ResolveNoMagicLinks, syscall.ELOOP},
	} {
		fd, err := Open(directory, c.path, OPath|syscall.O_DIRECTORY, 0, c.resolve)
		if err != c.want {
			t.Errorf("%q, %#x: %v", c.path, c.resolve, err)
		}
		if err == nil {
			syscall.Close(fd)
		} else if fd != -1 {
			t.Errorf("%q, %#x: descriptor %d", c.path, c.resolve, fd)
		}
	}
}

// TestOpenIsNotDisturbedByRenamesElsewhere goes over "..", where the kernel gives up when anything at all is renamed.
func TestOpenIsNotDisturbedByRenamesElsewhere(t *testing.T) {
	directory, elsewhere := opened(t), opened(t)
	var over atomic.Bool
	ended := make(chan error)
	go func() {
		var err error
		for err == nil && !over.Load() {
			err = errors.Join(Rename(elsewhere, "f", elsewhere, "g", 0), Rename(elsewhere, "g", elsewhere, "f", 0))
		}
		ended <- err
	}()
	for range 5000 {
		fd, err := Open(directory, "d/../in/../d", OPath, 0, ResolveBeneath)
		if err != nil {
			t.Error(err)
			break
		}
		syscall.Close(fd)
	}
	over.Store(true)
	must(t, <-ended)
}

func TestOpenNameFollowsNoLink(t *testing.T) {
	directory := opened(t)
	for name, want := range map[string]error{"f": nil, "d": nil, "in": syscall.ELOOP, "none": syscall.ENOENT} {
		fd, err := OpenName(directory, name, syscall.O_RDONLY, 0)
		if err != want {
			t.Error(name, err)
		}
		syscall.Close(fd)
	}
}

func TestWhatIsOpenedIsNotInherited(t *testing.T) {
	directory := opened(t)
	one, err := Open(directory, "f", syscall.O_RDONLY, 0, ResolveBeneath)
	must(t, err)
	other, err := OpenName(directory, "f", syscall.O_RDONLY, 0)
	must(t, err)
	for _, fd := range []int{one, other} {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
			t.Error(flags, errno)
		}
		syscall.Close(fd)
	}
}

func TestANameWithANULIsAnError(t *testing.T) {
	directory := opened(t)
	const name = "f\x00"
	var stat syscall.Stat_t
	_, opening := Open(directory, name, OPath, 0, ResolveBeneath)
	_, openingName := OpenName(directory, name, OPath, 0)
	_, reading := Readlink(directory, name)
	for call, err := range map[string]error{
		"open": opening, "open name": openingName, "readlink": reading,
		"lstat": Lstat(directory, name, &stat), "mkdir": Mkdir(directory, name, 0o700),
		"symlink": Symlink("x", directory, name), "symlink to": Symlink(name, directory, "x"),
		"link": Link(directory, name, directory, "x"), "link to": Link(directory, "f", directory, name),
		"rename": Rename(directory, name, directory, "x", 0), "rename to": Rename(directory, "f", directory, name, 0),
		"unlink": Unlink(directory, name), "rmdir": Rmdir(directory, name), "times": SetTimes(directory, name, Omit, Omit),
	} {
		if err != syscall.EINVAL {
			t.Errorf("%s: %v", call, err)
		}
	}
	if err := Lstat(directory, "f", &stat); err != nil || stat.Nlink != 1 {
		t.Error(err, stat.Nlink)
	}
}

func TestTheLongestTargetIsReadInFull(t *testing.T) {
	directory := opened(t)
	target := strings.Repeat("x/", 2047) + "y"
	must(t, Symlink(target, directory, "long"))
	if got, err := Readlink(directory, "long"); err != nil || got != target || len(got) != 4095 {
		t.Error(len(got), err)
	}
	if err := Symlink(target+"z", directory, "longer"); err != syscall.ENAMETOOLONG {
		t.Error(err)
	}
	if got, err := Readlink(directory, "f"); err != syscall.EINVAL || got != "" {
		t.Error(got, err)
	}
}

func TestRenameDoesWhatItsFlagsSay(t *testing.T) {
	directory := opened(t)
	kind := func(name string) uint32 {
		var stat syscall.Stat_t
		if err := Lstat(directory, name, &stat); err != nil {
			return 0
		}
		return stat.Mode & syscall.S_IFMT
	}
	if err := Rename(directory, "f", directory, "in", RenameNoReplace); err != syscall.EEXIST || kind("f") != syscall.S_IFREG {
		t.Error(err, kind("f"))
	}
	must(t, Rename(directory, "f", directory, "d", RenameExchange))
	if kind("f") != syscall.S_IFDIR || kind("d") != syscall.S_IFREG {
		t.Error(kind("f"), kind("d"))
	}
	must(t, Rename(directory, "d", directory, "in", 0))
	if kind("d") != 0 || kind("in") != syscall.S_IFREG {
		t.Error(kind("d"), kind("in"))
	}
}

func TestNamesAreMadeAndRemoved(t *testing.T) {
	directory := opened(t)
	must(t, Mkdir(directory, "n", 0o700), Link(directory, "in", directory, "n/in"))
	if target, err := Readlink(directory, "n/in"); err != nil || target != "d" { // not followed
		t.Error(target, err)
	}
	if err := Unlink(directory, "n"); err != syscall.EISDIR {
		t.Error(err)
	}
	if err := Rmdir(directory, "n"); err != syscall.ENOTEMPTY {
		t.Error(err)
	}
	must(t, Unlink(directory, "n/in"), Rmdir(directory, "n"))
	if err := Rmdir(directory, "f"); err != syscall.ENOTDIR {
		t.Error(err)
	}
}

func TestTimesAreThoseOfALinkItselfOrOfADescriptor(t *testing.T) {
	directory := opened(t)
	access, change := syscall.Timespec{Sec: 1, Nsec: 2}, syscall.Timespec{Sec: 3, Nsec: 999_999_999}
	file, err := OpenName(directory, "f", syscall.O_RDONLY, 0)
	must(t, err)
	defer syscall.Close(file)
	must(t, SetTimes(directory, "in", access, change), SetTimes(file, "", access, change), SetTimes(file, "", Omit, access))
	for name, want := range map[string][2]syscall.Timespec{"in": {access, change}, "f": {access, access}} {
		var stat syscall.Stat_t
		must(t, Lstat(directory, name, &stat))
		if stat.Atim != want[0] || stat.Mtim != want[1] {
			t.Error(name, stat.Atim, stat.Mtim)
		}
	}
	var stat syscall.Stat_t
	must(t, Lstat(directory, "d", &stat))
	if stat.Mtim == change {
		t.Error("the link was followed")
	}
}

func TestFilesAreWrittenAndReadInFull(t *testing.T) {
	directory := opened(t)
	fd, err := OpenName(directory, "f", syscall.O_RDWR, 0)
	must(t, err)
	defer syscall.Close(fd)
	must(t, WriteAll(fd, []byte("st"), 2), WriteAll(fd, nil, 9), Fchmod(fd, 0o640), Syncfs(fd))
	var stat syscall.Stat_t
	must(t, Fstat(fd, &stat))
	if stat.Size != 4 || stat.Mode&0o7777 != 0o640 {
		t.Error(stat.Size, stat.Mode)
	}
	buffer := make([]byte, 3)
	for _, want := range []string{"tes", "t", ""} {
		if n, err := ReadFull(fd, buffer); err != nil || string(buffer[:n]) != want {
			t.Errorf("%q %v", buffer[:n], err)
		}
	}
}
