package shell

// RingSize is how much of what a shell has written is kept.
const RingSize = 1 << 20

// ring keeps the last RingSize bytes of a stream. A cursor counts the bytes of the stream before a place in it.
type ring struct {
	held []byte // grows to RingSize; the byte at cursor c is held[c % RingSize]
	end  int64  // the cursor behind the last byte
}

// start is the cursor of the first byte that is not forgotten.
func (r *ring) start() int64 { return r.end - int64(len(r.held)) }

func (r *ring) write(p []byte) {
	for len(p) > 0 {
		var n int
		if at := int(r.end % RingSize); len(r.held) < RingSize { // at is its length: it was never full
			n = min(len(p), RingSize-at)
			r.held = append(r.held, p[:n]...)
		} else {
			n = copy(r.held[at:], p)
		}
		r.end += int64(n)
		p = p[n:]
	}
}

// read copies to p what stands from cursor on, which must not be forgotten, and returns how much that is.
func (r *ring) read(cursor int64, p []byte) int {
	p = p[:min(int64(len(p)), r.end-cursor)]
	n := 0
	for n < len(p) {
		at := int((cursor + int64(n)) % RingSize)
		n += copy(p[n:], r.held[at:])
	}
	return n
}
