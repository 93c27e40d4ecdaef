package process

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// reaper is the test program's one; see NewReaper.
var reaper = sync.OnceValue(NewReaper)

func newRunner(t *testing.T) *Runner {
	t.Helper()
	groups, err := NewGroups("")
	if err != nil {
		t.Fatal(err)
	}
	return NewRunner(reaper(), groups)
}

// collected is a sink that keeps everything.
type collected struct {
	mu   sync.Mutex
	text [2]bytes.Buffer
}

func (c *collected) take(stream Output, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text[stream].Write(data)
	return nil
}

func shell(line string) *Command { return &Command{Argv: []string{"/bin/sh", "-c", line}, Cwd: "/"} }

func run(t *testing.T, command *Command, timeout time.Duration) (Result, *collected) {
	t.Helper()
	p, err := newRunner(t).Start(command, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := &collected{}
	return p.Wait(context.Background(), timeout, out.take), out
}

func failure(t *testing.T, command *Command) *Failure {
	t.Helper()
	_, err := newRunner(t).Start(command, nil)
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		t.Fatalf("%v: %v", command.Argv, err)
	}
	return f
}

func TestOutputAndStatusArrive(t *testing.T) {
	result, out := run(t, shell(`printf '\377\000'; printf err >&2; exit 42`), 0)
	if result.ExitCode != 42 || result.Signal != 0 || result.TimedOut {
		t.Errorf("%+v", result)
	}
	if out.text[Stdout].String() != "\xff\x00" || out.text[Stderr].String() != "err" {
		t.Errorf("%q %q", out.text[Stdout].String(), out.text[Stderr].String())
	}
}

func TestADeadlySignalIs128AndItsNumber(t *testing.T) {
	if result, _ := run(t, shell(`kill -SEGV $$`), 0); result.ExitCode != 139 || result.Signal != 11 {
		t.Errorf("%+v", result)
	}
}

func TestTheCommandIsAloneInItsSessionWithoutInput(t *testing.T) {
	_, out := run(t, shell(`umask; readlink /proc/self/fd/0; cut -d' ' -f6 /proc/$$/stat; echo $$`), 0)
	lines := strings.Fields(out.text[Stdout].String())
	if len(lines) != 4 || lines[1] != "/dev/null" || lines[2] != lines[3] {
		t.Errorf("%q", lines)
	}
}

func TestTheEnvironmentIsLayered(t *testing.T) {
	command := &Command{Argv: []string{"env"}, Cwd: "/", Env: map[string]string{"A": "command", "HOME": "/h"}}
	p, err := newRunner(t).Start(command, map[string]string{"A": "machine", "B": "machine"})
	if err != nil {
		t.Fatal(err)
	}
	out := &collected{}
	p.Wait(context.Background(), 0, out.take)
	got := out.text[Stdout].String()
	for _, line := range []string{"A=command", "B=machine", "HOME=/h", "USER=root", "LOGNAME=root", "LANG=C.UTF-8"} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("%s is not in %q", line, got)
		}
	}
}

func TestOutputOfAnySizeArrivesWhole(t *testing.T) {
	const size = 3_000_000
	_, out := run(t, shell(`head -c `+strconv.Itoa(size)+` /dev/zero`), 0)
	if n := out.text[Stdout].Len(); n != size {
		t.Errorf("%d bytes", n)
	}
}

func TestWhatStandsInThePipeAtTheEndIsStillSent(t *testing.T) {
	p, err := newRunner(t).Start(shell(`head -c 60000 /dev/zero`), nil)
	if err != nil {
		t.Fatal(err)
	}
	<-p.exited.done // the command is over before anyone reads
	out := &collected{}
	if result := p.Wait(context.Background(), 0, out.take); result.ExitCode != 0 || out.text[Stdout].Len() != 60000 {
		t.Errorf("%+v, %d bytes", result, out.text[Stdout].Len())
	}
}

