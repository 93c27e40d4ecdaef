package mux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"time"
)

// grantAt is how much the reader consumes before the host is told that it may send as much again.
const grantAt = Credit / 4

// Stream is one stream, a net.Conn. Its fields are guarded by the lock of the Mux, except where said.
type Stream struct {
	session *session
	number  uint32
	over    chan struct{} // closed when the stream has ended before both sides had finished

	received    bytes.Buffer
	credit      int  // bytes that the host may still send
	consumed    int  // bytes read since the last WINDOW
	hostDone    bool // the host sent FIN
	readable    *sync.Cond
	readTimeout deadline

	writing      sync.Mutex // held by the one Write at work; taken before the lock of the Mux
	pending      []byte     // the rest of what it was given
	allowance    int64      // bytes that the host lets us send
	finishing    bool       // FIN is to be sent after what is pending
	finished     bool       // FIN was sent
	writable     *sync.Cond
	writeTimeout deadline

	queued bool  // waits for the writer in session.ready
	closed bool  // Close was called
	err    error // why the stream is over before its time
}

func newStream(s *session, number uint32) *Stream {
	return &Stream{
		session:   s,
		number:    number,
		over:      make(chan struct{}),
		credit:    Credit,
		allowance: Credit,
		readable:  sync.NewCond(&s.mux.mu),
		writable:  sync.NewCond(&s.mux.mu),
	}
}

// Done is closed when the host has reset the stream or its session is over: whoever works for it should stop. A FIN of
// the host does not close it, for that alone says only that the request is complete.
func (s *Stream) Done() <-chan struct{} { return s.over }

// Read returns what the host sent, io.EOF after its FIN.
func (s *Stream) Read(p []byte) (int, error) {
	s.session.mux.mu.Lock()
	defer s.session.mux.mu.Unlock()
	for {
		switch {
		case s.closed:
			return 0, net.ErrClosed
		case s.readTimeout.passed():
			return 0, os.ErrDeadlineExceeded
		case s.err != nil:
			return 0, s.err
		case len(p) == 0:
			return 0, nil
		case s.received.Len() > 0:
			return s.consume(p), nil
		case s.hostDone:
			return 0, io.EOF
		}
		s.readable.Wait()
	}
}

func (s *Stream) consume(p []byte) int {
	n, _ := s.received.Read(p)
	s.consumed += n
	if s.consumed >= grantAt && !s.hostDone {
		s.session.enqueue(s)
	}
	return n
}

// Write hands p to the writer of the port and returns when all of it was taken, which waits for the host's WINDOW: a
// slow reader there stops the writer here.
func (s *Stream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.session.mux.mu.Lock()
	defer s.session.mux.mu.Unlock()
	s.pending = p
	if err := s.unwritable(); err == nil {
		s.session.enqueue(s)
	}
	for len(s.pending) > 0 {
		if err := s.unwritable(); err != nil {
			n := len(p) - len(s.pending)
			s.pending = nil
			return n, err
		}
		s.writable.Wait()
	}
	s.pending = nil
	return len(p), nil
}

func (s *Stream) unwritable() error {
	switch {
	case s.closed:
		return net.ErrClosed
	case s.writeTimeout.passed():
		return os.ErrDeadlineExceeded
	case s.err != nil:
		return s.err
	case s.finishing:
		return io.ErrClosedPipe
	}
	return nil
}

// CloseWrite sends FIN after what was written. net/http calls it when it answers before it has read the whole request.
func (s *Stream) CloseWrite() error {
	s.session.mux.mu.Lock()
	defer s.session.mux.mu.Unlock()
	s.finishWriting()
	return nil
}

func (s *Stream) finishWriting() {
	if s.err == nil && !s.finishing {
		s.finishing = true
		s.writable.Broadcast()
		s.session.enqueue(s)
	}
}

