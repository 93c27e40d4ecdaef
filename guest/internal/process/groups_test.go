package process

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestEveryCommandHasADirectoryOfItsOwn uses an ordinary directory in the place of a cgroup file system: what can be
// seen there is that groups are made, are not shared, and go away, at once or when they can.
func TestEveryCommandHasADirectoryOfItsOwn(t *testing.T) {
	root := filepath.Join(t.TempDir(), "groups")
	groups, err := NewGroups(root)
	if err != nil {
		t.Fatal(err)
	}
	first, err := groups.create()
	if err != nil {
		t.Fatal(err)
	}
	second, err := groups.create()
	if err != nil {
		t.Fatal(err)
	}
	if first.path == second.path || filepath.Dir(first.path) != root {
		t.Error(first.path, second.path)
	}
	first.release()
	second.release()
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
	if _, err := NewGroups(root); err != nil {
		t.Error("a directory that is there is taken for an error:", err)
	}
}

func TestAKillIsWrittenToTheGroup(t *testing.T) {
	groups, err := NewGroups(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	g, err := groups.create()
	if err != nil {
		t.Fatal(err)
	}
	control := filepath.Join(g.path, "cgroup.kill")
	write(t, control, "", 0o600)
	if err := g.kill(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(control); string(got) != "1" {
		t.Errorf("%q", got)
	}
}

func TestWaitingForAGroupEndsWhenItIsEmpty(t *testing.T) {
	groups, err := NewGroups(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	g, err := groups.create()
	if err != nil {
		t.Fatal(err)
	}
	events := filepath.Join(g.path, "cgroup.events")
	write(t, events, "populated 1\nfrozen 0\n", 0o600)
	done := make(chan error)
	go func() { done <- g.awaitEmpty(killLimit) }()
	write(t, events, "populated 0\nfrozen 0\n", 0o600)
	if err := <-done; err != nil {
		t.Error(err)
	}
	write(t, events, "populated 1\nfrozen 0\n", 0o600)
	if err := g.awaitEmpty(1); err == nil {
		t.Error("it waits for ever")
	}
}

func TestTheReaperTellsWhenNoChildIsLeft(t *testing.T) {
	p, err := newRunner(t).Start(shell("exit 0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Wait(context.Background(), 0, (&collected{}).take)
	<-reaper().Empty()
}
