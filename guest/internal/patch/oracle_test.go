package patch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pyro.local/guest/internal/diff"
)

// run runs a program in a directory, away from anybody's settings, and tells whether it succeeded.
func run(directory, input string, arguments ...string) (string, bool) {
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Dir = directory
	command.Stdin = strings.NewReader(input)
	command.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C",
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(directory), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	output, err := command.CombinedOutput()
	return string(output), err == nil
}

func needPrograms(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("no " + program + " here")
		}
	}
}

func randomText(random *rand.Rand, lines, kinds int) string {
	var text strings.Builder
	for range lines {
		fmt.Fprintf(&text, "line %d\n", random.IntN(kinds))
	}
	if text.Len() > 0 && random.IntN(4) == 0 {
		return strings.TrimSuffix(text.String(), "\n")
	}
	return text.String()
}

func mutated(random *rand.Rand, text string, edits int) string {
	lines := strings.SplitAfter(text, "\n")
	for range edits {
		at := random.IntN(len(lines))
		switch random.IntN(3) {
		case 0:
			lines[at] = fmt.Sprintf("changed %d\n", random.IntN(9))
		case 1:
			lines[at] += fmt.Sprintf("new %d\n", random.IntN(9))
		case 2:
			lines[at] = ""
		}
	}
	return strings.Join(lines, "")
}

// TestHunksLandWhereOtherProgramsPutThem has a file drift away from the one that a patch was made for, and compares with
// git apply and GNU patch without fuzz. Where those agree, so must we.
func TestHunksLandWhereOtherProgramsPutThem(t *testing.T) {
	needPrograms(t, "git", "patch", "diff")
	random := rand.New(rand.NewPCG(41, 42))
	agreed, fitted := 0, 0
	for round := range 90 {
		old := randomText(random, 5+random.IntN(40), 3+random.IntN(60))
		new := mutated(random, old, 1+random.IntN(4))
		drifted := old
		if round%3 > 0 {
			drifted = mutated(random, old, 1+random.IntN(3))
		}
		work := tree(t, map[string]string{"a/x": old, "b/x": new, "git/x": drifted, "patch/x": drifted, "ours/x": drifted})
		text, _ := run(work, "", "diff", fmt.Sprintf("-U%d", 1+random.IntN(3)), "a/x", "b/x")
		if text == "" {
			continue
		}
		_, gitFits := run(filepath.Join(work, "git"), text, "git", "apply", "--whitespace=nowarn", "-")
		_, patchFits := run(filepath.Join(work, "patch"), text, "patch", "-p1", "-F0", "-s", "-f", "--no-backup-if-mismatch", "-r-")
		byGit, byPatch := content(t, work, "git/x"), content(t, work, "patch/x")
		_, err := applied(t, filepath.Join(work, "ours"), text)
		ours := content(t, work, "ours/x")
		if gitFits && patchFits && byGit == byPatch {
			agreed++
			if err != nil || ours != byGit {
				t.Errorf("%v\n%s\napplied to %q gives %q, by others %q", err, text, drifted, ours, byGit)
			}
		}
		if err == nil {
			fitted++
		} else if ours != drifted {
			t.Error("a patch that was refused has changed the file")
		}
		if round%3 == 0 && (err != nil || ours != new) {
			t.Errorf("%v\n%s\napplied to %q gives %q", err, text, drifted, ours)
		}
	}
	t.Logf("the others agreed on %d, we applied %d", agreed, fitted)
	if agreed < 35 {
		t.Error("this test shows too little")
	}
}

func content(t *testing.T, root, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	must(t, err)
	return string(text)
}

