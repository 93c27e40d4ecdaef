package diff

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// names are few, so that what is done at random meets itself, and awkward.
var names = []string{"a", "a-b", "a b", "b", "c.txt", "ä", `q"u\o`, "t\tab", "new\nline", "\xff\xfe", ".hid", "a b b"}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

// gardener changes a tree at random. What the kernel refuses is left undone: that is for the trees to agree on.
type gardener struct {
	random *rand.Rand
	root   string
}

func (g gardener) paths() (directories, others []string) {
	directories = []string{g.root}
	filepath.WalkDir(g.root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && path != g.root && entry.IsDir() {
			directories = append(directories, path)
		} else if err == nil && path != g.root {
			others = append(others, path)
		}
		return nil
	})
	return directories, others
}

func (g gardener) content() []byte {
	switch g.random.IntN(8) {
	case 0:
		return nil
	case 1:
		return []byte("\x00binary" + fmt.Sprint(g.random.IntN(3)))
	case 2:
		return []byte("no utf-8 \xff\n")
	}
	return []byte(randomText(g.random, g.random.IntN(20), 12))
}

func (g gardener) plant(steps int) {
	for range steps {
		directories, others := g.paths()
		path := filepath.Join(pick(g.random, directories), pick(g.random, names))
		if len(path)-len(g.root) > 60 {
			continue
		}
		switch g.random.IntN(9) {
		case 0, 1, 2:
			os.Mkdir(path, pick(g.random, []fs.FileMode{0o755, 0o700}))
		case 3:
			// They lead nowhere: where git applies a patch below what was a link, it looks at what that led to.
			os.Symlink(pick(g.random, []string{"gone", "../gone", "/nowhere", "two\nlines", "\xff"}), path)
		case 4:
			if len(others) > 0 {
				os.Link(pick(g.random, others), path)
			}
		case 5:
			if g.random.IntN(3) == 0 {
				syscall.Mkfifo(path, 0o644)
			}
		default:
			g.write(path)
		}
	}
}

func (g gardener) write(path string) {
	if stat, err := os.Lstat(path); err == nil && !stat.Mode().IsRegular() {
		return // a FIFO would wait for a reader
	}
	os.WriteFile(path, g.content(), pick(g.random, []fs.FileMode{0o644, 0o755, 0o600}))
}

func (g gardener) disturb(steps int) {
	for range steps {
		directories, others := g.paths()
		path, directory := pick(g.random, append(others, directories...)), pick(g.random, directories)
		target := filepath.Join(directory, pick(g.random, names))
		if path == g.root || len(target)-len(g.root) > 60 {
			continue
		}
		switch g.random.IntN(11) {
		case 0:
			os.RemoveAll(path)
		case 1, 2, 3:
			os.Rename(path, target)
		case 4:
			mode := pick(g.random, []fs.FileMode{0o644, 0o755, 0o600, 0o755 | fs.ModeSetuid})
			if slices.Contains(directories, path) {
				mode |= 0o700 // or only root could look into it
			}
			os.Chmod(path, mode)
		case 5:
			os.Chtimes(path, time.Unix(1, 2), time.Unix(3, 4))
		case 6: // gone, and there again with nothing in it
			os.RemoveAll(path)
			os.Mkdir(path, 0o755)
		case 7:
			os.RemoveAll(path)
			g.write(path)
		case 8:
			g.edit(path)
		case 9:
			g.write(path)
		default:
			g.plant(2)
		}
	}
}

func (g gardener) edit(path string) {
	if stat, err := os.Lstat(path); err != nil || !stat.Mode().IsRegular() {
		return
	}
	text, _ := os.ReadFile(path)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer file.Close()
	new := edited(g.random, string(text), 2)
	file.Truncate(int64(len(new)))
	file.WriteAt([]byte(new), 0)
}

// collected runs a comparison and returns its entries.
func collected(t *testing.T, compare comparing, roots Roots, options Options) []Entry {
	t.Helper()
	var entries []Entry
	count, err := compare(t.Context(), roots, options, func(e Entry) error {
		entries = append(entries, e)
		return nil
	})
	if err != nil || count != len(entries) {
		t.Fatal(count, len(entries), err)
	}
	if !slices.IsSortedFunc(entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) }) {
		t.Fatal("not sorted:", summary(entries))
	}
	return entries
}

// summary has a line for each entry, patch and all.
func summary(entries []Entry) string {
	var text strings.Builder
	for _, e := range entries {
		patch := "none"
		if e.Patch != nil {
			patch = *e.Patch
		}
		fmt.Fprintf(&text, "%q %s %s binary=%v %q\n", e.Path, e.Status, e.Type, e.Binary, patch)
	}
	return text.String()
}

// statuses is summary without patches.
func statuses(entries []Entry) string {
	var text strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&text, "%s %s %s\n", e.Path, e.Status, e.Type)
	}
	return text.String()
}

// differences finds out the same as CompareFull in the plainest way.
func differences(t *testing.T, lower, merged string) map[string]Status {
	t.Helper()
	result := map[string]Status{}
	left, right := described(t, lower), described(t, merged)
	for path, before := range left {
		switch after, there := right[path]; {
		case !there:
			result[path] = Deleted
		case before.mode.Type() != after.mode.Type():
			result[path] = TypeChanged
		case before != after:
			result[path] = Modified
		}
	}
	for path := range right {
		if _, there := left[path]; !there {
			result[path] = Added
		}
	}
	return result
}

type description struct {
	mode    fs.FileMode
	content string
}

func described(t *testing.T, root string) map[string]description {
	t.Helper()
	all := map[string]description{}
	err := filepath.Walk(root, func(path string, info fs.FileInfo, err error) error {
		if err != nil || path == root {
			return err
		}
		this := description{mode: info.Mode()}
		var content []byte
		if info.Mode().IsRegular() {
			content, err = os.ReadFile(path)
			this.content = string(content)
		} else if info.Mode()&fs.ModeSymlink != 0 {
			this.content, err = os.Readlink(path)
		}
		all[strings.TrimPrefix(path, root+"/")] = this
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// makeDirectories makes empty directories in a fresh one.
func makeDirectories(t *testing.T, names ...string) []string {
	t.Helper()
	root := t.TempDir()
	var paths []string
	for _, name := range names {
		path := filepath.Join(root, name)
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// put writes files below root, with the directories they need; names that end in a slash are directories.
func put(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
