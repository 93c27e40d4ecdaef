package tree

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"pyro.local/guest/internal/at"
)

const classified = "what nobody inside may read"

// attack is a tree in which others keep replacing directories and files by links that lead out.
type attack struct {
	outside, top string
	before       map[string]string // of what is outside
	held         []int
	over         atomic.Bool
	attackers    sync.WaitGroup
}

// attacked starts the attackers: one exchanges a directory with a link out, one a file with a link out, one renames
// directories back and forth, and one puts links into whatever is being staged.
func attacked(t *testing.T) *attack {
	t.Helper()
	a := &attack{outside: temp(t)}
	file(t, a.outside, "victim/f", classified)
	file(t, a.outside, "victim/b/f", classified)
	file(t, a.outside, "victim/b/c/f", classified)
	a.top = filepath.Join(a.outside, "top")
	for i := range 20 {
		file(t, a.top, fmt.Sprintf("a/b/c/%d", i), "harmless")
	}
	file(t, a.top, "a/b/f", "harmless")
	file(t, a.top, "a/f", "harmless")
	must(t, os.Symlink("../victim", filepath.Join(a.top, "link a")), os.Symlink("../../../victim/f", filepath.Join(a.top, "link f")),
		os.Symlink("/workspace/a/b", filepath.Join(a.top, "way")))
	a.before = portrait(t, filepath.Join(a.outside, "victim"))
	// They hold the directories themselves: by path, they would follow each other's links and do the damage.
	var held [3]int
	for i, path := range []string{"", "a", "a/b"} {
		fd, err := syscall.Open(filepath.Join(a.top, path), asReader, 0)
		must(t, err)
		held[i] = fd
	}
	a.held = held[:]
	must(t, os.Mkdir(filepath.Join(a.top, "moved"), 0o755))
	swap := func(from int, one string, other string) func() {
		return func() { at.Rename(held[from], one, held[0], other, at.RenameExchange) }
	}
	for _, act := range []func(){swap(0, "a", "link a"), swap(2, "f", "link f"), swap(1, "b", "moved"), a.spoil} {
		a.attackers.Go(func() {
			for !a.over.Load() {
				act()
			}
		})
	}
	return a
}

// spoil replaces what is found in staging by links that lead out, for a moment. Like a program that wants to do harm to
// others only, it goes over no link itself.
func (a *attack) spoil() {
	found, _ := filepath.Glob(filepath.Join(a.top, StagingPrefix+"*"))
	for _, staging := range found {
		for _, path := range []string{"tree/a/b", "tree/a", "tree/d", "tree", "journal", "aside-0", "tree/file"} {
			directory, name := cut(join(filepath.Base(staging), path))
			fd, err := openAt(a.held[0], directory, asPath, 0)
			if err != nil {
				continue
			}
			at.Rename(fd, name, fd, name+" aside", at.RenameNoReplace)
			at.Symlink(filepath.Join(a.outside, "victim"), fd, name)
			at.Unlink(fd, name)
			at.Rename(fd, name+" aside", fd, name, at.RenameNoReplace)
			syscall.Close(fd)
		}
	}
}

// end ends the attack and looks at the damage.
func (a *attack) end(t *testing.T) {
	t.Helper()
	a.over.Store(true)
	a.attackers.Wait()
	for _, fd := range a.held {
		syscall.Close(fd)
	}
	same(t, a.before, portrait(t, filepath.Join(a.outside, "victim")))
	found, err := os.ReadDir(a.outside)
	if len(found) != 2 || err != nil {
		t.Error(found, err)
	}
	if n := openBelow(t, a.outside); n != 0 {
		t.Error(n, "descriptors were left open")
	}
}

// openBelow counts the descriptors of what lies in a directory.
func openBelow(t *testing.T, directory string) (n int) {
	t.Helper()
	found, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, entry := range found {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err == nil && strings.HasPrefix(target, directory+"/") {
			t.Log(target)
			n++
		}
	}
	return n
}

// tolerable are the codes of what may fail in a tree that does not stand still.
func tolerable(t *testing.T, err error) (ok bool) {
	t.Helper()
	switch code(err) {
	case "<nil>":
		return true
	case PathNotFound, PathOutside, NotADirectory, NotAFile, IsADirectory, FileChanged, BadArchive:
	case IOError:
		for _, known := range []error{syscall.ENOTEMPTY, syscall.EEXIST, syscall.EISDIR, syscall.ELOOP} {
			if strings.HasSuffix(err.Error(), known.Error()) {
				return false
			}
		}
		t.Error(err)
	default:
		t.Error(err)
	}
	return false
}

const attempts = 30

func TestNothingOutsideIsReadWhileTheTreeIsAttacked(t *testing.T) {
	a := attacked(t)
	root := brief(t, a.top)
	done := 0
	for range attempts {
		for _, path := range []string{"", "a", "way", "a/b/f"} {
			var out bytes.Buffer
			if _, err := root.Export(context.Background(), path, &out); tolerable(t, err) {
				done++
			}
			data, _, err := root.Read(filepath.Join(path, "f"), 1000)
			if tolerable(t, err) {
				done++
			}
			err = root.List(context.Background(), path, true, func(e Entry) error {
				if e.Size == int64(len(classified)) {
					t.Error(e)
				}
				return nil
			})
			tolerable(t, err)
			_, _, err = root.Usage(context.Background())
			tolerable(t, err)
			if strings.Contains(out.String()+string(data), classified) {
				t.Fatal("something outside was read")
			}
		}
	}
	root.Close()
	a.end(t)
	if done < attempts/10 {
		t.Error("hardly anything came through:", done)
	}
}

func TestNothingOutsideIsWrittenWhileTheTreeIsAttacked(t *testing.T) {
	a := attacked(t)
	root := brief(t, a.top)
	stream := archived(t,
		entry{name: "a", kind: '5', mode: 0o2777}, entry{name: "a/b", kind: '5', mode: 0o777}, entry{name: "a/b/f", text: "pushed"},
		entry{name: "a/b/c/5", text: "pushed"}, entry{name: "d/e/f", text: "pushed", mode: 0o4777}, entry{name: "a/h", kind: '1', text: "a/b/f"},
		entry{name: "a/s", kind: '2', text: "/anywhere"}, entry{name: "file", text: "pushed"}, entry{name: "a/b/new/x/y", text: "pushed"},
	).Bytes()
	done := 0
	for i := range attempts {
		for _, path := range []string{"a/b/f", "way/f", "a/n/e/w", fmt.Sprint("a/b/new", i)} {
			if _, err := root.Write(path, []byte("written")); tolerable(t, err) {
				done++
			}
		}
		for _, dest := range []string{"", "a", "way", fmt.Sprint("a/b/to/", i)} {
			if _, err := root.pushed(dest, io.MultiReader(bytes.NewReader(stream))); tolerable(t, err) {
				done++
			}
		}
	}
	_, err := root.Recover()
	tolerable(t, err)
	root.Close()
	a.end(t)
	if done < attempts/10 {
		t.Error("hardly anything came through:", done)
	}
}
