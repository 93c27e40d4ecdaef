// Package process runs commands: each in a session and a cgroup of its own, each exactly once, each over when its process
// ends.
//
// Above it stands server, which speaks the protocol; below it the kernel. It knows no messages. Memory per command is
// bounded by two buffers: whoever does not read its output stops it.
package process

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// bufferSize is how much output is passed on at once. More is no faster (measured), only larger.
	bufferSize = 32768
	// killLimit bounds the wait for killed processes: one that is stuck in the kernel may never die.
	killLimit = 5 * time.Second
)

// Output names one of a command's streams.
type Output int

// The streams a command writes to.
const (
	Stdout Output = iota
	Stderr
)

// Sink takes output; calls for the two streams may overlap. While it waits, the command's pipe fills up.
type Sink func(stream Output, data []byte) error

// Runner starts commands.
type Runner struct {
	reaper *Reaper
	groups *Groups
}

// NewRunner uses the program's one Reaper.
func NewRunner(reaper *Reaper, groups *Groups) *Runner {
	return &Runner{reaper: reaper, groups: groups}
}

// Process is a command that was started. Wait must be called, once.
type Process struct {
	PID int
	// Stdin writes to the command; nil if that was not asked for. Whoever uses it closes it.
	Stdin io.WriteCloser
	// Terminal is our end of the command's terminal; nil if it has none. It can be read and written, with deadlines, until
	// whoever uses it closes it; once the command and everybody else has let go of the terminal, reading fails with EIO.
	Terminal *os.File
	// Rest, if set before Wait, is called when the process has ended, while output is still passed on: for what to do about
	// processes that it leaves behind.
	Rest func()

	started time.Time
	exited  *exit
	outputs [2]*output // nil on a terminal
	slave   *os.File   // the command's end of its terminal
	group   *group
}

// Result is how a command ended.
type Result struct {
	ExitCode int
	Signal   int
	TimedOut bool
	Duration time.Duration
}

// Start starts a command below the given environment. An error that is a *Failure is the command's own outcome; any
// other is the agent's.
func (r *Runner) Start(command *Command, environment map[string]string) (*Process, error) {
	env := command.environment(environment)
	if err := command.checkDirectory(); err != nil {
		return nil, err
	}
	path, err := command.program(env)
	if err != nil {
		return nil, err
	}
	group, err := r.groups.create()
	if err != nil {
		return nil, err
	}
	p := &Process{group: group}
	if err := p.start(r.reaper, path, command, assignments(env)); err != nil {
		p.close()
		if p.Terminal != nil {
			p.Terminal.Close()
		}
		return nil, err
	}
	return p, nil
}

// start opens the pipes or the terminal and lets the reaper run the program with them, in its group.
func (p *Process) start(reaper *Reaper, path string, command *Command, env []string) error {
	var theirs []uintptr
	var err error
	if command.Terminal != nil {
		theirs, err = p.openTerminal(*command.Terminal)
	} else {
		theirs, err = p.openPipes(command.Stdin)
		defer closeAll(theirs)
	}
	if err != nil {
		return err
	}
	cgroup, err := p.group.open()
	if err != nil {
		return err
	}
	if cgroup >= 0 {
		defer syscall.Close(cgroup)
	}
	p.started = time.Now()
	p.PID, p.exited, err = reaper.start(path, command.Argv, &syscall.ProcAttr{
		Dir:   command.Cwd,
		Env:   env,
		Files: theirs,
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: command.Terminal != nil, UseCgroupFD: cgroup >= 0, CgroupFD: cgroup},
	})
	if err != nil {
		return command.refusal(err)
	}
	p.group.others = func() map[int]bool { return reaper.others(p.PID) }
	return nil
}

// openPipes opens what the command will have as descriptors 0 to 2, and returns its ends, those it got so far if it fails.
func (p *Process) openPipes(stdin bool) ([]uintptr, error) {
	fd, err := p.openStdin(stdin)
	if err != nil {
		return nil, err
	}
	theirs := []uintptr{uintptr(fd)}
	for i := range p.outputs {
		output, fd, err := newOutput()
		if err != nil {
			return theirs, err
		}
		p.outputs[i] = output
		theirs = append(theirs, uintptr(fd))
	}
	return theirs, nil
}

