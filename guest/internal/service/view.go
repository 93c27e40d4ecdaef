package service

import (
	"bytes"
	"context"
	"errors"
)

// blockSize is how much of a log is read at once.
const blockSize = 64 << 10

// View says what of a log is wanted.
type View struct {
	TailLines int   // 0 means all
	MaxBytes  int64 // at most so much of what is there already
	Follow    bool  // also what comes, until the service has ended
}

// show passes on what the view is about, and tells whether there was more, before it or where the reader was too slow: the
// piece that comes after such a gap has an empty one before it, and no other is empty. A log that is replaced by that of a
// later start ends.
func (l *log) show(ctx context.Context, view View, emit func([]byte) error) (cut bool, err error) {
	buffer := make([]byte, blockSize)
	from, to, err := l.tail(view, buffer)
	offset, told := from, int64(0)
	for err == nil && (view.Follow || offset < to) {
		var n int
		var at int64
		if n, at, err = l.read(l.limited(view, buffer, to-offset), offset); err != nil {
			break
		}
		cut = cut || at > offset
		offset = at + int64(n)
		if n > 0 {
			err = emitAt(buffer[:n], at, told, emit)
			told = offset
			continue
		}
		if !view.Follow || l.await(ctx, offset) {
			break
		}
		err = ctx.Err()
	}
	if errors.Is(err, errGone) {
		return true, nil
	}
	return cut || from > 0 || l.incomplete(), err
}

// emitAt passes on what stands at an offset, behind the mark of a gap unless what was told before ended there.
func emitAt(data []byte, at, told int64, emit func([]byte) error) error {
	if at > told {
		if err := emit(nil); err != nil {
			return err
		}
	}
	return emit(data)
}

// limited is the buffer, cut to what is left if there is an end to what is wanted.
func (l *log) limited(view View, buffer []byte, left int64) []byte {
	if view.Follow {
		return buffer
	}
	return buffer[:min(int64(len(buffer)), left)]
}

// await waits until there is something behind the offset, and tells whether there never will be.
func (l *log) await(ctx context.Context, offset int64) (over bool) {
	changed, over := l.more(offset)
	if changed == nil {
		return over
	}
	select {
	case <-changed:
	case <-ctx.Done():
	}
	return false
}

// tail returns where the last lines begin, and where the log ends. What is cut off by the limit on bytes, or because the
// log does not go back further, begins with a whole line if there is one.
func (l *log) tail(view View, buffer []byte) (from, to int64, err error) {
	first, to := l.bounds()
	floor := max(first, to-view.MaxBytes)
	lowest := max(first, floor-1) // the byte before it tells whether a line begins at the floor
	line, lines := int64(-1), 0
	for position := to; position > lowest; {
		asked := max(lowest, position-int64(len(buffer)))
		block, start, err := l.between(buffer, asked, position)
		if err != nil {
			return 0, 0, err
		}
		if start > asked {
			lowest, floor = start, max(floor, start)
		}
		for i := bytes.LastIndexByte(block, '\n'); i >= 0; i = bytes.LastIndexByte(block[:i], '\n') {
			if begin := start + int64(i) + 1; begin < to {
				line, lines = begin, lines+1
			}
			if lines == view.TailLines && lines > 0 {
				return line, to, nil
			}
		}
		position = start
	}
	if floor > 0 && line >= 0 {
		return line, to, nil
	}
	return floor, to, nil
}

// between returns what stands between two offsets, at most the buffer full. It begins later where something is missing.
func (l *log) between(buffer []byte, from, to int64) (block []byte, start int64, err error) {
	for from+int64(len(block)) < to {
		next := from + int64(len(block))
		n, at, err := l.read(buffer[len(block):len(block)+int(to-next)], next)
		if err != nil {
			return nil, 0, err
		}
		if n == 0 || at >= to {
			return nil, to, nil
		}
		if at > next {
			n = copy(buffer, buffer[len(block):len(block)+n])
			block, from = nil, at
		}
		block = buffer[:len(block)+n]
	}
	return block[:to-from], from, nil
}
