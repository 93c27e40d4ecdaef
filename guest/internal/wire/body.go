package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Kind tells what a body frame carries.
type Kind byte

// Kinds of body frames.
const (
	KindStart    Kind = 1
	KindStdin    Kind = 2
	KindStdinEOF Kind = 3
	KindStarted  Kind = 16
	KindStdout   Kind = 17
	KindStderr   Kind = 18
	KindExit     Kind = 19
	KindResult   Kind = 20
	KindFailed   Kind = 21

	KindConnected Kind = 22
	KindOutputEOF Kind = 23
)

// HeadSize is the length of what precedes a payload: the kind, and the payload's length as u32.
const HeadSize = 5

// ErrFrame is wrapped by every complaint about a body frame that breaks the rules.
var ErrFrame = errors.New("malformed body frame")

func (k Kind) known() bool {
	return KindStart <= k && k <= KindStdinEOF || KindStarted <= k && k <= KindOutputEOF
}

// AppendFrame appends a whole frame to b.
func AppendFrame(b []byte, kind Kind, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, byte(kind)), uint32(len(payload)))
	return append(b, payload...)
}

// PutHead makes a frame of a payload that stands in it already, behind room for the head.
func PutHead(frame []byte, kind Kind) {
	frame[0] = byte(kind)
	binary.BigEndian.PutUint32(frame[1:HeadSize], uint32(len(frame)-HeadSize))
}

// FrameReader takes body frames from a byte stream, one at a time.
type FrameReader struct {
	source io.Reader
	buffer []byte
}

// NewFrameReader reads from source, never past the end of the frame asked for.
func NewFrameReader(source io.Reader) *FrameReader {
	return &FrameReader{source: source}
}

// Next returns the next frame; its payload is valid until the call after. It returns io.EOF when the stream ends between
// two frames, io.ErrUnexpectedEOF when it ends inside of one.
func (r *FrameReader) Next() (Kind, []byte, error) {
	kind, length, err := r.Head()
	if err != nil {
		return 0, nil, err
	}
	if cap(r.buffer) < length {
		r.buffer = make([]byte, length)
	}
	payload := r.buffer[:length]
	for rest := payload; len(rest) > 0; {
		n, err := r.Part(rest)
		if err != nil {
			return 0, nil, err
		}
		rest = rest[n:]
	}
	return kind, payload, nil
}

// Head reads the beginning of the next frame and returns the length of its payload, which is to be taken by Part before
// the frame after. For payloads that are wanted as they arrive; errors are those of Next.
func (r *FrameReader) Head() (Kind, int, error) {
	var head [HeadSize]byte
	if _, err := io.ReadFull(r.source, head[:]); err != nil {
		return 0, 0, err
	}
	kind, length := Kind(head[0]), binary.BigEndian.Uint32(head[1:])
	if !kind.known() {
		return 0, 0, fmt.Errorf("%w: unknown kind %d", ErrFrame, kind)
	}
	if length > MaxBodyFrame {
		return 0, 0, fmt.Errorf("%w: %d payload bytes, at most %d are allowed", ErrFrame, length, MaxBodyFrame)
	}
	return kind, int(length), nil
}

// Part reads the next bytes of a payload: into p, which must not be longer than what is left of it.
func (r *FrameReader) Part(p []byte) (int, error) {
	n, err := r.source.Read(p)
	if n > 0 {
		return n, nil // an error with them comes again
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}
