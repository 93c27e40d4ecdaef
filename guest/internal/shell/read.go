package shell

import (
	"context"
	"time"
)

// pieceSize is how much an attachment gets at once.
const pieceSize = 32 << 10

// Query is what to read, and for what to wait.
type Query struct {
	Cursor   int64 // not negative
	MaxBytes int64 // not negative
	// Idle, if it is not 0, has Read wait until nothing was written for so long. Enough to read, the end of the shell and
	// the passing of Wait end that, too.
	Idle, Wait time.Duration
}

// Read returns what the shell has written from a cursor on. It fails with CursorAhead, or when the context ends.
func (s *Shell) Read(ctx context.Context, query Query) ([]byte, State, error) {
	deadline := time.Now().Add(query.Wait)
	var timer *time.Timer
	for {
		data, state, changed, pause, err := s.look(query, deadline)
		if err != nil || changed == nil {
			return data, state, err
		}
		if timer == nil {
			timer = time.NewTimer(pause)
			defer timer.Stop()
		} else {
			timer.Reset(pause)
		}
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			return nil, State{}, ctx.Err()
		}
	}
}

// look reads, or returns what to wait for and how long.
func (s *Shell) look(query Query, deadline time.Time) ([]byte, State, <-chan struct{}, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	start, err := s.placeLocked(query.Cursor)
	if err != nil {
		return nil, State{}, nil, 0, err
	}
	there := min(s.ring.end-start, query.MaxBytes)
	if query.Idle > 0 && !s.exited && there < query.MaxBytes {
		pause := min(query.Idle-time.Since(s.touched), time.Until(deadline))
		if pause > 0 {
			return nil, State{}, s.changeComesLocked(), pause, nil
		}
	}
	data := make([]byte, there)
	s.ring.read(start, data)
	return data, s.stateLocked(start, start+there), nil, 0, nil
}

// placeLocked returns where reading from a cursor begins: there, or at the first byte that is not forgotten.
func (s *Shell) placeLocked(cursor int64) (int64, error) {
	if cursor > s.ring.end {
		err := refuse(CursorAhead, "the cursor is %d, but only %d bytes have been written", cursor, s.ring.end)
		err.Details = map[string]any{"end": s.ring.end}
		return 0, err
	}
	return max(cursor, s.ring.start()), nil
}

// Attach sends what the shell has written from a cursor on, and what it writes, until it has ended. Whoever is too slow
// misses what the ring has forgotten meanwhile. A piece that does not follow the one before it, or is not at the cursor, has
// an empty one before it; no other is empty. Errors are CursorAhead, those of send, and that of the context.
func (s *Shell) Attach(ctx context.Context, cursor int64, send func([]byte) error) (State, error) {
	buffer := make([]byte, pieceSize)
	first := int64(-1)
	for {
		n, state, changed, err := s.follow(cursor, buffer)
		if err != nil {
			return State{}, err
		}
		if first < 0 {
			first = state.Start
		}
		if state.Start > cursor {
			if err := send(nil); err != nil {
				return State{}, err
			}
		}
		cursor = state.Next
		switch {
		case n > 0:
			if err := send(buffer[:n]); err != nil {
				return State{}, err
			}
		case changed == nil:
			state.Start = first
			return state, nil
		default:
			select {
			case <-changed:
			case <-ctx.Done():
				return State{}, ctx.Err()
			}
		}
	}
}

// follow reads into the buffer, or returns what to wait for unless the shell has ended.
func (s *Shell) follow(cursor int64, buffer []byte) (int, State, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	start, err := s.placeLocked(cursor)
	if err != nil {
		return 0, State{}, nil, err
	}
	n := s.ring.read(start, buffer)
	state := s.stateLocked(start, start+int64(n))
	if n > 0 || s.exited {
		return n, state, nil, nil
	}
	return 0, state, s.changeComesLocked(), nil
}
