package tree

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// scene is a push onto a tree that has something of every kind in the way.
type scene struct {
	dest   string
	stream []byte
	paths  []string // of members, below dest
	unsaid []string // directories in which something changes although no member speaks of them
}

// prepare makes the tree.
func prepare(t testing.TB, top string) {
	t.Helper()
	for _, name := range []string{
		"stays", "same", "file over directory/x/y", "directory over file", "link over file", "merged/stays", "merged/same",
		"merged/deep/er/same", "merged/deep/er/stays", "implied/stays", "untouched/f", "file over link's end", "hard 1",
	} {
		file(t, top, name, "old "+name)
	}
	must(t,
		os.Symlink("file over link's end", filepath.Join(top, "file over link")),
		os.Symlink("untouched", filepath.Join(top, "directory over link")),
		os.Symlink("/workspace/merged/deep", filepath.Join(top, "way in")),
		os.Link(filepath.Join(top, "hard 1"), filepath.Join(top, "untouched/hard 2")),
		os.MkdirAll(filepath.Join(top, "link over directory/full"), 0o755),
		os.MkdirAll(filepath.Join(top, "directory over directory"), 0o700),
		syscall.Mkfifo(filepath.Join(top, "file over fifo"), 0o600),
		syscall.Chmod(filepath.Join(top, "merged"), 0o2750), syscall.Chmod(filepath.Join(top, "merged/deep"), 0o1777),
	)
	age(t, top)
}

func newScene(t testing.TB, dest string, top bool, more ...entry) scene {
	when := time.Unix(1_234_567_890, 987_654_321)
	of := func(name string, kind byte, text string, mode int64) entry {
		when = when.Add(time.Second + time.Nanosecond)
		return entry{name: name, kind: kind, text: text, mode: mode, mtime: when}
	}
	const directory, link, hard = tar.TypeDir, tar.TypeSymlink, tar.TypeLink
	entries := []entry{
		of("same", 0, "new same", 0o640), of("file over directory", 0, "new", 0o644), of("directory over file", directory, "", 0o750),
		of("directory over file/inner", 0, "new", 0o644), of("link over file", link, "/anywhere", 0o777), of("new", 0, "new", 0o4755),
		of("new directory", directory, "", 0o2755), of("new directory/sub", directory, "", 0o555), of("new directory/sub/f", 0, "new", 0o600),
		of("merged", directory, "", 0o711), of("merged/same", hard, "same", 0o640), of("merged/deep", directory, "", 0o700),
		of("merged/deep/er/same", 0, "new", 0o644), of("merged/deep/er/new", link, "x", 0o777), of("implied/new", 0, "new", 0o644),
		of("file over link", 0, "new", 0o644), of("directory over link", directory, "", 0o755), of("directory over link/f", 0, "new", 0o644),
		of("link over directory", link, "stays", 0o777), of("directory over directory", directory, "", 0o755), of("hard 1", 0, "new", 0o644),
		of("file over fifo", 0, "new", 0o644), of("\xff\n", 0, "new", 0o644),
	}
	entries = append(entries, more...)
	if top {
		entries = slices.Insert(entries, 0, of("./", directory, "", 0o751))
	}
	s := scene{dest: dest, stream: archived(t, entries...).Bytes()}
	s.unsaid = []string{path.Join(dest, "implied"), path.Join(dest, "merged/deep/er")}
	for _, e := range more {
		s.unsaid = append(s.unsaid, path.Dir(path.Join(dest, e.name)))
	}
	if !top {
		s.unsaid = append(s.unsaid, path.Clean("./"+dest))
	}
	for _, e := range entries {
		s.paths = append(s.paths, path.Clean(e.name))
	}
	return s
}

// after is what a push must make of a tree: members as they are in a directory of their own, the rest as it was. Of
// directories in which something changed although no member speaks of them, only the time is unknown.
func (s scene) after(t testing.TB, before map[string]string) map[string]string {
	t.Helper()
	alone := temp(t)
	root, err := Open(alone)
	must(t, err)
	defer root.Close()
	_, err = root.pushed("", bytes.NewReader(s.stream))
	must(t, err)
	members := portrait(t, alone)
	after := maps.Clone(before)
	for _, member := range s.paths {
		at := path.Join(s.dest, member)
		if old, ok := before[at]; ok && !(isDirectory(old) && isDirectory(members[member])) {
			maps.DeleteFunc(after, func(p, _ string) bool { return strings.HasPrefix(p, at+"/") })
		}
		after[at] = members[member]
		if strings.Contains(after[at], " is ") {
			after[at] = strings.ReplaceAll(after[at], fmt.Sprintf("is %q", "merged/same"), fmt.Sprintf("is %q", path.Join(s.dest, "merged/same")))
		}
	}
	after["untouched/hard 2"] = strings.TrimSuffix(before["untouched/hard 2"], ` is "hard 1" of 2`)
	return after
}

func isDirectory(line string) bool { return strings.HasPrefix(line, "4") }

// timeless leaves out the times of directories in which something changed that no member speaks of.
func (s scene) timeless(seen map[string]string) map[string]string {
	seen = maps.Clone(seen)
	for _, name := range s.unsaid {
		seen[name], _, _ = strings.Cut(seen[name], ".")
		seen[name] = strings.Join(strings.Fields(seen[name])[:2], " ")
	}
	return seen
}

func TestPushJoinsDirectoriesAndReplacesTheRest(t *testing.T) {
	for _, top := range []bool{false, true} {
		directory := temp(t)
		prepare(t, directory)
		s := newScene(t, "", top)
		want := s.after(t, portrait(t, directory))
		_, err := opened(t, directory).pushed("", bytes.NewReader(s.stream))
		must(t, err)
		same(t, s.timeless(want), s.timeless(portrait(t, directory)))
	}
}

