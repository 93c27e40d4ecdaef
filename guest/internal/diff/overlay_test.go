package diff

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const workspaceOptions = "redirect_dir=on,index=on,xino=on,metacopy=off"

// mountOverlay mounts a workspace whose lower tree plant has made. Both layers are file systems of their own, as in a
// guest. It skips the test where the kernel does not let this user mount.
func mountOverlay(t *testing.T, plant func(lower string)) Roots {
	t.Helper()
	paths := makeDirectories(t, "lower", "disk", "merged")
	mount(t, "tmpfs", paths[0], "tmpfs", "mode=755")
	mount(t, "tmpfs", paths[1], "tmpfs", "mode=755")
	upper, work := filepath.Join(paths[1], "upper"), filepath.Join(paths[1], "work")
	must(t, os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755))
	plant(paths[0])
	mount(t, "overlay", paths[2], "overlay",
		fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,%s", paths[0], upper, work, workspaceOptions))
	links, err := HardLinks(paths[0])
	must(t, err)
	return Roots{Lower: paths[0], Upper: upper, Merged: paths[2], LowerHardLinks: links}
}

func mount(t *testing.T, source, target, kind, options string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, 0, options); err != nil {
		t.Skipf("no mounting here: %s: %v", kind, err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(target, syscall.MNT_DETACH)) })
}

// descriptors names the same roots the way the agent does, by descriptors it holds.
func descriptors(t *testing.T, roots Roots) Roots {
	t.Helper()
	held := func(path string) string {
		fd, err := openTree(path)
		must(t, err)
		t.Cleanup(fd.close)
		return "/proc/self/fd/" + strconv.Itoa(int(fd))
	}
	return Roots{held(roots.Lower), held(roots.Upper), held(roots.Merged), roots.LowerHardLinks}
}

// agree compares both ways, checks the patches, and returns the entries.
func agree(t *testing.T, roots Roots) []Entry {
	t.Helper()
	full := collected(t, CompareFull, roots, Options{Patches: true})
	fast := collected(t, Compare, descriptors(t, roots), Options{Patches: true})
	if summary(full) != summary(fast) {
		t.Errorf("want\n%s\nhave\n%s", summary(full), summary(fast))
	}
	if want := differences(t, roots.Lower, roots.Merged); len(want) != len(full) {
		t.Errorf("want %v, have\n%s", want, summary(full))
	}
	if _, err := exec.LookPath("git"); err == nil {
		checkPatches(t, roots, full)
	}
	return full
}

func shell(t *testing.T, directory, script string) {
	t.Helper()
	command := exec.Command("/bin/sh", "-euc", script)
	command.Dir = directory
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, output)
	}
}

const planted = `
	mkdir -p d/sub/deep e empty
	echo 1 >d/1; echo 2 >d/sub/2; echo 3 >d/sub/deep/3; echo 4 >e/4; echo 5 >5; echo 6 >d-6
	echo shared >linked; ln linked e/linked; ln linked d/sub/linked; ln -s 5 link
	seq 100 >numbers; chmod 755 numbers; dd if=/dev/zero of=zeros bs=4096 count=4 status=none
`