func closeAll(descriptors []uintptr) {
	for _, fd := range descriptors {
		syscall.Close(int(fd))
	}
}

// openStdin returns the command's end of its stdin.
func (p *Process) openStdin(streamed bool) (int, error) {
	if !streamed {
		fd, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		return fd, os.NewSyscallError("open "+os.DevNull, err)
	}
	file, theirs, err := newPipe(1)
	if err == nil {
		p.Stdin = file
	}
	return theirs, err
}

// Wait passes output on until the command is over, and cleans up. The command is killed, with all that it started, after
// the timeout (if that is not 0) or when the context ends; it is over then, whatever the sink does. What is written to a
// terminal is not passed on here.
func (p *Process) Wait(ctx context.Context, timeout time.Duration, sink Sink) Result {
	defer p.close()
	var copying sync.WaitGroup
	for i, output := range p.outputs {
		if output != nil {
			copying.Go(func() { pass(output, Output(i), sink) })
		}
	}
	result := p.await(ctx, timeout)
	if p.Rest != nil {
		p.Rest()
	}
	for _, output := range p.outputs {
		if output != nil && output.settle() != nil {
			output.file.Close()
		}
	}
	copying.Wait()
	return result
}

// await returns when the process has ended or, bounded, was killed.
func (p *Process) await(ctx context.Context, timeout time.Duration) Result {
	var expired <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(time.Until(p.started.Add(timeout)))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-p.exited.done:
		return p.ended(p.exited.status)
	case <-expired:
		p.End()
		return Result{ExitCode: codeTimedOut, TimedOut: true, Duration: time.Since(p.started)}
	case <-ctx.Done():
		p.End()
		return Result{ExitCode: 128 + int(syscall.SIGKILL), Signal: int(syscall.SIGKILL), Duration: time.Since(p.started)}
	}
}

func (p *Process) ended(status syscall.WaitStatus) Result {
	result := Result{ExitCode: status.ExitStatus(), Duration: time.Since(p.started)}
	if status.Signaled() {
		result.Signal = int(status.Signal())
		result.ExitCode = 128 + result.Signal
	}
	return result
}

// SignalGroup sends a signal to everything in the command's group, also to what is started meanwhile. Without cgroups
// that is the process group, which the command's children may have left. There may be nothing left to signal.
func (p *Process) SignalGroup(signal syscall.Signal) error { return p.group.signal(p.PID, signal) }

// End kills all of the group and waits until it is empty and the process collected, both bounded; the group itself is
// gone then. It may be called at any time, also after Wait, for what the process left behind. Failing to is said on the
// console only: the command is over for whoever asked, and what the kernel cannot end nobody can.
func (p *Process) End() {
	deadline := time.NewTimer(killLimit)
	defer deadline.Stop()
	if err := p.group.end(killLimit); err != nil {
		fmt.Fprintf(os.Stderr, "pyro-guest: not all that process %d has started is seen to end: %v\n", p.PID, err)
	}
	select {
	case <-p.exited.done:
	case <-deadline.C:
	}
	p.group.release()
}

func (p *Process) close() {
	for _, output := range p.outputs {
		if output != nil {
			output.file.Close()
		}
	}
	if p.Stdin != nil {
		p.Stdin.Close()
	}
	if p.slave != nil {
		p.slave.Close()
	}
	p.group.release()
}

// pass copies one stream to the sink. After a failure of the sink nobody wants the rest: closing the pipe lets the
// command feel it.
func pass(o *output, stream Output, sink Sink) {
	buffer := make([]byte, bufferSize)
	for {
		n, err := o.Read(buffer)
		if n > 0 && sink(stream, buffer[:n]) != nil {
			o.file.Close()
			return
		}
		if err != nil {
			return
		}
	}
}
