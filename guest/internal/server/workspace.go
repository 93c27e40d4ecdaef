package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"pyro.local/guest/internal/wire"
)

// longestHold bounds how long a host may have writing stopped before it has to ask again.
const longestHold = time.Minute

// pieceSize is how much of an answer is collected before it is sent.
const pieceSize = 256 << 10

// operation is one thing that can be done to the workspace. What it returns becomes the RESULT.
type operation func(ctx context.Context, s *work) (any, error)

// work is what an operation gets: what to do, what the host sends along, and where the answer's bytes go.
type work struct {
	machine   Machine
	tree      *workspace
	parameter wire.Work
	in        io.Reader
	out       io.Writer
}

// mountWorkspace gives the machine a tree to work on.
func (s *Server) mountWorkspace(w http.ResponseWriter, r *http.Request) error {
	var message wire.Workspace
	if err := receive(w, r, &message, "baseline", "disk"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.readyLocked(); err != nil {
		return err
	}
	if s.workspace != nil {
		return &failure{http.StatusConflict, "already-mounted", "there is a workspace already"}
	}
	mounted, err := s.machine.MountWorkspace(message.Baseline, message.Disk)
	if err != nil {
		return &failure{http.StatusInternalServerError, "mount-failed", err.Error()}
	}
	s.workspace, err = openWorkspace(mounted)
	if err != nil {
		return &failure{http.StatusInternalServerError, "mount-failed", err.Error()}
	}
	answer(w, http.StatusOK, wire.State{State: wire.StateReady})
	return nil
}

// freeze holds the workspace's disk still, so that the host can copy it.
func (s *Server) freeze(w http.ResponseWriter, r *http.Request) error {
	var message wire.Freeze
	if err := receive(w, r, &message, "hold_ms"); err != nil {
		return err
	}
	hold := time.Duration(message.HoldMS) * time.Millisecond
	if message.HoldMS < 1 || message.HoldMS > longestHold.Milliseconds() {
		return badRequest(errors.New("hold_ms is out of range"))
	}
	tree, err := s.worked()
	if err != nil {
		return err
	}
	if err := tree.freezer.Freeze(hold); err != nil {
		return &failure{http.StatusInternalServerError, "freeze-failed", err.Error()}
	}
	answer(w, http.StatusOK, wire.State{State: wire.StateFrozen})
	return nil
}

// thaw ends a freeze.
func (s *Server) thaw(w http.ResponseWriter, _ *http.Request) error {
	tree, err := s.worked()
	if err != nil {
		return err
	}
	held, err := tree.freezer.Thaw()
	if err != nil {
		return &failure{http.StatusInternalServerError, "thaw-failed", err.Error()}
	}
	if !held {
		return &failure{http.StatusConflict, "not-frozen", "the workspace thawed by itself, or never was frozen"}
	}
	answer(w, http.StatusOK, wire.State{State: wire.StateThawed})
	return nil
}

// worked returns the workspace, or why there is none.
func (s *Server) worked() (*workspace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, errStopping
	}
	if s.workspace == nil {
		return nil, &failure{http.StatusConflict, "no-workspace", "this machine has no workspace"}
	}
	return s.workspace, nil
}

// does makes a handler of an operation: parameters and bytes come in frames, and so does the answer.
func (s *Server) does(do operation) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		control := http.NewResponseController(w)
		if err := control.EnableFullDuplex(); err != nil {
			return err
		}
		defer stopReading(control)
		tree, err := s.worked()
		if err != nil {
			return err
		}
		body := wire.NewFrameReader(r.Body)
		parameter, err := receiveWork(body)
		if err != nil {
			return err
		}
		ctx, cancel := working(r)
		defer cancel()
		w.Header().Set("Content-Type", "application/octet-stream")
		frames := &frameWriter{w: w, control: control}
		out := &pieces{ctx: ctx, frames: frames}
		result, err := do(ctx, &work{machine: s.machine, tree: tree, parameter: *parameter, in: &sentAlong{body: body}, out: out})
		if err == nil {
			err = out.flush()
		}
		if err != nil {
			_ = frames.send(wire.KindFailed, wire.Encode(failed(err)))
			return nil
		}
		_ = frames.send(wire.KindResult, wire.Encode(result))
		return nil
	}
}

// receiveWork reads the frame that says what to do.
func receiveWork(body *wire.FrameReader) (*wire.Work, error) {
	kind, payload, err := body.Next()
	if err != nil {
		return nil, badRequest(fmt.Errorf("no START frame: %w", err))
	}
	if kind != wire.KindStart {
		return nil, badRequest(fmt.Errorf("the first frame is of kind %d, not START", kind))
	}
	var parameter wire.Work
	if err := wire.Decode(payload, &parameter); err != nil {
		return nil, badRequest(err)
	}
	return &parameter, nil
}

// sentAlong reads what the host sends behind the START frame, to its STDIN_EOF.
type sentAlong struct {
	body *wire.FrameReader
	left []byte
	end  bool
}

func (s *sentAlong) Read(p []byte) (int, error) {
	for len(s.left) == 0 {
		if s.end {
			return 0, io.EOF
		}
		kind, payload, err := s.body.Next()
		switch {
		case errors.Is(err, io.EOF):
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case kind == wire.KindStdinEOF:
			s.end = true
		case kind == wire.KindStdin:
			s.left = payload
		default:
			return 0, fmt.Errorf("%w: kind %d has no place here", wire.ErrFrame, kind)
		}
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// pieces sends an answer's bytes in frames of a good size. A host that left ends the work.
type pieces struct {
	ctx    context.Context
	frames *frameWriter
	held   []byte
}

func (p *pieces) Write(data []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	for rest := data; len(rest) > 0; {
		if len(p.held) == 0 && len(rest) >= pieceSize {
			if err := p.frames.put(wire.KindStdout, rest[:pieceSize]); err != nil {
				return 0, err
			}
			rest = rest[pieceSize:]
			continue
		}
		n := min(pieceSize-len(p.held), len(rest))
		p.held = append(p.held, rest[:n]...)
		rest = rest[n:]
		if len(p.held) == pieceSize {
			if err := p.put(); err != nil {
				return 0, err
			}
		}
	}
	return len(data), nil
}

func (p *pieces) put() error {
	err := p.frames.put(wire.KindStdout, p.held)
	p.held = p.held[:0]
	return err
}

// flush puts what is held, if anything is, behind what was sent before; the frame that ends the answer pushes it out.
func (p *pieces) flush() error {
	if len(p.held) == 0 {
		return nil
	}
	return p.put()
}