// TestDiffsOfTreesDoAsGitDoes changes a tree at random and applies what git diff and diff -N say of it.
func TestDiffsOfTreesDoAsGitDoes(t *testing.T) {
	needPrograms(t, "git", "diff")
	random := rand.New(rand.NewPCG(51, 52))
	names := []string{"x", "y y", "d/x", "d/e/x", "ä", "q\"\\", "d-e", "tab\t", "f", "g/h/i"}
	for range 5 {
		before, after := randomTree(t, random, names), ""
		run(before, "", "git", "init", "-q")
		run(before, "", "git", "add", "-A")
		run(before, "", "git", "commit", "-qm", "before")
		disturb(t, random, before, names)
		run(before, "", "git", "add", "-A")
		for _, options := range [][]string{{}, {"-M"}, {"-M10%", "-C", "--find-copies-harder"}, {"--no-prefix"}, {"-U0"}, {"-U1"}} {
			text, ok := run(before, "", append([]string{"git", "diff", "--cached", "HEAD"}, options...)...)
			if !ok {
				t.Fatal(text)
			}
			root := t.TempDir()
			run(before, "", "sh", "-c", "git archive HEAD | tar -x -C "+root)
			if text != "" {
				if _, err := applied(t, root, text); err != nil {
					t.Fatalf("%v: %v\n%s", options, err, text)
				}
			}
			run(before, "", "git", "checkout-index", "-a", "-f", "--prefix="+root+"-after/")
			must(t, os.MkdirAll(root+"-after", 0o755))
			if after = listed(t, root+"-after"); listed(t, root) != after {
				t.Fatalf("%v\n%s\nwant\n%s\nhave\n%s", options, text, after, listed(t, root))
			}
			must(t, os.RemoveAll(root+"-after"))
		}
	}
}

func randomTree(t *testing.T, random *rand.Rand, names []string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		if random.IntN(3) > 0 {
			plant(t, random, filepath.Join(root, name))
		}
	}
	return root
}

func plant(t *testing.T, random *rand.Rand, path string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	switch random.IntN(5) {
	case 0:
		must(t, os.Symlink(fmt.Sprintf("nowhere %d", random.IntN(9)), path))
	case 1:
		must(t, os.WriteFile(path, nil, 0o644))
	default:
		must(t, os.WriteFile(path, []byte(randomText(random, random.IntN(30), 40)), []os.FileMode{0o644, 0o755}[random.IntN(2)]))
	}
}

func disturb(t *testing.T, random *rand.Rand, root string, names []string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(root, name)
		info, err := os.Lstat(path)
		switch choice := random.IntN(8); {
		case err != nil && choice < 4:
			plant(t, random, path)
		case err != nil:
		case choice == 0:
			must(t, os.Remove(path))
		case choice == 1:
			must(t, os.Rename(path, path+" moved"))
		case choice == 2:
			must(t, os.Remove(path))
			plant(t, random, path)
		case choice == 3: // a directory comes in the place of a file
			must(t, os.Remove(path))
			plant(t, random, filepath.Join(path, "in"))
		case info.Mode().IsRegular() && choice < 7:
			text, err := os.ReadFile(path)
			must(t, err, os.WriteFile(path, []byte(mutated(random, string(text), 3)), 0o644))
		case info.Mode().IsRegular():
			must(t, os.Chmod(path, info.Mode()^0o111))
			must(t, os.WriteFile(path+" copy", []byte(content(t, root, name)), 0o644))
		}
	}
}

// TestOurOwnDiffsApply has diff and patch meet.
func TestOurOwnDiffsApply(t *testing.T) {
	random := rand.New(rand.NewPCG(61, 62))
	names := []string{"x", "y y", "d/x", "d/e/x", "ä", "q\"\\", "d-e", "d/\xff", "f", "g/h/i"}
	for range 40 {
		before := randomTree(t, random, names)
		after := before + "-after"
		if output, ok := run("/", "", "cp", "-a", before, after); !ok {
			t.Fatal(output)
		}
		disturb(t, random, after, names)
		text := patchOf(t, diff.CompareFull, diff.Roots{Lower: before, Merged: after})
		if text != "" {
			if _, err := applied(t, before, text); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
		}
		removeEmpty(after)
		if got, want := listed(t, before), listed(t, after); got != want {
			t.Fatalf("%s\nwant\n%s\nhave\n%s", text, want, got)
		}
	}
}

// removeEmpty removes the directories that patches know nothing of.
func removeEmpty(root string) {
	run(root, "", "find", ".", "-mindepth", "1", "-type", "d", "-empty", "-delete")
}

type comparing func(context.Context, diff.Roots, diff.Options, func(diff.Entry) error) (int, error)

// patchOf joins the patches of all differences, and names those that have none.
func patchOf(t *testing.T, compare comparing, roots diff.Roots) string {
	t.Helper()
	var text strings.Builder
	_, err := compare(t.Context(), roots, diff.Options{Patches: true}, func(e diff.Entry) error {
		if e.Patch != nil {
			text.WriteString(*e.Patch)
		} else if e.Type != diff.Directory {
			t.Error(e.Path, "has no patch")
		}
		return nil
	})
	must(t, err)
	return text.String()
}
