package server

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/shell"
	"pyro.local/guest/internal/wire"
)

// writePatience is for how long write waits for a program that does not read.
const writePatience = 5 * time.Second

// shellCalls are what can be asked for at /v1/shell/NAME.
func (s *Server) shellCalls() map[string]func(*call) (any, error) {
	return map[string]func(*call) (any, error){
		"open":   s.openShell,
		"read":   s.readShell,
		"write":  s.writeShell,
		"resize": s.resizeShell,
		"signal": s.signalShell,
		"close":  s.closeShell,
		"attach": s.attachShell,
	}
}

func (s *Server) openShell(c *call) (any, error) {
	environment, err := s.ready()
	if err != nil {
		return nil, err
	}
	var message wire.ShellOpen
	if err := c.decode(&message, "shell", "argv", "env", "cwd", "cols", "rows"); err != nil {
		return nil, err
	}
	command := &process.Command{
		Argv:     message.Argv,
		Env:      message.Env,
		Cwd:      message.Cwd,
		Terminal: terminal(message.Cols, message.Rows),
	}
	if err := command.Check(); err != nil {
		return nil, badRequest(err)
	}
	opened, err := s.shells.Open(message.Shell, command, environment)
	if err != nil {
		return nil, err
	}
	return wire.ShellOpened{PID: opened.State().PID}, nil
}

func (s *Server) readShell(c *call) (any, error) {
	var message wire.ShellRead
	if err := c.decode(&message, "shell", "cursor", "max_bytes", "idle_ms", "wait_ms"); err != nil {
		return nil, err
	}
	found, err := s.foundShell(message.Shell)
	if err != nil {
		return nil, err
	}
	data, state, err := found.Read(c.ctx, shell.Query{
		Cursor:   message.Cursor,
		MaxBytes: message.MaxBytes,
		Idle:     time.Duration(message.IdleMS) * time.Millisecond,
		Wait:     time.Duration(message.WaitMS) * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	out := &pieces{ctx: c.ctx, frames: c.frames}
	if _, err := out.Write(data); err != nil {
		return nil, err
	}
	return stateOf(state), out.flush()
}

func (s *Server) writeShell(c *call) (any, error) {
	var message wire.ShellName
	if err := c.decode(&message, "shell"); err != nil {
		return nil, err
	}
	found, err := s.foundShell(message.Shell)
	if err != nil {
		return nil, err
	}
	written, err := io.Copy(found.Writer(c.ctx, writePatience), c.sentAlong())
	if known, ok := errors.AsType[*shell.Error](err); ok {
		err = &shell.Error{Code: known.Code, Text: known.Text, Details: map[string]any{"written": written}}
	}
	return wire.ShellWritten{Written: written}, err
}

func (s *Server) resizeShell(c *call) (any, error) {
	var message wire.ShellResize
	if err := c.decode(&message, "shell", "cols", "rows"); err != nil {
		return nil, err
	}
	found, err := s.foundShell(message.Shell)
	if err != nil {
		return nil, err
	}
	return wire.Nothing{}, found.Resize(*terminal(message.Cols, message.Rows))
}

func (s *Server) signalShell(c *call) (any, error) {
	var message wire.ShellSignal
	if err := c.decode(&message, "shell", "signal"); err != nil {
		return nil, err
	}
	found, err := s.foundShell(message.Shell)
	if err != nil {
		return nil, err
	}
	return wire.Nothing{}, found.Signal(syscall.Signal(message.Signal))
}

func (s *Server) closeShell(c *call) (any, error) {
	var message wire.ShellName
	if err := c.decode(&message, "shell"); err != nil {
		return nil, err
	}
	if _, err := s.ready(); err != nil {
		return nil, err
	}
	state, err := s.shells.Close(message.Shell)
	if err != nil {
		return nil, err
	}
	return stateOf(state), nil
}

// attachShell is a conversation with the shell. That it breaks off is nothing to the shell.
func (s *Server) attachShell(c *call) (any, error) {
	var message wire.ShellAttach
	if err := c.decode(&message, "shell", "cursor"); err != nil {
		return nil, err
	}
	found, err := s.foundShell(message.Shell)
	if err != nil {
		return nil, err
	}
	_ = c.control.Flush() // the host is to know that it is attached, also while the shell is silent
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	received := make(chan struct{})
	go func() {
		defer close(received)
		if receiveStdin(c.body, keyboard{found.Writer(ctx, 0)}) != nil {
			cancel() // the request was cut off
		}
	}()
	state, err := found.Attach(ctx, message.Cursor, func(data []byte) error {
		return c.frames.send(wire.KindStdout, data)
	})
	cancel()
	stopReading(c.control)
	<-received // net/http must be the only reader when this returns
	return stateOf(state), err
}

// keyboard is the input of an attachment: its end is not that of the shell's.
type keyboard struct{ io.Writer }

func (keyboard) Close() error { return nil }

// foundShell returns a shell of a machine that is ready.
func (s *Server) foundShell(name string) (*shell.Shell, error) {
	if _, err := s.ready(); err != nil {
		return nil, err
	}
	return s.shells.Find(name)
}

// terminal takes sides that were checked.
func terminal(cols, rows int64) *process.Terminal {
	return &process.Terminal{Cols: uint16(cols), Rows: uint16(rows)}
}

func stateOf(state shell.State) wire.ShellState {
	word := wire.ShellRunning
	if state.Exited {
		word = wire.ShellExited
	}
	return wire.ShellState{
		Shell:    state.Name,
		PID:      state.PID,
		Cwd:      state.Cwd,
		Cols:     int64(state.Size.Cols),
		Rows:     int64(state.Size.Rows),
		State:    word,
		ExitCode: state.ExitCode,
		Signal:   state.Signal,
		Start:    state.Start,
		Next:     state.Next,
		End:      state.End,
		QuietMS:  state.Quiet.Milliseconds(),
	}
}
