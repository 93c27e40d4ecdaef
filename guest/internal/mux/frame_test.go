package mux

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"testing"

	"pyro.local/guest/internal/mux/muxtest"
	"pyro.local/guest/internal/spectest"
)

type golden struct {
	Mux []struct {
		Name    string
		Sender  string
		Session string
		Stream  uint32
		Kind    byte
		Payload string
		Bytes   string
	} `json:"mux"`
	Refused []struct{ Name, Bytes string } `json:"mux_refused"`
}

// hostFrame is a frame as the host sends it.
func hostFrame(session uint64, stream uint32, k kind, payload []byte) []byte {
	return muxtest.Frame{Session: session, Stream: stream, Kind: byte(k), Payload: payload}.Bytes()
}

func TestGoldenFramesAreWrittenAndRead(t *testing.T) {
	var file golden
	spectest.Read(t, "golden.json", &file)
	for _, want := range file.Mux {
		t.Run(want.Name, func(t *testing.T) {
			session, err := strconv.ParseUint(want.Session, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			if want.Sender == "guest" {
				written := appendFrame(nil, session, want.Stream, kind(want.Kind), spectest.Unhex(t, want.Payload))
				if hex.EncodeToString(written) != want.Bytes {
					t.Errorf("written %x", written)
				}
				return
			}
			f, err := newFrameReader(bytes.NewReader(spectest.Unhex(t, want.Bytes))).next()
			if err != nil {
				t.Fatal(err)
			}
			if f.session() != session || f.stream() != want.Stream || byte(f.kind()) != want.Kind ||
				hex.EncodeToString(f.payload()) != want.Payload {
				t.Errorf("read %x", []byte(f))
			}
		})
	}
}

func TestRefusedFramesAreSkippedAndTheNextIsFound(t *testing.T) {
	var file golden
	spectest.Read(t, "golden.json", &file)
	if len(file.Refused) == 0 {
		t.Fatal("the file names none")
	}
	next := hostFrame(1, 1, kindOpen, nil)
	for _, refused := range file.Refused {
		t.Run(refused.Name, func(t *testing.T) {
			stream := append(spectest.Unhex(t, refused.Bytes), next...)
			f, err := newFrameReader(bytes.NewReader(stream)).next()
			if err != nil || !bytes.Equal(f, next) {
				t.Errorf("got %x, %v", []byte(f), err)
			}
		})
	}
}

func TestFramesThatNoHostSendsAreRefused(t *testing.T) {
	nonce := make([]byte, NonceSize)
	for name, bad := range map[string][]byte{
		"session zero":       hostFrame(0, 1, kindOpen, nil),
		"hello on a stream":  hostFrame(1, 1, kindHello, nonce),
		"hello without all":  hostFrame(1, 0, kindHello, nonce[1:]),
		"open on stream 0":   hostFrame(1, 0, kindOpen, nil),
		"open with payload":  hostFrame(1, 1, kindOpen, nonce),
		"data without any":   hostFrame(1, 1, kindData, nil),
		"window of 3 bytes":  hostFrame(1, 1, kindWindow, nonce[:3]),
		"kind zero":          hostFrame(1, 1, 0, nil),
		"kind after reset":   hostFrame(1, 1, kindReset+1, nil),
		"data over the size": hostFrame(1, 1, kindData, make([]byte, MaxPayload+1)),
	} {
		if f, err := newFrameReader(bytes.NewReader(bad)).next(); err == nil {
			t.Errorf("%s: got %x", name, []byte(f))
		}
	}
}

func TestZerosCompleteAnyCutFrame(t *testing.T) {
	whole := hostFrame(1, 1, kindData, bytes.Repeat([]byte{0xff}, MaxPayload))
	hello := hostFrame(2, 0, kindHello, make([]byte, NonceSize))
	for cut := range whole {
		if cut > 64 && cut < len(whole)-64 && cut%997 != 0 {
			continue
		}
		stream := bytes.NewReader(append(append(whole[:cut:cut], make([]byte, HeaderSize+MaxPayload)...), hello...))
		if f, err := newFrameReader(stream).next(); err != nil || !bytes.Equal(f, hello) {
			t.Fatalf("cut at %d: got %x, %v", cut, []byte(f), err)
		}
	}
}

func TestLimitsAreThoseOfTheSchema(t *testing.T) {
	var schema struct {
		Limits   map[string]int  `json:"limits"`
		MuxKinds map[string]kind `json:"mux_kinds"`
	}
	spectest.Read(t, "schema.json", &schema)
	for name, value := range map[string]int{
		"mux_payload_bytes": MaxPayload, "mux_header_bytes": HeaderSize, "stream_credit_bytes": Credit,
		"streams_open": MaxStreams,
	} {
		if schema.Limits[name] != value {
			t.Errorf("%s is %d, the schema says %d", name, value, schema.Limits[name])
		}
	}
	for name, value := range map[string]kind{
		"HELLO": kindHello, "WELCOME": kindWelcome, "OPEN": kindOpen, "DATA": kindData,
		"WINDOW": kindWindow, "FIN": kindFin, "RESET": kindReset,
	} {
		if schema.MuxKinds[name] != value {
			t.Errorf("%s is %d, the schema says %d", name, value, schema.MuxKinds[name])
		}
	}
}

// FuzzFrameReader feeds bytes of a hostile host. Whatever comes out must be a frame that reads the same when written
// again, and a HELLO after the zeros must come out too.
func FuzzFrameReader(f *testing.F) {
	var file golden
	spectest.Read(f, "golden.json", &file)
	for _, frame := range file.Mux {
		f.Add(spectest.Unhex(f, frame.Bytes))
	}
	for _, frame := range file.Refused {
		f.Add(spectest.Unhex(f, frame.Bytes))
	}
	f.Add([]byte(magic + magic))
	hello := hostFrame(7, 0, kindHello, make([]byte, NonceSize))
	f.Fuzz(func(t *testing.T, garbage []byte) {
		stream := append(append(garbage[:len(garbage):len(garbage)], make([]byte, HeaderSize+MaxPayload)...), hello...)
		reader := newFrameReader(bytes.NewReader(stream))
		for {
			got, err := reader.next()
			if err != nil {
				t.Fatal("the HELLO was lost")
			}
			again := hostFrame(got.session(), got.stream(), got.kind(), got.payload())
			if !bytes.Equal(again, got) {
				t.Fatalf("%x reads as %x", []byte(got), again)
			}
			if bytes.Equal(got, hello) {
				return
			}
		}
	})
}
