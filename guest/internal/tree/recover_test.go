package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pyro.local/guest/internal/at"
)

// mortal is in the environment of a child that is to die at a step: the number of it.
const mortal = "PYRO_TEST_TREE_DIES_AT"

// TestChild is no test of its own: others start it, and it pushes or recovers, as its environment says, and dies.
func TestChild(t *testing.T) {
	left, err := strconv.Atoi(os.Getenv(mortal))
	if err != nil {
		t.Skip("this is for children only")
	}
	root := opened(t, os.Getenv("DIRECTORY"))
	root.displaces = os.Getenv("DISPLACES") != ""
	alike := 0
	root.hook = func(step string) error {
		if step == "member" || step == "erase" { // there are many, and one is like the other
			if alike++; alike%5 != 0 {
				return nil
			}
		}
		if left--; left == 0 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	switch os.Getenv("DO") {
	case "push":
		stream, err := os.Open(os.Getenv("STREAM"))
		must(t, err)
		_, err = root.pushed(os.Getenv("DEST"), stream)
		must(t, err)
	case "write":
		_, err := root.Write("untouched/made/by/write", []byte("written"))
		must(t, err)
	case "recover":
		_, err := root.Recover()
		must(t, err)
	}
}

// dies runs a child. It is false when the child came to its end.
func dies(t *testing.T, step int, environment ...string) bool {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(append(os.Environ(), mortal+"="+strconv.Itoa(step)), environment...)
	out, err := child.CombinedOutput()
	if err == nil {
		return false
	}
	status, ok := child.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		t.Fatalf("%v\n%s", err, out)
	}
	return true
}

// mortality is a push that is made again and again onto the same tree, and dies.
type mortality struct {
	original, directory, stream string
	before, after               map[string]string
	scene                       scene
	environment                 []string
}

func newMortality(t *testing.T, environment ...string) *mortality {
	t.Helper()
	top := temp(t)
	m := &mortality{original: filepath.Join(top, "original"), directory: filepath.Join(top, "copy"), stream: filepath.Join(top, "stream")}
	m.scene = newScene(t, "", true)
	must(t, os.Mkdir(m.original, 0o755), os.WriteFile(m.stream, m.scene.stream, 0o600))
	prepare(t, m.original)
	m.before = portrait(t, m.original)
	m.after = m.scene.timeless(m.scene.after(t, m.before))
	m.environment = append([]string{"DIRECTORY=" + m.directory, "STREAM=" + m.stream}, environment...)
	return m
}

