package server

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pyro.local/guest/internal/forward"
	"pyro.local/guest/internal/wire"
)

// forward joins the stream with a connection to a program of the machine.
func (s *Server) forward(c *call) (any, error) {
	if _, err := s.ready(); err != nil {
		return nil, err
	}
	var message wire.Forward
	if err := c.decode(&message, "port"); err != nil {
		return nil, err
	}
	conn, err := forward.Dial(c.ctx, int(message.Port))
	if err != nil {
		return nil, err
	}
	j := &joint{call: c, conn: conn, inputEnded: make(chan error, 1)}
	if err := j.run(); err != nil {
		return nil, err
	}
	return wire.Nothing{}, nil
}

// joint is a stream and a connection, joined.
type joint struct {
	*call
	conn       *forward.Conn
	inputEnded chan error // told once how it ended
}

// run moves bytes both ways until both have ended, or anything has failed.
func (j *joint) run() error {
	defer context.AfterFunc(j.ctx, j.conn.Break)()
	received := make(chan struct{})
	go func() {
		defer close(received)
		j.receive()
	}()
	err := j.output()
	if err == nil {
		err = j.awaitInput()
	}
	if err != nil {
		j.conn.Break()
	} else {
		j.conn.Close()
	}
	stopReading(j.control)
	<-received // net/http must be the only reader when this returns
	return err
}

// awaitInput returns how the input has ended, or that the connection broke before.
func (j *joint) awaitInput() error {
	reset := make(chan error, 1)
	go func() { reset <- j.conn.AwaitReset() }()
	select {
	case err := <-j.inputEnded:
		return err
	case err := <-reset:
		return err
	}
}

// output passes on what the program sends.
func (j *joint) output() error {
	err := j.frames.send(wire.KindConnected, nil)
	if err == nil {
		err = j.conn.Out(wire.HeadSize, j.put, j.frames.flush)
	}
	if err != nil {
		return err
	}
	return j.frames.send(wire.KindOutputEOF, nil)
}

// put sends a piece, in front of which there is room for what makes it a frame.
func (j *joint) put(frame []byte) error {
	wire.PutHead(frame, wire.KindStdout)
	return j.frames.putWhole(frame)
}

// receive reads the request to its end: first what is for the program, then nothing.
func (j *joint) receive() {
	err := j.input()
	if err != nil && !errors.Is(err, forward.ErrReset) { // of that the output learns, behind what was said before
		j.conn.Break() // the host is gone, or out of its mind
	}
	j.inputEnded <- err
	if err == nil && receiveStdin(j.body, nil) != nil {
		j.conn.Break()
	}
}

// input passes on what the host sends, to its STDIN_EOF.
func (j *joint) input() error {
	for {
		kind, length, err := j.body.Head()
		switch {
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case kind == wire.KindStdinEOF && length == 0:
			return j.conn.EndIn()
		case kind != wire.KindStdin:
			return fmt.Errorf("%w: kind %d has no place here", wire.ErrFrame, kind)
		}
		if err := j.conn.In(j.body.Part, length); err != nil {
			return err
		}
	}
}

// putWhole sends a frame that is put together already, as put does.
func (f *frameWriter) putWhole(frame []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.w.Write(frame)
	return err
}

// flush sends what has stayed behind.
func (f *frameWriter) flush() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.control.Flush()
}