func TestAnOverlayIsComparedByItsUpperLayer(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"nothing", "true", ""},
		{"touch", "touch 5 d d/sub/2; chmod 644 5; echo 2 >d/sub/2; chown 1 d", ""},
		{"chmod", "chmod 600 5; chmod 700 d/sub; chmod u+s numbers", "5 modified file\nd/sub modified directory\nnumbers modified file\n"},
		{"exec bit", "chmod 755 5", "5 modified file\n"},
		{"edit", "sed -i s/50/fifty/ numbers; echo 7 >>d/sub/deep/3", "d/sub/deep/3 modified file\nnumbers modified file\n"},
		{"same size", "printf '6\n' >5", "5 modified file\n"},
		{"delete", "rm 5 d/1", "5 deleted file\nd/1 deleted file\n"},
		{"delete a tree", "rm -r d", "d deleted directory\nd/1 deleted file\nd/sub deleted directory\nd/sub/2 deleted file\n" +
			"d/sub/deep deleted directory\nd/sub/deep/3 deleted file\nd/sub/linked deleted file\n"},
		{"opaque", "rm -r d; mkdir d; echo new >d/1", "d/1 modified file\nd/sub deleted directory\nd/sub/2 deleted file\n" +
			"d/sub/deep deleted directory\nd/sub/deep/3 deleted file\nd/sub/linked deleted file\n"},
		{"the same again", "rm -r e; mkdir e; echo 4 >e/4; echo shared >e/linked", ""},
		{"rename and back", "mv d x; mv x d", ""},
		{"hard link", "echo more >>linked", "d/sub/linked modified file\ne/linked modified file\nlinked modified file\n"},
		{"hard link, mode", "chmod 600 e/linked", "d/sub/linked modified file\ne/linked modified file\nlinked modified file\n"},
		{"hard link, one name gone", "echo more >>linked; rm linked",
			"d/sub/linked modified file\ne/linked modified file\nlinked deleted file\n"},
		{"hard link broken", "cp linked new; mv new linked; echo more >>linked", "linked modified file\n"},
		{"hard link below a renamed directory", "mv d x; echo more >>x/sub/linked", "d deleted directory\nd/1 deleted file\n" +
			"d/sub deleted directory\nd/sub/2 deleted file\nd/sub/deep deleted directory\nd/sub/deep/3 deleted file\n" +
			"d/sub/linked deleted file\ne/linked modified file\nlinked modified file\nx added directory\nx/1 added file\n" +
			"x/sub added directory\nx/sub/2 added file\nx/sub/deep added directory\nx/sub/deep/3 added file\nx/sub/linked added file\n"},
		{"link", "ln -sf 6 link", "link modified symlink\n"},
		{"file to link", "rm 5; ln -s e 5", "5 type_changed symlink\n"},
		{"link to file", "rm link; echo text >link", "link type_changed file\n"},
		{"file to directory", "rm 5; mkdir 5; echo in >5/in", "5 type_changed directory\n5/in added file\n"},
		{"directory to file", "rm -r e; echo file >e", "e type_changed file\ne/4 deleted file\ne/linked deleted file\n"},
		{"directory to link", "rm -r empty; ln -s d empty", "empty type_changed symlink\n"},
		{"empty", "mkdir n; touch n/e; rmdir empty", "empty deleted directory\nn added directory\nn/e added file\n"},
		{"other", "mkfifo f; mknod c c 1 3", "c added other\nf added other\n"},
		{"truncate", ": >zeros; truncate -s 9 5", "5 modified file\nzeros modified file\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			roots := mountOverlay(t, func(lower string) { shell(t, lower, planted) })
			shell(t, roots.Merged, c.script)
			if got := statuses(agree(t, roots)); got != c.want {
				t.Errorf("want\n%s\nhave\n%s", c.want, got)
			}
		})
	}
}

// TestRenamedDirectoriesAreComparedAtBothPlaces is about redirects: nested, renamed twice, exchanged, one inside another,
// and with changes below them.
func TestRenamedDirectoriesAreComparedAtBothPlaces(t *testing.T) {
	for _, script := range []string{
		"mv d x",
		"mv d x; mv x y",
		"mv d/sub s; mv d x",
		"mv d x; mv x/sub x/s; mv x/s/deep e/deep",
		"mv d e/d; mv e f",
		"mv d x; mkdir d; echo new >d/1; echo new >x/1; rm x/sub/2",
		"mv d x; mv e d; mv x e",
		"mv d/sub/deep d/sub2; rm -r d/sub; mv d/sub2 d/sub",
		"mv d x; mkdir d; mv x/sub d/sub; echo 9 >d/sub/deep/3; rm -r x",
		"mkdir n; mv d n/d; mv n/d/sub n/sub; rmdir n/d/sub 2>/dev/null || true; chmod 700 n/sub/deep",
		"mv d/sub d/bus; mv d/bus d/sub; echo 9 >d/sub/2",
		"rm -r e; mv d e; mkdir d; touch d/1",
	} {
		t.Run(script, func(t *testing.T) {
			roots := mountOverlay(t, func(lower string) { shell(t, lower, planted) })
			shell(t, roots.Merged, script)
			agree(t, roots)
		})
	}
}

