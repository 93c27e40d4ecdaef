package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"pyro.local/guest/internal/wire"
)

// pieceSize is how much of an answer is collected before it is sent.
const pieceSize = 256 << 10

// call is a request whose parameters and bytes come in frames, and which is answered in frames (sections 5 and 6).
type call struct {
	ctx     context.Context // ends when the host leaves, or the work is done
	start   []byte
	body    *wire.FrameReader // what comes behind START
	frames  *frameWriter
	control *http.ResponseController
	unheard func() // undoes what has no meaning if the host does not get the RESULT; nil if it has all the same
}

// framed makes a handler of work that is asked for in frames. What serve returns becomes the RESULT, its error FAILED; a
// *failure refuses the request as a whole, for which it is too late once something was answered.
func (s *Server) framed(serve func(*call) (any, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		control := http.NewResponseController(w)
		if err := control.EnableFullDuplex(); err != nil {
			return err
		}
		// Whatever the outcome: net/http must not wait for the rest of a request that the host keeps open.
		defer stopReading(control)
		body := wire.NewFrameReader(r.Body)
		start, err := receiveFirst(body)
		if err != nil {
			return err
		}
		ctx, cancel := working(r)
		defer cancel()
		w.Header().Set("Content-Type", "application/octet-stream")
		frames := &frameWriter{w: w, control: control}
		c := &call{ctx: ctx, start: start, body: body, frames: frames, control: control}
		result, err := serve(c)
		if refused, ok := errors.AsType[*failure](err); ok {
			return refused
		}
		if err != nil {
			_ = frames.send(wire.KindFailed, wire.Encode(failed(err)))
			return nil
		}
		if frames.send(wire.KindResult, wire.Encode(result)) != nil && c.unheard != nil {
			c.unheard()
		}
		return nil
	}
}

// receiveFirst returns the payload of START, valid until the next frame is read.
func receiveFirst(body *wire.FrameReader) ([]byte, error) {
	kind, payload, err := body.Next()
	if err != nil {
		return nil, badRequest(fmt.Errorf("no START frame: %w", err))
	}
	if kind != wire.KindStart {
		return nil, badRequest(fmt.Errorf("the first frame is of kind %d, not START", kind))
	}
	return payload, nil
}

// decode reads the parameters and has them checked, if they know how. It comes before anything that reads the frames
// behind START.
func (c *call) decode(parameters any, required ...string) error {
	err := wire.Decode(c.start, parameters, required...)
	if checked, ok := parameters.(interface{ Check() error }); ok && err == nil {
		err = checked.Check()
	}
	if err != nil {
		return badRequest(err)
	}
	return nil
}

// sentAlong returns a reader of what the host sends behind START, to its STDIN_EOF.
func (c *call) sentAlong() io.Reader { return &sentAlong{body: c.body} }

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
