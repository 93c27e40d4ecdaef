package tree

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pyro.local/guest/internal/at"
)

// layers is an overlay as a guest has it: the upper layer on a journaled ext4 of its own.
type layers struct {
	lower, image, disk, merged string
}

// run runs a command of the machine.
func run(t testing.TB, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v %s", argv, err, out)
	}
}

// mounted mounts the image, which is given by an earlier one's if there is any, and the overlay. It skips the test where
// the machine does not let it.
func mounted(t *testing.T, lower, image string) *layers {
	t.Helper()
	top := temp(t)
	l := &layers{lower: lower, image: image, disk: filepath.Join(top, "disk"), merged: filepath.Join(top, "merged")}
	must(t, os.Mkdir(l.disk, 0o755), os.Mkdir(l.merged, 0o755))
	l.mount(t)
	t.Cleanup(func() { // whatever a test that failed has left open
		syscall.Unmount(l.merged, syscall.MNT_DETACH)
		syscall.Unmount(l.disk, syscall.MNT_DETACH)
	})
	return l
}

func (l *layers) mount(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "loop", l.image, l.disk).CombinedOutput(); err != nil {
		t.Skipf("mounting an image is refused here: %v %s", err, out)
	}
	upper, work := filepath.Join(l.disk, "upper"), filepath.Join(l.disk, "work")
	must(t, os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755))
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on,index=on,xino=on,metacopy=off", l.lower, upper, work)
	if err := syscall.Mount("overlay", l.merged, "overlay", 0, options); err != nil {
		syscall.Unmount(l.disk, 0)
		t.Skip("mounting an overlay is refused here: ", err)
	}
}

func (l *layers) unmount(t *testing.T) {
	t.Helper()
	must(t, syscall.Unmount(l.merged, 0), syscall.Unmount(l.disk, 0))
}

// overlaid makes an overlay whose lower layer is what fill makes.
func overlaid(t *testing.T, fill func(lower string)) *layers {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount an overlay")
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("there is no mkfs.ext4 to make an upper layer with")
	}
	top := temp(t)
	lower, image := filepath.Join(top, "lower"), filepath.Join(top, "image")
	must(t, os.Mkdir(lower, 0o755), os.WriteFile(image, nil, 0o600), os.Truncate(image, 16<<20))
	run(t, "mkfs.ext4", "-q", "-b", "4096", "-J", "size=4", image)
	fill(lower)
	return mounted(t, lower, image)
}

func TestANastyTreeSurvivesTheJourneyFromOverlayToOverlay(t *testing.T) {
	from := overlaid(t, func(lower string) { nasty(t, lower) })
	to := overlaid(t, func(lower string) { prepare(t, lower) })
	before := portrait(t, from.merged)
	stream, _ := exported(t, opened(t, from.merged), "")
	root := opened(t, to.merged)
	if _, err := root.pushed("merged/nasty", bytes.NewReader(stream.Bytes())); err != nil {
		t.Fatal(err)
	}
	same(t, before, portrait(t, filepath.Join(to.merged, "merged/nasty")))
	again, _ := exported(t, root, "merged/nasty")
	if !bytes.Equal(stream.Bytes(), again.Bytes()) {
		t.Error("the second export differs from the first")
	}
}

func TestOnAnOverlayAFailureAtAnyStepOfAPushChangesNothing(t *testing.T) {
	l := overlaid(t, func(lower string) { prepare(t, lower) })
	s := newScene(t, "", true)
	want := s.after(t, portrait(t, l.merged))
	if steps := failEverywhere(t, l.merged, l.merged, s); len(steps) < 50 {
		t.Error("there were only", steps)
	}
	same(t, s.timeless(want), s.timeless(portrait(t, l.merged)))
	root := brief(t, l.merged)
	for _, path := range []string{"merged/stays", "merged/new", "same", "hard 1"} {
		if _, err := root.Write(path, []byte("written")); err != nil {
			t.Error(err)
		}
	}
	root.Close()
	want = portrait(t, l.merged)
	l.unmount(t)
	l.mount(t)
	same(t, want, portrait(t, l.merged))
}

