package image

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// disk mounts a fresh ext4 of so many MiB.
func disk(t *testing.T, size int64) string {
	t.Helper()
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("there is no mkfs.ext4 to make a disk with")
	}
	top := t.TempDir()
	image, point := filepath.Join(top, "image"), filepath.Join(top, "disk")
	must(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, size<<20), os.Mkdir(point, 0o755))
	if out, err := exec.Command("mkfs.ext4", "-q", "-b", "4096", "-I", "256", "-O", "^has_journal", image).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, point).CombinedOutput(); err != nil {
		t.Skipf("mounting an image is refused here: %v %s", err, out)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(point, 0)) }) // fails if a descriptor was left open
	return point
}

// mount mounts something until the test ends.
func mount(t *testing.T, source, target, kind string, flags uintptr, options string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		t.Skipf("mounting a %s is refused here: %v", kind, err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(target, 0)) })
}

// portrait says for each name below top all that a copy has to keep.
func portrait(t *testing.T, top string) map[string]string {
	t.Helper()
	looks, names := map[string]string{}, map[identity][]string{}
	must(t, filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat syscall.Stat_t
		if err := syscall.Lstat(path, &stat); err != nil {
			return err
		}
		name := strings.TrimPrefix(path, top)
		look := fmt.Sprintf("mode %o, owner %d:%d, changed %d.%09d", stat.Mode, stat.Uid, stat.Gid, stat.Mtim.Sec, stat.Mtim.Nsec)
		switch stat.Mode & syscall.S_IFMT {
		case syscall.S_IFDIR:
		case syscall.S_IFLNK:
			target, err := os.Readlink(path)
			must(t, err)
			look += fmt.Sprintf(", to %q", target)
		case syscall.S_IFREG:
			look += contents(t, path, stat.Size)
		default:
			look += fmt.Sprintf(", device %#x", stat.Rdev)
		}
		looks[name] = look + attributesOf(t, path)
		if stat.Mode&syscall.S_IFMT != syscall.S_IFDIR {
			names[identify(&stat)] = append(names[identify(&stat)], name)
		}
		return nil
	}))
	for _, same := range names {
		slices.Sort(same)
		for _, name := range same {
			looks[name] += fmt.Sprintf(", names %q", same)
		}
	}
	return looks
}

// contents tells the bytes of a file and where it has any.
func contents(t *testing.T, path string, size int64) string {
	t.Helper()
	bytes, err := os.ReadFile(path)
	must(t, err)
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	look := fmt.Sprintf(", %d bytes %x", size, sha256.Sum256(bytes))
	for end := int64(0); end < size; {
		start, stop, err := data(int(file.Fd()), end, size)
		must(t, err)
		look += fmt.Sprintf(", data %d-%d", start, stop)
		end = stop
	}
	return look
}

func attributesOf(t *testing.T, path string) string {
	t.Helper()
	p, err := syscall.BytePtrFromString(path)
	must(t, err)
	of, buffer, looks := bearer{path: p}, make([]byte, 64<<10), []string{}
	n, err := listAttributes(of, buffer)
	must(t, err)
	for name := range strings.SplitSeq(string(buffer[:n]), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		size, err := getAttribute(of, []byte(name+"\x00"), value)
		must(t, err)
		looks = append(looks, fmt.Sprintf("%s=%q", name, value[:size]))
	}
	slices.Sort(looks)
	return fmt.Sprintf(", attributes %v", looks)
}

// same compares portraits.
func same(t *testing.T, want, got map[string]string) {
	t.Helper()
	for name, look := range want {
		if got[name] != look {
			t.Errorf("%q is\n\t%s, not\n\t%s", name, got[name], look)
		}
	}
	for name := range got {
		if _, known := want[name]; !known {
			t.Errorf("%q was not there: %s", name, got[name])
		}
	}
}
