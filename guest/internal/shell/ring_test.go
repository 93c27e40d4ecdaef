package shell

import (
	"bytes"
	"math/rand"
	"testing"
)

// TestTheRingKeepsTheLastOfWhatWasWritten compares it with everything that was written, at all kinds of cursors.
func TestTheRingKeepsTheLastOfWhatWasWritten(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	var all []byte
	var r ring
	for _, size := range []int{1, 4095, 1 << 19, RingSize - 5000, 904, 1, 3, RingSize, RingSize + 17, 3*RingSize + 1, 12345} {
		piece := make([]byte, size)
		random.Read(piece)
		all = append(all, piece...)
		r.write(piece)
		kept := min(len(all), RingSize)
		if r.end != int64(len(all)) || r.start() != int64(len(all)-kept) || len(r.held) != kept {
			t.Fatalf("after %d bytes: %d to %d, %d held", len(all), r.start(), r.end, len(r.held))
		}
		for range 20 {
			cursor := r.start() + random.Int63n(int64(kept)+1)
			got := make([]byte, random.Intn(kept+100))
			n := r.read(cursor, got)
			want := all[cursor:min(len(all), int(cursor)+len(got))]
			if !bytes.Equal(got[:n], want) {
				t.Fatalf("after %d bytes, %d of %d at %d are wrong", len(all), n, len(got), cursor)
			}
		}
	}
}

func TestAnEmptyRingIsReadToItsEnd(t *testing.T) {
	var r ring
	if n := r.read(0, make([]byte, 5)); n != 0 || r.start() != 0 {
		t.Error(n, r.start())
	}
}
