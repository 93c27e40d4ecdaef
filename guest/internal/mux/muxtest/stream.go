package muxtest

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// ErrReset is what a stream returns that the guest has reset.
var ErrReset = errors.New("muxtest: the guest reset the stream")

// Stream is a stream that the host opened.
type Stream struct {
	Number    uint32
	host      *Host
	received  bytes.Buffer
	allowance int // bytes that may be sent
	granted   int // bytes that the guest may send
	ended     error
}

// Open opens the next stream.
func (h *Host) Open() *Stream {
	h.last++
	s := &Stream{Number: h.last, host: h, allowance: credit, granted: credit}
	h.streams[s.Number] = s
	h.Send(s.Number, Open, nil)
	return s
}

// Read returns what the guest sent, and lets it send as much again.
func (s *Stream) Read(b []byte) (int, error) {
	for s.received.Len() == 0 {
		if s.ended != nil {
			return 0, s.ended
		}
		if err := s.host.pump(); err != nil {
			return 0, err
		}
	}
	n, _ := s.received.Read(b)
	if s.ended == nil {
		s.Grant(n)
	}
	return n, nil
}

// Grant lets the guest send n bytes more.
func (s *Stream) Grant(n int) {
	s.granted += n
	s.host.Send(s.Number, Window, binary.BigEndian.AppendUint32(nil, uint32(n)))
}

// Write sends bytes as the guest's credit allows.
func (s *Stream) Write(b []byte) (int, error) {
	for sent := 0; sent < len(b); {
		for s.allowance == 0 {
			if s.ended != nil {
				return sent, s.ended
			}
			if err := s.host.pump(); err != nil {
				return sent, err
			}
		}
		n := min(len(b)-sent, s.allowance, 32768)
		s.host.Send(s.Number, Data, b[sent:sent+n])
		s.allowance -= n
		sent += n
	}
	return len(b), nil
}

// CloseWrite sends FIN.
func (s *Stream) CloseWrite() { s.host.Send(s.Number, Fin, nil) }

// Reset sends RESET.
func (s *Stream) Reset() { s.host.Send(s.Number, Reset, nil) }