func TestAnOverlayDisturbedAtRandomIsComparedRightly(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 22))
	for range 6 {
		roots := mountOverlay(t, func(lower string) { gardener{random, lower}.plant(70) })
		for range 3 {
			gardener{random, roots.Merged}.disturb(12)
			agree(t, roots)
		}
	}
}

func TestGitWorksInTheOverlay(t *testing.T) {
	needGit(t)
	roots := mountOverlay(t, func(lower string) {
		git(t, lower, "init", "-q", "-b", "main")
		for n := range 20 {
			put(t, lower, map[string]string{fmt.Sprintf("src/p%d/f.go", n%5): strings.Repeat(fmt.Sprintln("line", n), 30),
				fmt.Sprintf("docs/%d.md", n): fmt.Sprintln("text", n)})
			git(t, lower, "add", ".")
			git(t, lower, "commit", "-qm", fmt.Sprint(n))
		}
	})
	for _, step := range [][]string{
		{"status"}, {"checkout", "-q", "HEAD~7"}, {"checkout", "-q", "-b", "side"}, {"mv", "src/p1", "src/q1"},
		{"mv", "docs", "text"}, {"commit", "-qam", "moved"}, {"gc", "-q"}, {"checkout", "-q", "main"},
		{"rm", "-qr", "src/p3"},
		{"stash"}, {"checkout", "-q", "side"}, {"checkout", "-q", "main"}, {"stash", "pop", "-q"}, {"commit", "-qam", "removed"}, {"reset", "-q", "--hard", "HEAD~2"}, {"repack", "-adq"}, {"clean", "-fdxq"},
	} {
		git(t, roots.Merged, step...)
		agree(t, roots)
	}
	git(t, roots.Merged, "fsck", "--full")
}

// TestTreesThatChangeMeanwhileDoNotDisturb compares while something else is at work, and once more when it has ended.
func TestTreesThatChangeMeanwhileDoNotDisturb(t *testing.T) {
	random := rand.New(rand.NewPCG(31, 32))
	roots := mountOverlay(t, func(lower string) { gardener{random, lower}.plant(70) })
	done := make(chan bool)
	go func() {
		defer close(done)
		gardener{rand.New(rand.NewPCG(33, 34)), roots.Merged}.disturb(600)
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		for _, compare := range []comparing{Compare, CompareFull} {
			collected(t, compare, roots, Options{Patches: true})
		}
	}
	agree(t, roots)
}

func TestHardLinksAreTheNamesOfFilesWithSeveral(t *testing.T) {
	root := t.TempDir()
	shell(t, root, planted)
	links, err := HardLinks(root)
	if want := []string{"d/sub/linked", "e/linked", "linked"}; err != nil || !slices.Equal(links, want) {
		t.Error(links, err)
	}
}

// TestMountsOnTopAreNotEntered has a file system mounted inside: it is no part of the workspace.
func TestMountsOnTopAreNotEntered(t *testing.T) {
	roots := mountOverlay(t, func(lower string) { shell(t, lower, planted) })
	mount(t, "tmpfs", filepath.Join(roots.Merged, "d"), "tmpfs", "mode=755")
	put(t, filepath.Join(roots.Merged, "d"), map[string]string{"elsewhere": "x"})
	must(t, os.Chtimes(filepath.Join(roots.Merged, "e"), time.Now(), time.Now()))
	for _, compare := range []comparing{Compare, CompareFull} {
		if got := statuses(collected(t, compare, roots, Options{})); got != "" {
			t.Error(got)
		}
	}
}
