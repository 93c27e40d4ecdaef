package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pyro.local/guest/internal/process/processtest"
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
	if _, err := g.open(); err == nil {
		t.Error("it could not be killed")
	}
	write(t, control, "", 0o600)
	fd, err := g.open()
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(fd)
	if err := g.kill(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(control); string(got) != "1" {
		t.Errorf("%q", got)
	}
	if err := os.Remove(control); err != nil {
		t.Fatal(err)
	}
	g.release()
	if err := g.kill(); err != nil {
		t.Error("what is gone cannot be killed:", err)
	}
}

func TestACommandIsEndedWhereNoDescriptorIsLeft(t *testing.T) {
	p, _ := inGroup(t, `setsid sleep 1000 & echo $!; exec sleep 1000`)
	var rest int
	said := make(chan error, 1)
	ended := make(chan Result)
	go func() {
		ended <- p.Wait(context.Background(), 0, func(_ Output, data []byte) error {
			_, err := fmt.Sscan(string(data), &rest)
			said <- err
			return nil
		})
	}()
	if err := <-said; err != nil {
		t.Fatal(err)
	}
	withoutDescriptors(t, p.End)
	if result := <-ended; result.Signal != int(syscall.SIGKILL) {
		t.Error(result)
	}
	processtest.AwaitDeath(t, rest)
	p.End()
}

// withoutDescriptors does something while this program can open nothing.
func withoutDescriptors(t *testing.T, do func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	do()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
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
