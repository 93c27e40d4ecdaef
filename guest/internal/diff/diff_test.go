package diff

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

type comparing func(context.Context, Roots, Options, func(Entry) error) (int, error)

// TestBothWaysFindWhatTheTreesShow disturbs trees at random and stands an upper layer up by hand: something at every
// path that differs, which is what the kernel would leave at the least.
func TestBothWaysFindWhatTheTreesShow(t *testing.T) {
	needGit(t)
	random := rand.New(rand.NewPCG(11, 12))
	for range 6 {
		roots := handmade(t, random)
		want := differences(t, roots.Lower, roots.Merged)
		full := collected(t, CompareFull, roots, Options{Patches: true})
		if len(full) != len(want) {
			t.Fatalf("want %v, have\n%s", want, summary(full))
		}
		for _, e := range full {
			if want[e.Path] != e.Status {
				t.Errorf("%q: want %s, have %s", e.Path, want[e.Path], e.Status)
			}
		}
		if fast := collected(t, Compare, roots, Options{Patches: true}); summary(fast) != summary(full) {
			t.Fatalf("want\n%s\nhave\n%s", summary(full), summary(fast))
		}
		checkPatches(t, roots, full)
	}
}

func handmade(t *testing.T, random *rand.Rand) Roots {
	t.Helper()
	paths := makeDirectories(t, "lower", "upper")
	roots := Roots{Lower: paths[0], Upper: paths[1], Merged: paths[0] + "-merged"}
	gardener{random, roots.Lower}.plant(60)
	cloneTree(t, roots.Lower, roots.Merged)
	gardener{random, roots.Merged}.disturb(30)
	merged := described(t, roots.Merged)
	changed := slices.Sorted(maps.Keys(differences(t, roots.Lower, roots.Merged)))
	for _, path := range changed {
		place := filepath.Join(roots.Upper, path)
		if os.MkdirAll(filepath.Dir(place), 0o755) != nil {
			continue // hidden below what stands for a whiteout
		}
		if merged[path].mode.IsDir() {
			must(t, os.MkdirAll(place, 0o755))
		} else {
			must(t, os.WriteFile(place, nil, 0o644)) // a whiteout, or anything that is no directory
		}
	}
	return roots
}

func TestPathsAreSortedByTheirBytes(t *testing.T) {
	paths := makeDirectories(t, "lower", "upper", "merged")
	put(t, paths[2], map[string]string{"a/x": "", "a-b": "", "a0": "", "a/y/z": ""})
	roots := Roots{Lower: paths[0], Upper: paths[2], Merged: paths[2]}
	for _, compare := range []comparing{Compare, CompareFull} {
		var found []string
		for _, e := range collected(t, compare, roots, Options{}) {
			found = append(found, e.Path)
		}
		if got := strings.Join(found, " "); got != "a a-b a/x a/y a/y/z a0" {
			t.Error(got)
		}
	}
}

func TestSkippedNamesAreSkippedAtTheTopOnly(t *testing.T) {
	paths := makeDirectories(t, "lower", "upper", "merged")
	put(t, paths[0], map[string]string{".pyro-staging-0/x": ""})
	put(t, paths[2], map[string]string{".pyro-staging-1/x": "", "a/.pyro-staging-2": ""})
	roots := Roots{Lower: paths[0], Upper: paths[2], Merged: paths[2]}
	skip := func(name string) bool { return strings.HasPrefix(name, ".pyro-staging-") }
	if got := statuses(collected(t, CompareFull, roots, Options{Skip: skip})); got != "a added directory\na/.pyro-staging-2 added file\n" {
		t.Error(got)
	}
}

func TestAFileReadAgainAfterTheLookIsTakenAsItIs(t *testing.T) {
	paths := makeDirectories(t, "lower", "upper", "merged")
	put(t, paths[2], map[string]string{"a": "a\n", "b": "b\n", "c": "c\n", "d": "d\n"})
	roots := Roots{Lower: paths[0], Upper: paths[1], Merged: paths[2]}
	var found []Entry
	_, err := CompareFull(t.Context(), roots, Options{Patches: true}, func(e Entry) error {
		if found = append(found, e); len(found) == 1 {
			must(t, os.Remove(filepath.Join(paths[2], "b")), os.Remove(filepath.Join(paths[2], "c")))
			must(t, syscall.Mkfifo(filepath.Join(paths[2], "b"), 0o600), os.Symlink("d", filepath.Join(paths[2], "c")))
		}
		return nil
	})
	if err != nil || len(found) != 4 {
		t.Fatal(err, summary(found))
	}
	if found[1].Patch != nil || found[2].Patch != nil || found[3].Patch == nil {
		t.Error(summary(found))
	}
}

func TestNoLinkIsFollowed(t *testing.T) {
	paths := makeDirectories(t, "lower", "upper", "merged", "elsewhere")
	put(t, paths[3], map[string]string{"secret": "secret\n"})
	put(t, paths[0], map[string]string{"d/secret": "known\n", "f": "known\n"})
	must(t, os.Symlink(paths[3], filepath.Join(paths[2], "d")))
	must(t, os.Symlink(filepath.Join(paths[3], "secret"), filepath.Join(paths[2], "f")))
	roots := Roots{Lower: paths[0], Upper: paths[2], Merged: paths[2]}
	for _, compare := range []comparing{Compare, CompareFull} {
		entries := collected(t, compare, roots, Options{Patches: true})
		if got := statuses(entries); got != "d type_changed symlink\nd/secret deleted file\nf type_changed symlink\n" {
			t.Error(got)
		}
		if strings.Contains(summary(entries), "+secret") {
			t.Error(summary(entries))
		}
	}
}

