package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/process/processtest"
)

// reaper is the test program's one; see process.NewReaper.
var reaper = sync.OnceValue(process.NewReaper)

// patience is for what takes no time unless it is broken.
const patience = 30 * time.Second

// bench is a registry and what the test wants to know of its surroundings.
type bench struct {
	*Registry
	t    *testing.T
	logs string // where logs are
	cwd  string // where services run
}

// newBench returns a registry whose services have cgroups. When the test is over, it must have left nothing behind.
func newBench(t *testing.T) *bench {
	t.Helper()
	root := processtest.GroupsRoot(t)
	if root == "" {
		t.Skip("no cgroup can be made here")
	}
	groups, err := process.NewGroups(root)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, logs: t.TempDir(), cwd: t.TempDir()}
	b.Registry = NewRegistry(process.NewRunner(reaper(), groups), func() (string, error) { return b.logs, nil })
	b.run("first", `true`) // opens what stays open, such as the runtime's poller
	before := descriptors(t)
	t.Cleanup(func() {
		b.Halt(0)
		if after := descriptors(t); len(after) > len(before) {
			t.Errorf("descriptors are left open: %q, before %q", after, before)
		}
		if left := processtest.Groups(t, root); len(left) > 0 {
			t.Errorf("cgroups are left: %q", left)
		}
		if stuck := waiting(); stuck != "" {
			t.Errorf("goroutines are left:\n%s", stuck)
		}
	})
	return b
}

func descriptors(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, entry := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			open = append(open, target)
		}
	}
	return open
}

// waiting returns the stacks of this package's goroutines that wait for something. Those that are about to end do not.
func waiting() string {
	buffer := make([]byte, 1<<20)
	var stuck []string
	for stack := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
		head, _, _ := strings.Cut(stack, "\n")
		active := strings.Contains(head, "[running") || strings.Contains(head, "[runnable") || strings.Contains(head, "[syscall")
		if !active && strings.Contains(stack, "internal/service.") && !strings.Contains(stack, "testing.tRunner") {
			stuck = append(stuck, stack)
		}
	}
	return strings.Join(stuck, "\n\n")
}

// spec is a shell line as a service.
func (b *bench) spec(name, line string) *Spec {
	return &Spec{
		Name:     name,
		Command:  &process.Command{Argv: []string{"/bin/sh", "-c", line}, Cwd: b.cwd},
		Timeout:  patience,
		Interval: 10 * time.Millisecond,
	}
}

// start starts a service that is ready when the file "ready" is there, or at once if the line makes none.
func (b *bench) start(name, line string) State {
	b.t.Helper()
	spec := b.spec(name, line)
	if strings.Contains(line, "touch ready") {
		os.Remove(filepath.Join(b.cwd, "ready"))
		spec.Readiness = b.readiness(kindFile, "ready")
	}
	state, err := b.Start(context.Background(), spec, func(int) {})
	if err != nil {
		b.t.Fatal(err)
	}
	return state
}

// run starts a service and waits for its end.
func (b *bench) run(name, line string) State {
	b.t.Helper()
	b.start(name, line)
	state, err := b.Wait(context.Background(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return state
}

func (b *bench) readiness(kind, argument string) *Readiness {
	b.t.Helper()
	readiness, err := NewReadiness(kind, argument)
	if err != nil {
		b.t.Fatal(err)
	}
	return readiness
}

// said returns what a service has written so far.
func (b *bench) said(name string) (out, err string) {
	b.t.Helper()
	text, _ := b.view(name, View{MaxBytes: 1 << 30})
	return text[0], text[1]
}

func (b *bench) view(name string, view View) (text [2]string, cut [2]bool) {
	b.t.Helper()
	var mu sync.Mutex
	var collected [2]bytes.Buffer
	cut, err := b.Logs(context.Background(), name, view, func(stream process.Output, data []byte) error {
		mu.Lock()
		defer mu.Unlock()
		collected[stream].Write(data)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return [2]string{collected[0].String(), collected[1].String()}, cut
}

// failure returns the error that the protocol has a code for.
func failure(t *testing.T, err error) *Error {
	t.Helper()
	known, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("%v is no *Error", err)
	}
	return known
}

// alive tells whether a process lives; one that nobody has collected does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return err == nil && state[0] != 'Z' && state[0] != 'X'
}