// Close sends FIN and drops what arrives from now on. It does not RESET: that could overtake an answer which the host
// has not read yet. The number stays in use until the host ends its direction too.
func (s *Stream) Close() error {
	s.session.mux.mu.Lock()
	defer s.session.mux.mu.Unlock()
	s.finishWriting()
	s.closed = true
	s.received = bytes.Buffer{}
	s.readTimeout.clear()
	s.writeTimeout.clear()
	s.readable.Broadcast()
	s.writable.Broadcast()
	return nil
}

// receive takes DATA.
func (s *Stream) receive(payload []byte) {
	s.credit -= len(payload)
	if s.credit < 0 || s.hostDone {
		s.reset()
		return
	}
	if !s.closed {
		s.received.Write(payload)
		s.readable.Broadcast()
	}
}

// extend takes WINDOW. More credit than any host could mean is an attack on the counter.
func (s *Stream) extend(n uint32) {
	s.allowance += int64(n)
	if s.allowance > math.MaxUint32 {
		s.reset()
		return
	}
	if len(s.pending) > 0 {
		s.session.enqueue(s)
	}
}

// finish takes FIN.
func (s *Stream) finish() {
	s.hostDone = true
	s.readable.Broadcast()
	if s.finished {
		delete(s.session.streams, s.number)
	}
}

// reset ends the stream and tells the host.
func (s *Stream) reset() {
	s.end(errReset)
	s.session.refuse(s.number)
}

// end makes the stream be over: readers and writers fail, unread data is dropped, its work is cancelled.
func (s *Stream) end(err error) {
	delete(s.session.streams, s.number)
	s.err = err
	s.received = bytes.Buffer{}
	close(s.over)
	s.readable.Broadcast()
	s.writable.Broadcast()
}

// fill appends the stream's next frames to the buffer. What does not fit waits for another turn, so that every stream
// gets one.
func (s *Stream) fill(buffer []byte) []byte {
	if s.err != nil {
		return buffer
	}
	session := s.session
	if s.consumed >= grantAt && !s.hostDone && !s.closed {
		grant := binary.BigEndian.AppendUint32(nil, uint32(s.consumed))
		buffer = appendFrame(buffer, session.id, s.number, kindWindow, grant)
		s.credit += s.consumed
		s.consumed = 0
	}
	if n := min(int64(len(s.pending)), s.allowance, int64(room(buffer)-HeaderSize), MaxPayload); n > 0 {
		buffer = appendFrame(buffer, session.id, s.number, kindData, s.pending[:n])
		s.allowance -= n
		s.pending = s.pending[n:]
		if len(s.pending) == 0 {
			s.writable.Broadcast()
		} else if s.allowance > 0 {
			session.enqueue(s)
		}
	}
	if s.finishing && !s.finished && len(s.pending) == 0 {
		if room(buffer) < HeaderSize {
			session.enqueue(s)
			return buffer
		}
		buffer = appendFrame(buffer, session.id, s.number, kindFin, nil)
		s.finished = true
		if s.hostDone {
			delete(session.streams, s.number)
		}
	}
	return buffer
}

// LocalAddr names the carrier, as there is nothing to tell two streams apart by.
func (s *Stream) LocalAddr() net.Addr { return addr{} }

// RemoteAddr names the carrier.
func (s *Stream) RemoteAddr() net.Addr { return addr{} }

// SetDeadline sets both deadlines.
func (s *Stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline makes Reads fail from t on, also those that wait already. net/http aborts its background read so.
func (s *Stream) SetReadDeadline(t time.Time) error {
	return s.setDeadline(&s.readTimeout, s.readable, t)
}

// SetWriteDeadline makes Writes fail from t on, also those that wait already.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	return s.setDeadline(&s.writeTimeout, s.writable, t)
}

func (s *Stream) setDeadline(d *deadline, waiters *sync.Cond, t time.Time) error {
	s.session.mux.mu.Lock()
	defer s.session.mux.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	d.set(t, waiters)
	return nil
}
