// Package muxtest is the other end of a mux for tests: a port with the habits of virtio-serial, and a host client that
// shares no code with the guest's side.
package muxtest

import (
	"errors"
	"io"
	"sync"
)

// capacity is how many bytes wait for a host that does not read before writes block.
const capacity = 65536

// ErrClosed is what a port that was taken away returns.
var ErrClosed = errors.New("muxtest: the port is gone")

// Port remembers, as virtio-serial does: bytes of a client that died are delivered to the next one, in both directions.
type Port struct {
	mu        sync.Mutex
	changed   *sync.Cond
	toGuest   []byte
	toHost    []byte
	connected *Host
	ends      int // ends of file that the guest is still to be told of
	waiting   int // guest calls that wait for a host
	closed    bool
}

// NewPort returns a port without a client.
func NewPort() *Port {
	p := &Port{}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// Read is the guest's: bytes first, then the end of file while nobody is connected.
func (p *Port) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed {
		switch {
		case len(p.toGuest) > 0:
			n := copy(b, p.toGuest)
			p.toGuest = p.toGuest[n:]
			p.changed.Broadcast()
			return n, nil
		case p.ends > 0:
			p.ends--
			return 0, io.EOF
		case p.connected == nil:
			return 0, io.EOF
		}
		p.changed.Wait()
	}
	return 0, ErrClosed
}

// Write is the guest's: it blocks while nobody is connected or nobody reads.
func (p *Port) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(b) {
		for !p.closed && (p.connected == nil || len(p.toHost) >= capacity) {
			p.changed.Wait()
		}
		if p.closed {
			return n, ErrClosed
		}
		m := min(len(b)-n, capacity-len(p.toHost))
		p.toHost = append(p.toHost, b[n:n+m]...)
		n += m
		p.changed.Broadcast()
	}
	return n, nil
}

// AwaitHost is the guest's.
func (p *Port) AwaitHost() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
	defer func() { p.waiting-- }()
	for !p.closed && p.connected == nil {
		p.changed.Wait()
	}
	if p.closed {
		return ErrClosed
	}
	return nil
}

// Close takes the device away.
func (p *Port) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.changed.Broadcast()
}

// ReportLate makes the guest see an end of file once it has read what is there, though a host is connected: the news that
// the client before it has left.
func (p *Port) ReportLate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends++
	p.changed.Broadcast()
}