// TestADirectoryTooLongToMoveIsReplaced has one of the lower layer whose path does not fit into the attribute in which an
// overlay keeps where a directory came from.
func TestADirectoryTooLongToMoveIsReplaced(t *testing.T) {
	long := strings.Repeat("a directory with a long name/", 15)
	l := overlaid(t, func(lower string) {
		file(t, lower, long+"old/inner/f", "old")
		file(t, lower, "old/inner/f", "old")
		age(t, lower)
	})
	entries := []entry{{name: "old", text: "new"}, {name: long + "old", text: "new"}, {name: "z", text: "new"}}
	s := scene{stream: archived(t, entries...).Bytes()}
	want := portrait(t, l.merged)
	if steps := failEverywhere(t, l.merged, l.merged, s); !slices.Contains(steps, "displace") {
		t.Error("nothing was too long in", steps)
	}
	got := portrait(t, l.merged)
	for _, path := range []string{"old", long + "old"} {
		delete(want, path+"/inner")
		delete(want, path+"/inner/f")
		if !strings.HasPrefix(got[path], "100644 ") {
			t.Error(path, got[path])
		}
	}
	want["z"] = ""
	for path := range got {
		if _, known := want[path]; !known || len(got) != len(want) {
			t.Error(len(got), len(want), path)
		}
	}
}

// cut copies the disk of the upper layer as it is, as a machine that loses its power leaves it, and starts from the copy.
func (l *layers) cut(t *testing.T) map[string]string {
	t.Helper()
	disk := filepath.Join(temp(t), "copy")
	run(t, "cp", "--sparse=always", l.image, disk)
	copied := mounted(t, l.lower, disk)
	defer copied.unmount(t)
	root := brief(t, copied.merged)
	defer root.Close()
	_, err := root.Recover()
	must(t, err)
	return portrait(t, copied.merged)
}

// settle has the file system write down what was done, but not the contents of files that nobody has asked it for.
func (l *layers) settle(t *testing.T) {
	t.Helper()
	other, err := os.Create(filepath.Join(l.disk, "other"))
	must(t, err)
	_, err = other.WriteString("x")
	must(t, err, other.Sync(), other.Close())
}

func TestAPowerCutAtAnyStepOfAPushLeavesTheOldTreeOrTheNew(t *testing.T) {
	long := strings.Repeat("a directory with a long name/", 15)
	l := overlaid(t, func(lower string) {
		prepare(t, lower)
		file(t, lower, long+"old/f", "old")
		age(t, lower)
	})
	s := newScene(t, "", true, entry{name: long + "old", text: "new", mtime: time.Unix(1, 2)})
	before := portrait(t, l.merged)
	want := s.timeless(s.after(t, before))
	root := opened(t, l.merged)
	root.sync = at.Syncfs
	must(t, root.sync(root.fd))
	var outcomes []string
	judge := func() {
		got := l.cut(t)
		old, now := differences(before, got), differences(want, s.timeless(got))
		switch {
		case old == nil:
			outcomes = append(outcomes, "old")
		case now == nil:
			outcomes = append(outcomes, "new")
		default:
			t.Fatalf("after %d: neither old %q nor new %q", len(outcomes), old, now)
		}
	}
	erased := false
	root.hook = func(step string) error {
		if step == "member" || step == "stage" || step == "staged" || step == "erase" && erased {
			return nil
		}
		erased = step == "erase"
		judge()
		l.settle(t)
		judge()
		return nil
	}
	_, err := root.pushed("", bytes.NewReader(s.stream))
	must(t, err)
	l.settle(t)
	judge()
	text := strings.Join(outcomes, " ")
	if n := len(outcomes); n < 50 || outcomes[n-1] != "new" || strings.Contains(text, "new old") {
		t.Error(text)
	}
	same(t, want, s.timeless(portrait(t, l.merged)))
}

func TestAPowerCutAfterAWriteLeavesTheOldContentOrTheNew(t *testing.T) {
	l := overlaid(t, func(lower string) { prepare(t, lower) })
	root := opened(t, l.merged)
	must(t, at.Syncfs(root.fd))
	before := portrait(t, l.merged)
	root.hook = func(string) error {
		l.settle(t)
		same(t, before, l.cut(t))
		return nil
	}
	for _, path := range []string{"merged/same", "merged/new", "made/on/the/way"} {
		_, err := root.Write(path, bytes.Repeat([]byte("written"), 1000))
		must(t, err)
		l.settle(t)
		want := portrait(t, l.merged)
		same(t, want, l.cut(t))
		before = want
	}
}