// TestACommandIsOverThoughOthersHoldItsPipes leaves one process behind that is silent and one that never stops writing.
func TestACommandIsOverThoughOthersHoldItsPipes(t *testing.T) {
	for _, holder := range []string{"sleep 1000", "exec yes"} {
		result, out := run(t, shell(`(`+holder+`) & echo $!; exit 3`), 0)
		if result.ExitCode != 3 {
			t.Errorf("%s: %+v", holder, result)
		}
		for _, pid := range strings.Fields(out.text[Stdout].String()) {
			if n, err := strconv.Atoi(pid); err == nil {
				syscall.Kill(n, syscall.SIGKILL)
			}
		}
	}
}

func TestTheTimeoutKillsTheGroupAndKeepsTheOutput(t *testing.T) {
	result, out := run(t, shell(`echo before; sleep 1000 & sleep 1000`), 200*time.Millisecond)
	if !result.TimedOut || result.ExitCode != 124 || result.Signal != 0 {
		t.Errorf("%+v", result)
	}
	if out.text[Stdout].String() != "before\n" {
		t.Errorf("%q", out.text[Stdout].String())
	}
}

func TestCancellingKillsTheCommand(t *testing.T) {
	p, err := newRunner(t).Start(shell(`echo up; sleep 1000`), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.Wait(ctx, 0, func(Output, []byte) error { cancel(); return nil })
	if err := syscall.Kill(p.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("it lives: %v", err)
	}
}

// TestASlowReaderStopsTheCommand reads nothing until the command was killed: had it been able to write all it wanted, it
// would have ended by itself.
func TestASlowReaderStopsTheCommand(t *testing.T) {
	p, err := newRunner(t).Start(shell(`exec head -c 1000000 /dev/zero`), nil)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := pidfd(p.PID)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	result := p.Wait(context.Background(), 200*time.Millisecond, func(_ Output, data []byte) error {
		total += len(data)
		return awaitReadable(dead)
	})
	if !result.TimedOut || total > 3*bufferSize {
		t.Errorf("%+v, %d bytes were taken", result, total)
	}
}

// pidfd returns a descriptor that becomes readable when the process has ended.
func pidfd(pid int) (uintptr, error) {
	const sysPidfdOpen = 434
	fd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(pid), 0, 0)
	return fd, os.NewSyscallError("pidfd_open", errnoOrNil(errno))
}

func awaitReadable(fd uintptr) error {
	poll := struct {
		fd              int32
		events, revents int16
	}{int32(fd), 1, 0}
	_, _, errno := syscall.Syscall(syscall.SYS_POLL, uintptr(unsafe.Pointer(&poll)), 1, ^uintptr(0))
	return errnoOrNil(errno)
}

func errnoOrNil(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

func TestStdinIsStreamed(t *testing.T) {
	command := shell(`cat`)
	command.Stdin = true
	p, err := newRunner(t).Start(command, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 300_000)
	go func() {
		io.WriteString(p.Stdin, text)
		p.Stdin.Close()
	}()
	out := &collected{}
	if p.Wait(context.Background(), 0, out.take); out.text[Stdout].String() != text {
		t.Errorf("%d bytes came back", out.text[Stdout].Len())
	}
}

func TestASinkThatFailsIsFeltByTheCommand(t *testing.T) {
	p, err := newRunner(t).Start(shell(`exec yes`), nil)
	if err != nil {
		t.Fatal(err)
	}
	result := p.Wait(context.Background(), 0, func(Output, []byte) error { return io.ErrClosedPipe })
	if result.Signal != int(syscall.SIGPIPE) {
		t.Errorf("%+v", result)
	}
}

func TestManyCommandsAtOnceGetTheirOwnStatus(t *testing.T) {
	runner := newRunner(t)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			p, err := runner.Start(shell(`exit `+strconv.Itoa(i)), nil)
			if err != nil {
				t.Error(err)
				return
			}
			if result := p.Wait(context.Background(), 0, (&collected{}).take); result.ExitCode != i {
				t.Errorf("%d became %+v", i, result)
			}
		})
	}
	all.Wait()
}
