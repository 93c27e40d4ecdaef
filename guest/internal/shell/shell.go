package shell

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"pyro.local/guest/internal/process"
)

const (
	// lingerLimit is how long a terminal that others hold outlives the shell's own process.
	lingerLimit = time.Second
	// readSize is how much is taken from the terminal at once; the kernel gives up to 4 KiB.
	readSize = 8 << 10
	// restLimit is more than a terminal holds: what stands in it once nobody waits for it any more.
	restLimit = 64 << 10
)

// Shell is a command on a terminal. Its methods may be called at the same time, also when it has ended.
type Shell struct {
	name    string
	cwd     string
	process *process.Process
	kill    context.CancelFunc
	writing chan struct{} // holds one element while somebody writes to the terminal
	ended   chan struct{}

	mu      sync.Mutex
	size    process.Terminal
	ring    ring
	touched time.Time // when something was last written, by the shell or to it
	exited  bool
	result  process.Result
	changed chan struct{} // closed at the next change; nil while nobody waits for it
}

// State is how a shell is.
type State struct {
	Name     string
	PID      int
	Cwd      string
	Size     process.Terminal
	Exited   bool
	ExitCode int
	Signal   int
	// Start and Next are the cursors of the first byte that was read, and of the one behind the last.
	Start, Next int64
	End         int64         // how much the shell has written
	Quiet       time.Duration // for how long nothing has been written
}

// begin takes a command that was started into its care.
func begin(name string, command *process.Command, running *process.Process) *Shell {
	ctx, kill := context.WithCancel(context.Background())
	s := &Shell{
		name:    name,
		cwd:     command.Cwd,
		process: running,
		kill:    kill,
		writing: make(chan struct{}, 1),
		ended:   make(chan struct{}),
		size:    *command.Terminal,
		touched: time.Now(),
	}
	drained := make(chan struct{})
	go s.drain(drained)
	go s.await(ctx, drained)
	return s
}

// drain moves what is written to the terminal into the ring, until nobody holds the terminal any more or await puts an
// end to it: then what stands in the terminal is still taken.
func (s *Shell) drain(drained chan<- struct{}) {
	defer close(drained)
	buffer := make([]byte, readSize)
	for {
		n, err := s.process.Terminal.Read(buffer)
		if n > 0 {
			s.heard(buffer[:n])
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.takeRest(buffer)
			}
			return
		}
	}
}

func (s *Shell) takeRest(buffer []byte) {
	raw, err := s.process.Terminal.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // fails on a closed file only: it is closed later
		for taken := 0; taken < restLimit; {
			n, err := syscall.Read(int(fd), buffer)
			if err == syscall.EINTR {
				continue
			}
			if n <= 0 {
				return
			}
			s.heard(buffer[:n])
			taken += n
		}
	})
}

func (s *Shell) heard(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring.write(data)
	s.touched = time.Now()
	s.changeLocked()
}

// await sees the shell to its end: that of its process, then that of its terminal, for which it waits a little, and in any
// case that of all it started.
func (s *Shell) await(ctx context.Context, drained <-chan struct{}) {
	defer close(s.ended)
	defer s.process.Terminal.Close()
	defer s.kill()
	result := s.process.Wait(ctx, 0, nil)
	linger := time.NewTimer(lingerLimit)
	defer linger.Stop()
	select {
	case <-drained:
	case <-linger.C:
	case <-ctx.Done():
	}
	s.process.End()
	// Who holds the terminal now is a stranger to the shell.
	_ = s.process.Terminal.SetReadDeadline(time.Now()) // fails on a closed file only
	<-drained
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exited, s.result = true, result
	s.changeLocked()
}

// end kills the shell with all that it started, and returns when it has ended.
func (s *Shell) end() {
	s.kill()
	<-s.ended
}

// hangUp asks all of the shell to end: an interactive shell ignores SIGTERM, but not that its terminal is gone. What is left
// after grace is killed, and given up after as long again.
func (s *Shell) hangUp(grace time.Duration) {
	for _, end := range []func(){s.signalHangUp, s.kill} {
		end()
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-s.ended:
			return
		case <-timer.C:
		}
	}
}

func (s *Shell) signalHangUp() {
	select {
	case <-s.ended: // its number may be another's by now
	default:
		_ = s.process.SignalGroup(syscall.SIGHUP) // whom it does not reach is killed
	}
}

// State tells how the shell is now; nothing of what it has written was read.
func (s *Shell) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stateLocked(s.ring.end, s.ring.end)
}

func (s *Shell) stateLocked(start, next int64) State {
	return State{
		Name:     s.name,
		PID:      s.process.PID,
		Cwd:      s.cwd,
		Size:     s.size,
		Exited:   s.exited,
		ExitCode: s.result.ExitCode,
		Signal:   s.result.Signal,
		Start:    start,
		Next:     next,
		End:      s.ring.end,
		Quiet:    time.Since(s.touched),
	}
}

// changeLocked wakes whoever waits for a change.
func (s *Shell) changeLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// changeComesLocked returns what is closed at the next change.
func (s *Shell) changeComesLocked() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}
