package shell

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"pyro.local/guest/internal/process"
)

// lineSize is how much is written to the terminal in one piece: what others write does not come between.
const lineSize = 4 << 10

// Writer returns a writer to the terminal. It fails with NotReading once nothing of what it was given was taken for as
// long as patience, which 0 makes endless, or if the shell has ended; and when the context ends.
func (s *Shell) Writer(ctx context.Context, patience time.Duration) io.Writer {
	return &writer{ctx: ctx, shell: s, patience: patience}
}

type writer struct {
	ctx      context.Context
	shell    *Shell
	patience time.Duration
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := w.line(p[written:min(len(p), written+lineSize)])
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// line writes one piece, when it is its turn.
func (w *writer) line(p []byte) (int, error) {
	var expired <-chan time.Time
	if w.patience > 0 {
		timer := time.NewTimer(w.patience)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case w.shell.writing <- struct{}{}:
	case <-expired:
		return 0, errNotReading
	case <-w.ctx.Done():
		return 0, w.ctx.Err()
	}
	defer func() { <-w.shell.writing }()
	terminal := w.shell.process.Terminal
	interrupted := make(chan struct{})
	stop := context.AfterFunc(w.ctx, func() {
		_ = terminal.SetWriteDeadline(time.Unix(1, 0)) // fails on a closed file only
		close(interrupted)
	})
	defer func() {
		if !stop() {
			<-interrupted // the deadline of the next one must not be overtaken by it
		}
	}()
	return w.put(terminal, p)
}

// put writes to the terminal, which only one does at a time.
func (w *writer) put(terminal *os.File, p []byte) (int, error) {
	written := 0
	for {
		var deadline time.Time
		if w.patience > 0 {
			deadline = time.Now().Add(w.patience)
		}
		if err := terminal.SetWriteDeadline(deadline); err != nil {
			return written, errEnded
		}
		// Looked at after the deadline was moved: a context that ends from here on moves it again.
		if err := w.ctx.Err(); err != nil {
			return written, err
		}
		// A terminal that nobody has open takes what is written to it, at times.
		if w.shell.State().Exited {
			return written, errEnded
		}
		n, err := terminal.Write(p[written:])
		written += n
		w.shell.wrote()
		switch {
		case err == nil:
			return written, nil
		case w.ctx.Err() != nil:
			return written, w.ctx.Err()
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return written, errEnded
		case n == 0:
			return written, errNotReading
		}
	}
}

var (
	errNotReading = refuse(NotReading, "the program on the terminal does not read what is written to it")
	errEnded      = refuse(NotReading, "the shell has ended")
)

// wrote notes that something was written to the shell: whoever waits for silence is to wait for the reaction, too.
func (s *Shell) wrote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched = time.Now()
}

// Signal sends a signal to the foreground process group of the terminal. There may be nothing left to signal.
func (s *Shell) Signal(signal syscall.Signal) error {
	group, err := s.process.Foreground()
	if errors.Is(err, os.ErrClosed) || err == nil && group <= 1 { // of the latter kill(2) would make everything
		return nil
	}
	if err != nil {
		return err
	}
	s.wrote()
	if err := syscall.Kill(-group, signal); err != nil && err != syscall.ESRCH {
		return os.NewSyscallError("kill", err)
	}
	return nil
}

// Resize changes the size of the terminal.
func (s *Shell) Resize(size process.Terminal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited {
		return nil
	}
	if err := s.process.Resize(size); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	s.size, s.touched = size, time.Now()
	return nil
}