// restore makes the tree what it was.
func (m *mortality) restore(t *testing.T) {
	t.Helper()
	filepath.WalkDir(m.directory, func(path string, entry fs.DirEntry, _ error) error {
		if entry != nil && entry.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	must(t, os.RemoveAll(m.directory))
	if out, err := exec.Command("cp", "-a", m.original, m.directory).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
}

func (m *mortality) dies(t *testing.T, step int, do string) bool {
	t.Helper()
	return dies(t, step, append(m.environment, "DO="+do)...)
}

// judge recovers and tells whether the push has come to nothing or to everything.
func (m *mortality) judge(t *testing.T, what string) (done bool) {
	t.Helper()
	root, err := Open(m.directory)
	must(t, err)
	defer root.Close()
	if _, err := root.Recover(); err != nil {
		t.Fatal(what, err)
	}
	got := portrait(t, m.directory)
	old := differences(m.before, got)
	if old == nil {
		return false
	}
	if now := differences(m.after, m.scene.timeless(got)); now != nil {
		t.Fatalf("%s: neither old nor new\nold:\n%s\nnew:\n%s", what, strings.Join(old, "\n"), strings.Join(now, "\n"))
	}
	return true
}

func TestAMachineThatDiesInAPushFindsTheOldTreeOrTheNew(t *testing.T) {
	for _, how := range []string{"DISPLACES=", "DISPLACES=1"} {
		m := newMortality(t, how)
		var ends []bool
		for step := 1; ; step++ {
			m.restore(t)
			died := m.dies(t, step, "push")
			ends = append(ends, m.judge(t, fmt.Sprint("step ", step)))
			if !died {
				break
			}
			if n := len(ends); n > 1 && ends[n-2] && !ends[n-1] {
				t.Error("what was new at one step is old at the next", n)
			}
		}
		if n := len(ends); n < 35 || !ends[n-1] || !ends[n-2] || ends[0] || ends[n/2] {
			t.Error(ends)
		}
	}
}

func TestAMachineThatDiesInRecoveringRecoversLater(t *testing.T) {
	for _, how := range []string{"DISPLACES=", "DISPLACES=1"} {
		m := newMortality(t, how)
		m.restore(t)
		steps := 1
		for m.dies(t, steps, "push") {
			m.restore(t)
			steps += 5
		}
		for _, first := range []int{steps * 7 / 10, steps * 8 / 10} { // among the changes
			for step := 1; ; step++ {
				m.restore(t)
				if !m.dies(t, first, "push") {
					t.Fatal("it did not die")
				}
				died := m.dies(t, step, "recover")
				m.judge(t, fmt.Sprint("steps ", first, step))
				if !died {
					break
				}
			}
		}
	}
}

func TestAMachineThatDiesInAWriteLeavesNothing(t *testing.T) {
	m := newMortality(t)
	m.restore(t)
	if !m.dies(t, 1, "write") {
		t.Fatal("it did not die")
	}
	if m.judge(t, "write") {
		t.Error("it is done")
	}
	must(t, os.WriteFile(filepath.Join(m.directory, StagingPrefix+"file"), nil, 0o600))
	root := opened(t, m.directory)
	if n, err := root.Recover(); n != 1 || err != nil {
		t.Error(n, err)
	}
}

func TestWhatCannotBeUndoneIsLeftForRecover(t *testing.T) {
	m := newMortality(t)
	m.restore(t)
	root := opened(t, m.directory)
	changes := 0
	root.hook = func(step string) error {
		if step == "change" {
			changes++
		}
		if changes == 20 && (step == "change" || step == "undo") {
			return errInjected
		}
		return nil
	}
	_, err := root.pushed("", bytes.NewReader(m.scene.stream))
	if !errors.Is(err, errInjected) {
		t.Error(err)
	}
	if m.judge(t, "undo") {
		t.Error("it is done")
	}
}

// TestJournalsOfOthersDoNoHarm has what a program may leave for the next start of its machine to find.
func TestJournalsOfOthersDoNoHarm(t *testing.T) {
	outside := temp(t)
	file(t, outside, "secret", "secret")
	directory := filepath.Join(outside, "top")
	file(t, directory, "d/f", "content")
	must(t, os.Symlink("..", filepath.Join(directory, "out")))
	age(t, outside)
	before := portrait(t, outside)
	inode := inodeOf(at.Cwd, filepath.Join(outside, "secret"))
	effective := fmt.Sprintf("%s\"\"\np %d \"d/f\"\nend 1\n", journalVersion, inodeOf(at.Cwd, filepath.Join(directory, "d/f")))
	for name, journal := range map[string]string{
		"nothing": "", "noise": "\xff\xff\n\x00", "half": journalVersion + `"d"` + "\n", "long": journalVersion + strings.Repeat("x", 10*maxJournalLine),
		"no quotes": journalVersion + "d\nend 0\n", "wrong number": journalVersion + "\"\"\nend 5\n",
		"out":       fmt.Sprintf("%s\"..\"\np %d \"secret\"\nend 1\n", journalVersion, inode),
		"another's": effective, "open to others": effective,
		"link":      fmt.Sprintf("%s\"out\"\np %d \"secret\"\nend 1\n", journalVersion, inode),
		"through":   fmt.Sprintf("%s\"\"\np %d \"out/secret\"\ns %d \"../secret\"\nend 2\n", journalVersion, inode, inode),
		"absolute":  fmt.Sprintf("%s\"/\"\np %d \"etc\"\nend 1\n", journalVersion, inode),
		"marks":     journalVersion + "\"\"\nm 777 1.1 - - \"out\"\nm 777 1.1 - - \"..\"\nm 777 1.1 - - \"/\"\nend 3\n",
		"bad marks": journalVersion + "\"\"\nm 7777777 1.1 - - \"d\"\nend 1\n", "few": journalVersion + "\"\"\nm \"d\"\np\n\ns 1\nend 0\n",
		"dots": journalVersion + "\"\"\np 1 \"..\"\ns 1 \".\"\np 1 \"\"\ns 1 \"d/\"\nend 4\n",
	} {
		staging := filepath.Join(directory, StagingPrefix+"1234.5-"+name)
		must(t, os.MkdirAll(filepath.Join(staging, treeName, "d"), 0o700), os.WriteFile(filepath.Join(staging, journalName), []byte(journal), 0o600))
		must(t, os.Symlink("..", filepath.Join(staging, treeName, "out")), os.Symlink("../..", filepath.Join(staging, asideName+"0")))
		root := opened(t, directory)
		if name == "another's" && !isRoot {
			// Nobody else can be made its owner.
			must(t, os.Remove(filepath.Join(staging, journalName)))
		} else if name == "another's" {
			must(t, os.Chown(staging, 4321, -1))
		}
		if name == "open to others" {
			must(t, os.Chmod(staging, 0o755))
		}
		if _, err := root.Recover(); err != nil && !errors.Is(err, syscall.EXDEV) {
			t.Error(name, err)
		}
		must(t, os.RemoveAll(staging))
		age(t, outside)
		if found := differences(before, portrait(t, outside)); found != nil {
			t.Error(name, found)
		}
	}
}
