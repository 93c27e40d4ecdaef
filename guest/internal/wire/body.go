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
)

// headSize is the length of what precedes a payload: the kind, and the payload's length as u32.
const headSize = 5

// ErrFrame is wrapped by every complaint about a body frame that breaks the rules.
var ErrFrame = errors.New("malformed body frame")

func (k Kind) known() bool {
	return KindStart <= k && k <= KindStdinEOF || KindStarted <= k && k <= KindFailed
}

// AppendFrame appends a whole frame to b.
func AppendFrame(b []byte, kind Kind, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, byte(kind)), uint32(len(payload)))
	return append(b, payload...)
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
	var head [headSize]byte
	if _, err := io.ReadFull(r.source, head[:]); err != nil {
		return 0, nil, err
	}
	kind, length := Kind(head[0]), binary.BigEndian.Uint32(head[1:])
	if !kind.known() {
		return 0, nil, fmt.Errorf("%w: unknown kind %d", ErrFrame, kind)
	}
	if length > MaxBodyFrame {
		return 0, nil, fmt.Errorf("%w: %d payload bytes, at most %d are allowed", ErrFrame, length, MaxBodyFrame)
	}
	if cap(r.buffer) < int(length) {
		r.buffer = make([]byte, length)
	}
	payload := r.buffer[:length]
	if _, err := io.ReadFull(r.source, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return kind, payload, nil
}
