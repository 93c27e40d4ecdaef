package muxtest

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// Kinds of frames, as the protocol numbers them.
const (
	Hello = 1 + iota
	Welcome
	Open
	Data
	Window
	Fin
	Reset
)

const (
	magic      = "\xffPYROMX\x01"
	headerSize = 32
	credit     = 262144
)

// Frame is one frame, taken apart.
type Frame struct {
	Session uint64
	Stream  uint32
	Kind    byte
	Payload []byte
}

// Bytes puts a frame of the host together.
func (f Frame) Bytes() []byte { return f.bytes(f.Payload) }

// ofGuest puts a frame together as a guest does: the checksum leaves the payload out.
func (f Frame) ofGuest() []byte { return f.bytes(nil) }

func (f Frame) bytes(checked []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte(magic), f.Session)
	b = binary.BigEndian.AppendUint32(b, f.Stream)
	b = append(b, f.Kind, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.Payload)))
	sum := crc32.ChecksumIEEE(append(append([]byte{}, b[8:]...), checked...))
	return append(binary.BigEndian.AppendUint32(b, sum), f.Payload...)
}

// Host is a client of a Port. It is for one goroutine, which reads frames only when it needs some.
type Host struct {
	Session uint64
	Stale   int // bytes skipped before the WELCOME
	port    *Port
	streams map[uint32]*Stream
	last    uint32
}

// Attach connects without a word, in the place of any client before.
func (p *Port) Attach() *Host {
	var random [8]byte
	rand.Read(random[:])
	h := &Host{Session: binary.BigEndian.Uint64(random[:]) | 1, port: p, streams: map[uint32]*Stream{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected = h
	p.changed.Broadcast()
	return h
}

// Connect attaches and resynchronises.
func (p *Port) Connect() *Host {
	h := p.Attach()
	if err := h.Greet(); err != nil {
		panic(err)
	}
	return h
}

// Greet does what a new client does: zeros, HELLO, then skip to the WELCOME.
func (h *Host) Greet() error {
	nonce := make([]byte, 16)
	rand.Read(nonce)
	h.Write(make([]byte, 32800))
	h.Send(0, Hello, nonce)
	welcome := Frame{h.Session, 0, Welcome, nonce}.ofGuest()
	window := make([]byte, 0, len(welcome))
	for !bytes.Equal(window, welcome) {
		if len(window) == len(welcome) {
			window = append(window[:0], window[1:]...)
			h.Stale++
		}
		next, err := h.read(1)
		if err != nil {
			return err
		}
		window = append(window, next...)
	}
	return nil
}

// Die leaves as a killed process does.
func (h *Host) Die() {
	h.port.mu.Lock()
	defer h.port.mu.Unlock()
	if h.port.connected == h {
		h.port.connected = nil
		h.port.changed.Broadcast()
	}
}

// Write sends bytes of any kind.
func (h *Host) Write(b []byte) {
	h.port.mu.Lock()
	defer h.port.mu.Unlock()
	h.port.toGuest = append(h.port.toGuest, b...)
	h.port.changed.Broadcast()
}

// Send sends a frame.
func (h *Host) Send(stream uint32, kind byte, payload []byte) {
	h.Write(Frame{h.Session, stream, kind, payload}.Bytes())
}

func (h *Host) read(n int) ([]byte, error) {
	p := h.port
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.toHost) < n && !p.closed {
		p.changed.Wait()
	}
	if p.closed {
		return nil, ErrClosed
	}
	b := append([]byte{}, p.toHost[:n]...)
	p.toHost = p.toHost[n:]
	p.changed.Broadcast()
	return b, nil
}

// Next returns the guest's next frame. Anything else than a frame of this session is a broken guest.
func (h *Host) Next() (Frame, error) {
	head, err := h.read(headerSize)
	if err != nil {
		return Frame{}, err
	}
	payload, err := h.read(int(binary.BigEndian.Uint32(head[24:])))
	if err != nil {
		return Frame{}, err
	}
	f := Frame{binary.BigEndian.Uint64(head[8:]), binary.BigEndian.Uint32(head[16:]), head[20], payload}
	if f.Session != h.Session || !bytes.Equal(f.ofGuest(), append(head, payload...)) {
		return Frame{}, fmt.Errorf("muxtest: not a frame of this session: %x", head)
	}
	return f, nil
}

// pump applies the next frame to its stream.
func (h *Host) pump() error {
	f, err := h.Next()
	if err != nil {
		return err
	}
	s, ok := h.streams[f.Stream]
	if !ok {
		return fmt.Errorf("muxtest: frame for stream %d, which was never opened", f.Stream)
	}
	switch f.Kind {
	case Data:
		s.received.Write(f.Payload)
		if s.granted -= len(f.Payload); s.granted < 0 {
			return fmt.Errorf("muxtest: stream %d oversteps its credit", f.Stream)
		}
	case Window:
		s.allowance += int(binary.BigEndian.Uint32(f.Payload))
	case Fin:
		s.ended = io.EOF
	case Reset:
		s.ended = ErrReset
	default:
		return fmt.Errorf("muxtest: frame of kind %d from the guest", f.Kind)
	}
	return nil
}
