package diff

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// git runs git in a directory, away from anybody's settings.
func git(t *testing.T, directory string, arguments ...string) string {
	t.Helper()
	output, err := gitCommand(directory, arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", arguments, err, output)
	}
	return string(output)
}

func copyCommand(from, to string) *exec.Cmd { return exec.Command("cp", "-a", from, to) }

func gitCommand(directory string, arguments ...string) *exec.Cmd {
	command := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@b"}, arguments...)...)
	command.Dir = directory
	command.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(directory), "LC_ALL=C")
	return command
}

func needGit(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git here")
	}
}

// checkPatches gives the patches of all entries, joined, to git apply in a copy of the lower tree, and expects to find
// there what the merged tree has.
func checkPatches(t *testing.T, roots Roots, entries []Entry) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	if output, err := copyCommand(roots.Lower, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	removeUnspeakable(roots, copied, entries)
	var joined strings.Builder
	for _, e := range entries {
		if e.Patch != nil {
			joined.WriteString(*e.Patch)
		}
	}
	if joined.Len() == 0 {
		return
	}
	for _, arguments := range [][]string{{"apply", "--check", "-"}, {"apply", "--whitespace=nowarn", "-"}} {
		command := gitCommand(copied, arguments...)
		command.Stdin = strings.NewReader(joined.String())
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s\n%s", arguments, err, output, joined.String())
		}
	}
	compareApplied(t, roots, copied, entries)
}

// removeUnspeakable does to the copy what git's patches cannot say: deletions of empty directories, FIFOs, binaries.
func removeUnspeakable(roots Roots, copied string, entries []Entry) {
	for _, e := range slices.Backward(entries) {
		stat, err := os.Lstat(filepath.Join(roots.Lower, e.Path))
		if err != nil || e.Status != Deleted && e.Status != TypeChanged {
			continue
		}
		if e.Patch == nil || stat.IsDir() || stat.Mode()&os.ModeNamedPipe != 0 {
			os.Remove(filepath.Join(copied, e.Path)) // directories: if they are empty
		}
	}
}

func compareApplied(t *testing.T, roots Roots, copied string, entries []Entry) {
	t.Helper()
	wanted, got := described(t, roots.Merged), described(t, copied)
	for _, e := range entries {
		if e.Patch == nil {
			continue
		}
		want, there := wanted[e.Path]
		have, isThere := got[e.Path]
		there = there && (want.mode.IsRegular() || want.mode&os.ModeSymlink != 0) // all else is nothing to git
		isThere = isThere && !have.mode.IsDir()
		if there != isThere || want.mode.Type() != have.mode.Type() && there || want.content != have.content && there {
			t.Errorf("%q: want %v, have %v\n%s", e.Path, want, have, *e.Patch)
		}
		if there && want.mode.IsRegular() && want.mode&0o100 != have.mode&0o100 {
			t.Errorf("%q: want %v, have %v", e.Path, want.mode, have.mode)
		}
	}
}
