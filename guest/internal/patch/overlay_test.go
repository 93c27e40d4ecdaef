package patch

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pyro.local/guest/internal/diff"
)

// mountOverlay mounts a workspace over a lower tree. It skips the test where the kernel does not let this user mount.
func mountOverlay(t *testing.T, lower string) (upper, merged string) {
	t.Helper()
	disk, merged := t.TempDir(), t.TempDir()
	mount(t, "tmpfs", disk, "tmpfs", "mode=755")
	upper, work := filepath.Join(disk, "upper"), filepath.Join(disk, "work")
	must(t, os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755))
	mount(t, "overlay", merged, "overlay", fmt.Sprintf(
		"lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on,index=on,xino=on,metacopy=off", lower, upper, work))
	return upper, merged
}

func mount(t *testing.T, source, target, kind, options string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, 0, options); err != nil {
		t.Skipf("no mounting here: %s: %v", kind, err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(target, syscall.MNT_DETACH)) })
}

// TestAnOverlayIsPatched applies a diff to the workspace that it was made for, and expects that workspace to differ from
// its baseline by the same diff then.
func TestAnOverlayIsPatched(t *testing.T) {
	random := rand.New(rand.NewPCG(71, 72))
	names := []string{"x", "d/x", "d/e/x", "d/e/y", "f", "g/h/i", "g/h/j"}
	for range 10 {
		lower := randomTree(t, random, names)
		after := lower + "-after"
		run("/", "", "cp", "-a", lower, after)
		disturb(t, random, after, names)
		removeEmpty(after)
		wanted := patchOf(t, diff.CompareFull, diff.Roots{Lower: lower, Merged: after})
		if wanted == "" {
			continue
		}
		upper, merged := mountOverlay(t, lower)
		if _, err := applied(t, merged, wanted); err != nil {
			t.Fatal(err)
		}
		roots := diff.Roots{Lower: lower, Upper: upper, Merged: merged}
		if got := patchOf(t, diff.Compare, roots); got != wanted {
			t.Errorf("want\n%s\nhave\n%s", wanted, got)
		}
		before := stamps(t, merged)
		if _, err := applied(t, merged, wanted); err == nil || stamps(t, merged) != before {
			t.Error(err, "though it was applied already")
		}
	}
}

// TestARollBackInAnOverlayLeavesNoDifference fails at the last step, after files and a directory were taken away.
func TestARollBackInAnOverlayLeavesNoDifference(t *testing.T) {
	lower := tree(t, map[string]string{"a/b/c": "a\n", "full/stays": "", "x": "a\n"})
	must(t, os.Chmod(filepath.Join(lower, "a/b"), 0o711))
	upper, merged := mountOverlay(t, lower)
	before := stamps(t, merged)
	_, err := applied(t, merged, "--- a/a/b/c\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+b\n"+
		"--- a/x\n+++ b/x\n"+oneHunk+"--- /dev/null\n+++ b/new/y\n@@ -0,0 +1 @@\n+b\n--- /dev/null\n+++ b/full\n@@ -0,0 +1 @@\n+b\n")
	if err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Fatal(err)
	}
	if after := stamps(t, merged); after != before {
		t.Errorf("want\n%s\nhave\n%s", before, after)
	}
	for _, compare := range []comparing{diff.Compare, diff.CompareFull} {
		if got := patchOf(t, compare, diff.Roots{Lower: lower, Upper: upper, Merged: merged}); got != "" {
			t.Error(got)
		}
	}
}
