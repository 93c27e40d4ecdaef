package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"pyro.local/guest/internal/wire"
)

func TestAFramePutTogetherInPlaceIsTheSame(t *testing.T) {
	for _, payload := range []string{"", "a", strings.Repeat("x", 70_000)} {
		frame := append(make([]byte, wire.HeadSize), payload...)
		wire.PutHead(frame, wire.KindStdout)
		if want := wire.AppendFrame(nil, wire.KindStdout, []byte(payload)); !bytes.Equal(frame, want) {
			t.Errorf("%x instead of %x", frame[:wire.HeadSize], want[:wire.HeadSize])
		}
	}
}

// TestAPayloadCanBeTakenInParts mixes the two ways to read.
func TestAPayloadCanBeTakenInParts(t *testing.T) {
	body := wire.AppendFrame(nil, wire.KindStdin, []byte("first"))
	body = wire.AppendFrame(body, wire.KindStdin, []byte("second"))
	body = wire.AppendFrame(body, wire.KindStdinEOF, nil)
	reader := wire.NewFrameReader(bytes.NewReader(body))
	kind, length, err := reader.Head()
	if kind != wire.KindStdin || length != 5 || err != nil {
		t.Fatal(kind, length, err)
	}
	var said []byte
	for part := make([]byte, 2); len(said) < length; {
		n, err := reader.Part(part[:min(2, length-len(said))])
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, part[:n]...)
	}
	if _, payload, err := reader.Next(); string(said) != "first" || string(payload) != "second" || err != nil {
		t.Errorf("%q, %q, %v", said, payload, err)
	}
	if kind, length, err := reader.Head(); kind != wire.KindStdinEOF || length != 0 || err != nil {
		t.Error(kind, length, err)
	}
	if _, _, err := reader.Head(); err != io.EOF {
		t.Error(err)
	}
}

func TestAPayloadThatIsCutIsNotTheEndOfTheBody(t *testing.T) {
	whole := wire.AppendFrame(nil, wire.KindStdin, []byte("abc"))
	reader := wire.NewFrameReader(bytes.NewReader(whole[:wire.HeadSize+1]))
	if _, _, err := reader.Head(); err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 3)
	if n, err := reader.Part(part); n != 1 || err != nil {
		t.Error(n, err)
	}
	if _, err := reader.Part(part[1:]); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestNamesOfSecretsAndServices(t *testing.T) {
	long := strings.Repeat("a", 64)
	for name, good := range map[string][2]bool{ // as a secret's, as a service's
		"a": {true, true}, "_a": {true, false}, "A_9": {true, true}, "9a": {false, true}, "a-b": {false, true}, "a.b": {false, true},
		long: {true, true}, long + "a": {false, false}, "": {false, false}, "-a": {false, false}, "a b": {false, false},
		"a/b": {false, false}, ".": {false, false}, "..": {false, false}, "a\n": {false, false}, "é": {false, false},
	} {
		if err := (&wire.Secret{Name: name}).Check(); (err == nil) != good[0] {
			t.Errorf("secret %q: %v", name, err)
		}
		if err := (&wire.ServiceName{Service: name}).Check(); (err == nil) != good[1] {
			t.Errorf("service %q: %v", name, err)
		}
	}
}

func TestAReadinessHasTheMemberOfItsType(t *testing.T) {
	if kind, argument, err := (&wire.Readiness{Type: "tcp", Address: "127.0.0.1:1"}).Argument(); kind != "tcp" || argument != "127.0.0.1:1" || err != nil {
		t.Error(kind, argument, err)
	}
	for _, bad := range []wire.Readiness{{Type: "tcp", Address: "a", Path: "b"}, {Type: "none", URL: "a"}} {
		if _, _, err := bad.Argument(); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}
