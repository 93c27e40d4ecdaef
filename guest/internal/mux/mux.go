// Package mux carries many byte streams over one port that remembers (protocol/README.md, section 2).
//
// Above it stands net/http, which sees a net.Listener and net.Conns with working deadlines; below it stands a Port: the
// virtio-serial device in a machine, a double in the tests. It knows no messages.
//
// Two goroutines touch the port. Run reads: it never waits for anything but the port, so a new session is heard whatever
// else is stuck. The writer takes frames of the current session only, one batch at a time, so a session that ended never
// writes again; a batch that was begun is finished, because the next host client must find whole frames. All state
// hangs on one mutex: a machine has few CPUs and the critical sections are short.
package mux

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// maxAbsence is how long a port may be without a host before the session is over.
const maxAbsence = time.Second

// Port is the carrier: one client at a time on its other end.
type Port interface {
	io.Writer
	// Read returns io.EOF while no host is connected.
	Read(p []byte) (int, error)
	// AwaitHost blocks until a host is connected.
	AwaitHost() error
}

var (
	errReset   = errors.New("mux: the host reset the stream")
	errSession = errors.New("mux: the session of the stream is over")
)

// Mux is a net.Listener over a Port; its Accept returns *Stream.
type Mux struct {
	port    Port
	absence time.Duration // maxAbsence, but for tests
	opened  chan *Stream
	failed  chan struct{} // closed when the port cannot be used any more
	err     error         // why; set before failed is closed

	mu      sync.Mutex // guards current and everything inside of sessions and streams
	current *session   // nil while no host has said HELLO
	work    *sync.Cond // the writer waits here for something to send
}

// New returns a multiplexer that does nothing until Run.
func New(port Port) *Mux {
	m := &Mux{port: port, absence: maxAbsence, opened: make(chan *Stream, MaxStreams), failed: make(chan struct{})}
	m.work = sync.NewCond(&m.mu)
	return m
}

// Run serves the port until it fails and returns why. Call it once.
func (m *Mux) Run() error {
	go m.write()
	reader := newFrameReader(patientPort{m})
	for {
		f, err := reader.next()
		if err != nil {
			m.fail(err)
			return m.err
		}
		m.dispatch(f)
	}
}

// Accept returns the next stream that the host opened. It fails when the port does.
func (m *Mux) Accept() (net.Conn, error) {
	select {
	case s := <-m.opened:
		return s, nil
	case <-m.failed:
		return nil, m.err
	}
}

// Close ends the current session and makes Accept fail. The port itself belongs to the caller.
func (m *Mux) Close() error {
	m.fail(net.ErrClosed)
	return nil
}

// Addr names the carrier.
func (m *Mux) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "serial" }
func (addr) String() string  { return "serial" }

// fail ends the session and everything that waits. Only the first reason counts.
func (m *Mux) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.failed:
		return
	default:
	}
	m.err = err
	close(m.failed)
	m.replace(nil)
}

// replace makes next the current session; whatever belonged to the one before is over. The caller holds the lock.
func (m *Mux) replace(next *session) {
	if m.current != nil {
		for _, s := range m.current.streams {
			s.end(errSession)
		}
	}
	m.current = next
	m.work.Signal()
}

// hangUp ends a session whose client is gone, unless another has taken its place.
func (m *Mux) hangUp(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == s {
		m.replace(nil)
	}
}

// write sends what the current session has to send, for as long as the port works.
func (m *Mux) write() {
	buffer := make([]byte, 0, BatchSize)
	for {
		batch := m.nextBatch(buffer)
		if batch == nil {
			return
		}
		if _, err := m.port.Write(batch); err != nil {
			m.fail(err)
			return
		}
	}
}

// nextBatch waits for frames to send and fills the buffer with them; nil means that there will be none.
func (m *Mux) nextBatch(buffer []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		select {
		case <-m.failed:
			return nil
		default:
		}
		if m.current != nil {
			if batch := m.current.fill(buffer); len(batch) > 0 {
				return batch
			}
		}
		m.work.Wait()
	}
}

// patientPort reads the port as if it had no end.
type patientPort struct{ m *Mux }

// Read waits through the times when no host is connected.
//
// The port's end of file comes out of order: the kernel hears on another queue that a client left, and may report it after
// bytes of the next one, even after its HELLO (seen once in some hundred quick reconnects). So it ends the session only
// if no host turns up for a while: one that does is either that session's own or will say HELLO and end it.
func (p patientPort) Read(b []byte) (int, error) {
	for {
		n, err := p.m.port.Read(b)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		p.m.mu.Lock()
		orphan := p.m.current
		p.m.mu.Unlock()
		timer := time.AfterFunc(p.m.absence, func() { p.m.hangUp(orphan) })
		err = p.m.port.AwaitHost()
		timer.Stop()
		if err != nil {
			return 0, err
		}
	}
}