func TestADestinationIsMadeOrFollowed(t *testing.T) {
	directory := temp(t)
	prepare(t, directory)
	must(t, os.Symlink("untouched/none", filepath.Join(directory, "promise")), os.Symlink("../..", filepath.Join(directory, "merged/out")))
	before := portrait(t, directory)
	root := opened(t, directory)
	for dest, lies := range map[string]string{
		"way in": "merged/deep", "promise": "untouched/none", "untouched/a/b/": "untouched/a/b", "way in/er/../n": "merged/deep/n",
	} {
		_, err := root.pushed(dest, archived(t, entry{name: "arrived"}))
		if _, missing := os.Lstat(filepath.Join(directory, lies, "arrived")); err != nil || missing != nil {
			t.Error(dest, err, missing)
		}
	}
	for dest, want := range map[string]string{
		"stays": NotADirectory, "stays/x": NotADirectory, "merged/out": PathOutside, "../x": PathOutside, "/tmp": PathOutside,
		StagingPrefix + "x": PathNotFound, "new/../x": PathNotFound, "file over fifo": NotADirectory,
	} {
		_, err := root.pushed(dest, archived(t, entry{name: "arrived"}))
		if code(err) != want {
			t.Errorf("%s: %v is not %s", dest, err, want)
		}
	}
	if after := portrait(t, directory); after["."] != before["."] {
		t.Error("the top is", after["."], "and was", before["."])
	}
}

// limited fails at one step.
type limited struct {
	left int
	name string // of the step that failed
}

var errInjected = errors.New("injected")

func (l *limited) step(name string) error {
	switch name {
	case "undo", "return", "discard", "erase":
		return nil
	}
	if l.left--; l.left == 0 {
		l.name = name
		return errInjected
	}
	return nil
}

// failEverywhere lets a push fail at each step in turn, until it succeeds, and looks at the tree each time.
func failEverywhere(t *testing.T, directory, look string, s scene) (failed []string) {
	t.Helper()
	before := portrait(t, look)
	for n := 1; ; n++ {
		limit := &limited{left: n}
		root := brief(t, directory)
		root.hook = limit.step
		_, err := root.pushed(s.dest, bytes.NewReader(s.stream))
		root.Close()
		if limit.left > 0 {
			must(t, err)
			return failed
		}
		if !errors.Is(err, errInjected) {
			t.Fatalf("step %d: %v", n, err)
		}
		failed = append(failed, limit.name)
		if found := differences(before, portrait(t, look)); found != nil {
			t.Fatalf("after failing at step %d, %s:\n%s", n, limit.name, strings.Join(found, "\n"))
		}
	}
}

func TestAFailureAtAnyStepOfAPushChangesNothing(t *testing.T) {
	for _, dest := range []string{"", "below", "missing/far/below"} {
		directory := temp(t)
		inner := filepath.Join(directory, strings.TrimPrefix(dest, "missing/far/below"))
		must(t, os.MkdirAll(inner, 0o755))
		if !strings.HasPrefix(dest, "missing") {
			prepare(t, inner)
		}
		age(t, directory)
		s := newScene(t, dest, dest != "below")
		want := s.after(t, portrait(t, directory))
		if steps := failEverywhere(t, directory, directory, s); len(steps) < 30 {
			t.Error("there were only", steps)
		}
		if dest == "" {
			same(t, s.timeless(want), s.timeless(portrait(t, directory)))
		}
	}
}

func TestTheDiskBeingFullFailsAPushWithItsOwnCode(t *testing.T) {
	directory := temp(t)
	if err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("mounting is refused here: ", err)
	}
	defer syscall.Unmount(directory, syscall.MNT_DETACH)
	file(t, directory, "f", "content")
	age(t, directory)
	before := portrait(t, directory)
	root := opened(t, directory)
	_, err := root.pushed("", archived(t, entry{name: "f", text: strings.Repeat("x", 2<<20)}))
	wantCode(t, err, NoSpace)
	_, err = root.Write("f", bytes.Repeat([]byte("x"), 2<<20))
	wantCode(t, err, NoSpace)
	same(t, before, portrait(t, directory))
}

// TestWithoutExchangeTwoMovesDo has a merge where the kernel refuses to exchange.
func TestWithoutExchangeTwoMovesDo(t *testing.T) {
	displaces = true
	defer func() { displaces = false }()
	TestPushJoinsDirectoriesAndReplacesTheRest(t)
	TestAFailureAtAnyStepOfAPushChangesNothing(t)
}

func TestPushesAndWritesAtTheSameTimeKeepTheTimeOfTheTop(t *testing.T) {
	directory := temp(t)
	file(t, directory, "d/f", "old")
	age(t, directory)
	before := portrait(t, directory)["."]
	root := opened(t, directory)
	done := make(chan error)
	for i := range 8 {
		go func() {
			var err error
			for range 20 {
				_, failure := root.pushed("d", bytes.NewReader(archived(t, entry{name: fmt.Sprint(i), text: "pushed"}).Bytes()))
				_, other := root.Write(fmt.Sprint("d/w", i), []byte("written"))
				err = errors.Join(err, failure, other)
			}
			done <- err
		}()
	}
	for range 8 {
		must(t, <-done)
	}
	if got := portrait(t, directory); got["."] != before || len(got) != 3+16 {
		t.Error(got["."], before, len(got))
	}
}
