package mux

import (
	"bufio"
	"bytes"
	"io"
)

// frameReader finds frames in a byte stream that may hold anything in between: the tail of a dead client's frame,
// zeros, garbage.
type frameReader struct {
	source *bufio.Reader
	buffer [HeaderSize + MaxPayload]byte
}

func newFrameReader(source io.Reader) *frameReader {
	return &frameReader{source: bufio.NewReaderSize(source, 2*MaxPayload)}
}

// next returns the next valid frame; its bytes are valid until the call after.
//
// A frame with a wrong checksum is skipped whole, not searched for another frame within: what it carries may be a
// stranger's data. The zeros that precede a HELLO are as many as the longest frame has bytes, so no HELLO is lost to it.
func (r *frameReader) next() (frame, error) {
	for {
		head, err := r.source.Peek(HeaderSize)
		if err != nil {
			return nil, err
		}
		if !frame(head).plausible() {
			r.skip(head)
			continue
		}
		f := frame(r.buffer[:HeaderSize+frame(head).length()])
		if _, err := io.ReadFull(r.source, f); err != nil {
			return nil, err
		}
		if f.sound() {
			return f, nil
		}
	}
}

// skip drops what cannot be the start of a frame: at least one byte, and all before the next that could be.
func (r *frameReader) skip(head []byte) {
	n := bytes.IndexByte(head[1:], magic[0]) + 1
	if n == 0 {
		n = len(head)
	}
	_, _ = r.source.Discard(n) // Peek has shown that many bytes
}