func TestBounds(t *testing.T) {
	paths := makeDirectories(t, "lower", "upper", "merged")
	put(t, paths[2], map[string]string{"a": "a\n", "b": strings.Repeat("b\n", 1000), "c": "c\n", "d": "\x00", "e/": ""})
	roots := Roots{Lower: paths[0], Upper: paths[1], Merged: paths[2]}
	nothing := func(Entry) error { return nil }
	if count, err := CompareFull(t.Context(), roots, Options{MaxEntries: 4}, nothing); !errors.Is(err, ErrTooManyEntries) || count != 4 {
		t.Error(count, err)
	}
	if count, err := CompareFull(t.Context(), roots, Options{MaxEntries: 5}, nothing); err != nil || count != 5 {
		t.Error(count, err)
	}
	entries := collected(t, CompareFull, roots, Options{Patches: true, MaxPatchBytes: 1000})
	for i, e := range entries {
		if wantCut := i >= 1 && i <= 3; e.Cut != wantCut || (e.Patch != nil) != (i == 0) || e.Binary {
			t.Error(e.Cut, summary([]Entry{e}))
		}
	}
	entries = collected(t, CompareFull, roots, Options{})
	if entries[0].Patch != nil || entries[0].Cut || entries[3].Binary {
		t.Error(summary(entries))
	}
}

func TestAPathThatIsTooLongIsAnError(t *testing.T) {
	paths := makeDirectories(t, "lower", "upper", "merged")
	name := strings.Repeat("n", 250)
	before, err := os.Open(".")
	must(t, err)
	defer before.Close()
	defer before.Chdir()
	must(t, os.Chdir(paths[2]))
	for range 20 {
		must(t, os.Mkdir(name, 0o755), syscall.Chdir(name))
	}
	roots := Roots{Lower: paths[0], Upper: paths[1], Merged: paths[2]}
	if _, err := CompareFull(t.Context(), roots, Options{}, func(Entry) error { return nil }); !errors.Is(err, ErrPathTooLong) {
		t.Error(err)
	}
}

func TestACancelledComparisonEnds(t *testing.T) {
	paths := makeDirectories(t, "lower", "upper", "merged")
	put(t, paths[2], map[string]string{"a/a/a": ""})
	ctx, cancel := context.WithCancel(t.Context())
	roots := Roots{Lower: paths[0], Upper: paths[1], Merged: paths[2]}
	count, err := CompareFull(ctx, roots, Options{}, func(Entry) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) || count != 1 {
		t.Error(count, err)
	}
}

func TestWhatIsNoTextIsBinary(t *testing.T) {
	for name, content := range map[string]string{
		"NUL": "a\x00b", "not UTF-8": "\xff\n", "long": strings.Repeat("a", maxText+1),
	} {
		paths := makeDirectories(t, "lower", "upper", "merged")
		put(t, paths[0], map[string]string{"changed": "text\n", "gone": content, "same": content})
		put(t, paths[2], map[string]string{"changed": content, "same": content, "new": content})
		must(t, os.Chmod(filepath.Join(paths[2], "same"), 0o755))
		roots := Roots{Lower: paths[0], Upper: paths[2], Merged: paths[2]}
		entries := collected(t, CompareFull, roots, Options{Patches: true})
		for _, e := range entries {
			if e.Binary != (e.Path != "same") || (e.Patch != nil) != (e.Path == "same") {
				t.Errorf("%s: %s", name, summary([]Entry{e}))
			}
		}
	}
}

func cloneTree(t *testing.T, from, to string) {
	t.Helper()
	if output, err := copyCommand(from, to).CombinedOutput(); err != nil {
		t.Fatal(err, string(bytes.TrimSpace(output)))
	}
}

func TestPathsThatGitRefusesHaveNoPatch(t *testing.T) {
	needGit(t)
	paths := makeDirectories(t, "lower", "upper", "merged")
	all := map[string]string{
		".git/HEAD": "no", "sub/.git": "no", ".GIT/x": "no", "git~1": "no", ".git. /x": "no", ".git:x": "no", `.git.\x`: "no",
		".gitignore": "yes", "git": "yes", ".gitx": "yes", "git~10": "yes", ".git-x": "yes", "x.git": "yes", `\.git`: "yes",
		".gitmodules": "yes",
	}
	put(t, paths[2], all)
	must(t, os.Symlink("x", filepath.Join(paths[2], "d-link")), os.Mkdir(filepath.Join(paths[2], "d"), 0o755),
		os.Symlink("x", filepath.Join(paths[2], "d/.gitmodules")))
	roots := Roots{Lower: paths[0], Upper: paths[2], Merged: paths[2]}
	entries := collected(t, CompareFull, roots, Options{Patches: true})
	for _, e := range entries {
		if expected, known := all[e.Path]; known && (e.Patch != nil) != (expected == "yes") || e.Binary {
			t.Error(summary([]Entry{e}))
		}
	}
	checkPatches(t, roots, entries)
}
