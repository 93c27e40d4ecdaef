package diff

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// meanwhile looks so many times while something acts over and over again.
func meanwhile(t *testing.T, act func() error, times int, look func()) {
	t.Helper()
	var over atomic.Bool
	ended := make(chan error)
	go func() {
		var err error
		for err == nil && !over.Load() {
			err = act()
		}
		ended <- err
	}()
	defer func() {
		over.Store(true)
		must(t, <-ended)
	}()
	for range times {
		look()
	}
}

// TestWhatIsMovedOutOfATreeMeanwhileIsAbsent has a long way through one directory, which is moved out and in again: the
// longer the kernel is on its way, the more often it notices only at the end that it has left the tree.
func TestWhatIsMovedOutOfATreeMeanwhileIsAbsent(t *testing.T) {
	paths := makeDirectories(t, "lower", "upper", "merged", "outside")
	way := strings.Repeat("a/", 500)
	put(t, paths[0], map[string]string{way + "old": ""})
	put(t, paths[2], map[string]string{way + "new": ""})
	roots := Roots{Lower: paths[0], Upper: paths[1], Merged: paths[2]}
	swing := func(root string) func() error {
		in, out := filepath.Join(root, "a"), filepath.Join(paths[3], "a")
		return func() error {
			if err := os.Rename(in, out); err != nil {
				return err
			}
			return os.Rename(out, in)
		}
	}
	for root, left := range map[string]string{roots.Lower: way + "new", roots.Merged: way + "old"} {
		meanwhile(t, swing(root), 5, func() {
			entries := collected(t, CompareFull, roots, Options{})
			if !slices.ContainsFunc(entries, func(e Entry) bool { return e.Path == left }) {
				t.Error("the tree that stands still was not seen to its end:", len(entries))
			}
		})
	}
}

// TestWhatIsRemovedFromAnOverlayMeanwhileIsAbsent is about the upper layer: the kernel moves a removed directory out of
// it, to its work directory.
func TestWhatIsRemovedFromAnOverlayMeanwhileIsAbsent(t *testing.T) {
	roots := mountOverlay(t, func(lower string) { must(t, os.MkdirAll(filepath.Join(lower, "d/d"), 0o755)) })
	removed := filepath.Join(roots.Merged, "d/d")
	again := func() error {
		if err := os.Remove(removed); err != nil {
			return err
		}
		return os.Mkdir(removed, 0o755)
	}
	must(t, again())
	meanwhile(t, again, 4000, func() { collected(t, Compare, roots, Options{}) })
}
