package mux

import "encoding/binary"

const (
	// BatchSize is how much is written to the port at once: each piece costs exits to the VMM.
	BatchSize = 262144
	// leastData keeps DATA frames from being cut to crumbs at the end of a batch.
	leastData = 1024
	// maxRefusals bounds the RESETs that wait for a host which sends and does not read. More are dropped.
	maxRefusals = 1024
)

// session is one host client's time on the port. Its fields are guarded by the lock of the Mux.
type session struct {
	mux      *Mux
	id       uint64
	nonce    []byte // of a HELLO that is not answered yet
	streams  map[uint32]*Stream
	last     uint32   // highest stream number used
	refusals []uint32 // numbers to answer with RESET
	ready    []*Stream
}

// dispatch applies one valid frame.
func (m *Mux) dispatch(f frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.kind() == kindHello {
		nonce := append([]byte(nil), f.payload()...)
		m.replace(&session{mux: m, id: f.session(), nonce: nonce, streams: map[uint32]*Stream{}})
		return
	}
	session := m.current
	if session == nil || f.session() != session.id {
		return // left over from a client that is gone
	}
	if f.kind() == kindOpen {
		session.open(f.stream())
		return
	}
	stream, ok := session.streams[f.stream()]
	if !ok {
		return // that stream is over; the frame was under way
	}
	switch f.kind() {
	case kindData:
		stream.receive(f.payload())
	case kindWindow:
		stream.extend(binary.BigEndian.Uint32(f.payload()))
	case kindFin:
		stream.finish()
	case kindReset:
		stream.end(errReset)
	}
}

// open admits a stream, or refuses it.
func (s *session) open(number uint32) {
	if number <= s.last {
		if stream, ok := s.streams[number]; ok {
			stream.end(errReset) // RESET names the number, so it ends what bears it
		}
		s.refuse(number)
		return
	}
	s.last = number
	if len(s.streams) >= MaxStreams {
		s.refuse(number)
		return
	}
	stream := newStream(s, number)
	select {
	case s.mux.opened <- stream:
		s.streams[number] = stream
	default: // nobody accepts
		s.refuse(number)
	}
}

func (s *session) refuse(number uint32) {
	if len(s.refusals) < maxRefusals {
		s.refusals = append(s.refusals, number)
		s.mux.work.Signal()
	}
}

// enqueue tells the writer that a stream has something to send.
func (s *session) enqueue(stream *Stream) {
	if !stream.queued {
		stream.queued = true
		s.ready = append(s.ready, stream)
		s.mux.work.Signal()
	}
}

// fill appends frames to the buffer until it is full or there are none: first the WELCOME, then refusals, then streams,
// each in its turn.
func (s *session) fill(buffer []byte) []byte {
	if s.nonce != nil {
		buffer = appendFrame(buffer, s.id, 0, kindWelcome, s.nonce)
		s.nonce = nil
	}
	for len(s.refusals) > 0 && room(buffer) >= HeaderSize {
		buffer = appendFrame(buffer, s.id, s.refusals[0], kindReset, nil)
		s.refusals = s.refusals[1:]
	}
	for len(s.ready) > 0 && room(buffer) >= HeaderSize+leastData {
		stream := s.ready[0]
		s.ready = s.ready[1:]
		stream.queued = false
		buffer = stream.fill(buffer)
	}
	return buffer
}

func room(buffer []byte) int { return cap(buffer) - len(buffer) }
