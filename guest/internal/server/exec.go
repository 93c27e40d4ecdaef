package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/wire"
)

// maxTimeoutMS keeps a timeout within what a time.Duration can hold.
const maxTimeoutMS = int64(1<<63-1) / int64(time.Millisecond)

// exec runs one command, once: whatever happens to the stream, nothing here starts it again.
func (s *Server) exec(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		return err
	}
	// Whatever the outcome: net/http must not wait for the rest of a request that the host keeps open for stdin.
	defer stopReading(control)
	environment, err := s.ready()
	if err != nil {
		return err
	}
	body := wire.NewFrameReader(r.Body)
	command, timeout, err := receiveStart(body)
	if err != nil {
		return err
	}
	running, err := s.runner.Start(command, environment)
	out := &frameWriter{w: w, control: control}
	w.Header().Set("Content-Type", "application/octet-stream")
	if why, ok := errors.AsType[*process.Failure](err); ok {
		out.neverRan(why)
		return nil
	}
	if err != nil {
		return &failure{http.StatusInternalServerError, "exec-failed", err.Error()}
	}
	ctx, cancel := working(r)
	defer cancel()
	received := make(chan struct{})
	go func() {
		defer close(received)
		if receiveStdin(body, running.Stdin) != nil {
			cancel() // the request was cut off
		}
	}()
	out.started(running.PID)
	out.exit(running.Wait(ctx, timeout, out.output))
	stopReading(control)
	<-received // net/http must be the only reader when this returns
	return nil
}

// stopReading ends every read of the request, now and later.
func stopReading(control *http.ResponseController) { _ = control.SetReadDeadline(time.Now()) }

// ready returns the environment of the machine, or why there can be no command.
func (s *Server) ready() (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readyLocked()
}

func (s *Server) readyLocked() (map[string]string, error) {
	if s.stopping {
		return nil, errStopping
	}
	if s.state != wire.StateReady {
		return nil, &failure{http.StatusConflict, "not-mounted", "no disks are mounted yet"}
	}
	return s.environment, nil
}

// receiveStart reads the frame that says what to run.
func receiveStart(body *wire.FrameReader) (*process.Command, time.Duration, error) {
	payload, err := receiveFirst(body)
	if err != nil {
		return nil, 0, err
	}
	var start wire.Start
	if err := wire.Decode(payload, &start, "argv", "env", "cwd", "timeout_ms", "stdin"); err != nil {
		return nil, 0, badRequest(err)
	}
	if start.TimeoutMS < 0 || start.TimeoutMS > maxTimeoutMS {
		return nil, 0, badRequest(errors.New("timeout_ms is out of range"))
	}
	command := &process.Command{Argv: start.Argv, Env: start.Env, Cwd: start.Cwd, Stdin: start.Stdin}
	if err := command.Check(); err != nil {
		return nil, 0, badRequest(err)
	}
	return command, time.Duration(start.TimeoutMS) * time.Millisecond, nil
}

// receiveStdin reads the request to its end and gives the command (stdin is nil if it has none) what is meant for it. A
// command that does not want its input does not fail the request. An error means that the request did not end properly.
func receiveStdin(body *wire.FrameReader, stdin io.WriteCloser) error {
	open := stdin != nil
	closeStdin := func() {
		if open {
			open = false
			stdin.Close()
		}
	}
	defer closeStdin()
	for {
		kind, payload, err := body.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case stdin == nil || kind != wire.KindStdin && kind != wire.KindStdinEOF:
			return fmt.Errorf("%w: kind %d has no place here", wire.ErrFrame, kind)
		case kind == wire.KindStdinEOF:
			closeStdin()
		case open:
			if _, err := stdin.Write(payload); err != nil {
				closeStdin()
			}
		}
	}
}

// frameWriter sends body frames, each in one piece.
type frameWriter struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
	frame   []byte
}

// send sends a frame that someone waits for.
func (f *frameWriter) send(kind wire.Kind, payload []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.write(kind, payload); err != nil {
		return err
	}
	return f.control.Flush()
}

// put sends a frame of many: its end may stay behind until the next one.
func (f *frameWriter) put(kind wire.Kind, payload []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.write(kind, payload)
}

func (f *frameWriter) write(kind wire.Kind, payload []byte) error {
	f.frame = wire.AppendFrame(f.frame[:0], kind, payload)
	_, err := f.w.Write(f.frame)
	return err
}

func (f *frameWriter) output(stream process.Output, data []byte) error {
	if stream == process.Stderr {
		return f.send(wire.KindStderr, data)
	}
	return f.send(wire.KindStdout, data)
}

// started says that the command runs. Should the host be gone, the carrier has cancelled the command already.
func (f *frameWriter) started(pid int) {
	_ = f.send(wire.KindStarted, wire.Encode(wire.Started{PID: pid}))
}

// exit says how the command ended. Nobody may be there to hear it.
func (f *frameWriter) exit(result process.Result) {
	_ = f.send(wire.KindExit, wire.Encode(wire.Exit{
		ExitCode:   result.ExitCode,
		Signal:     result.Signal,
		TimedOut:   result.TimedOut,
		DurationMS: result.Duration.Milliseconds(),
	}))
}

// neverRan answers for a command that could not be started: its stderr says so, as a shell's would.
func (f *frameWriter) neverRan(why *process.Failure) {
	if f.send(wire.KindStderr, []byte("pyro: "+why.Reason+"\n")) == nil {
		_ = f.send(wire.KindExit, wire.Encode(wire.Exit{ExitCode: why.ExitCode, Error: why.Reason}))
	}
}
