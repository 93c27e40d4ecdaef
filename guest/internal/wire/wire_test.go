package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	"pyro.local/guest/internal/spectest"
	"pyro.local/guest/internal/wire"
)

type golden struct {
	Body []struct {
		Name    string
		Kind    wire.Kind
		Payload string
		Bytes   string
	} `json:"body"`
	Refused []struct{ Name, Bytes string } `json:"body_refused"`
}

func TestGoldenFramesAreWrittenAndRead(t *testing.T) {
	var file golden
	spectest.Read(t, "golden.json", &file)
	for _, want := range file.Body {
		t.Run(want.Name, func(t *testing.T) {
			if got := hex.EncodeToString(wire.AppendFrame(nil, want.Kind, spectest.Unhex(t, want.Payload))); got != want.Bytes {
				t.Errorf("written %s", got)
			}
			reader := wire.NewFrameReader(bytes.NewReader(spectest.Unhex(t, want.Bytes)))
			kind, payload, err := reader.Next()
			if err != nil || kind != want.Kind || hex.EncodeToString(payload) != want.Payload {
				t.Errorf("read %d %x, %v", kind, payload, err)
			}
			if _, _, err := reader.Next(); err != io.EOF {
				t.Errorf("after the last frame: %v", err)
			}
		})
	}
}

func TestGoldenMessagesAreWrittenAndRead(t *testing.T) {
	var file golden
	spectest.Read(t, "golden.json", &file)
	start := wire.Start{
		Argv: []string{"git", "--version"}, Env: map[string]string{"A": "b"}, Cwd: "/workspace", TimeoutMS: 30000,
	}
	messages := map[string]any{"start": start, "started": wire.Started{PID: 42}, "exit": wire.Exit{DurationMS: 7}}
	for _, want := range file.Body {
		message, ok := messages[want.Name]
		if !ok {
			continue
		}
		delete(messages, want.Name)
		if got := wire.Encode(message); hex.EncodeToString(got) != want.Payload {
			t.Errorf("%s is written %s", want.Name, got)
		}
	}
	if len(messages) > 0 {
		t.Errorf("the file has no sample of %v", messages)
	}
}

func TestRefusedFrames(t *testing.T) {
	var file golden
	spectest.Read(t, "golden.json", &file)
	for _, refused := range file.Refused {
		_, _, err := wire.NewFrameReader(bytes.NewReader(spectest.Unhex(t, refused.Bytes))).Next()
		if !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%s: %v", refused.Name, err)
		}
	}
}

func TestACutFrameIsNotTheEndOfTheBody(t *testing.T) {
	whole := wire.AppendFrame(nil, wire.KindStdin, []byte("abc"))
	for cut := 1; cut < len(whole); cut++ {
		_, _, err := wire.NewFrameReader(bytes.NewReader(whole[:cut])).Next()
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestLimitsAndKindsAreThoseOfTheSchema(t *testing.T) {
	var schema struct {
		Generation int                  `json:"generation"`
		Limits     map[string]int       `json:"limits"`
		Kinds      map[string]wire.Kind `json:"body_kinds"`
	}
	spectest.Read(t, "schema.json", &schema)
	if schema.Generation != wire.Generation || schema.Limits["json_body_bytes"] != wire.MaxJSON ||
		schema.Limits["body_frame_bytes"] != wire.MaxBodyFrame {
		t.Errorf("the schema says %+v", schema)
	}
	for name, kind := range map[string]wire.Kind{
		"START": wire.KindStart, "STDIN": wire.KindStdin, "STDIN_EOF": wire.KindStdinEOF, "STARTED": wire.KindStarted,
		"STDOUT": wire.KindStdout, "STDERR": wire.KindStderr, "EXIT": wire.KindExit,
		"RESULT": wire.KindResult, "FAILED": wire.KindFailed,
	} {
		if schema.Kinds[name] != kind {
			t.Errorf("%s is %d, the schema says %d", name, kind, schema.Kinds[name])
		}
	}
}

func TestDecodeIgnoresUnknownMembersAndInsistsOnTheRequired(t *testing.T) {
	var mount wire.Mount
	good := `{"base": "/dev/vda", "scratch": "/dev/vdb", "environment": {}, "colour": 7}`
	if err := wire.Decode([]byte(good), &mount, "base", "scratch", "environment"); err != nil || mount.Base != "/dev/vda" {
		t.Error(mount, err)
	}
	for _, bad := range []string{
		``, `null`, `[]`, `{`, `{} {}`, `{"base": "/dev/vda"}`,
		`{"base": null, "scratch": "b", "environment": {}}`,
		`{"base": 7, "scratch": "b", "environment": {}}`,
		`{"base": "a", "base": "b", "scratch": "b", "environment": {}}`,
		"{\"base\": \"\xff\", \"scratch\": \"b\", \"environment\": {}}",
		`{"base": "\ud800", "scratch": "b", "environment": {}}`,
	} {
		if wire.Decode([]byte(bad), &wire.Mount{}, "base", "scratch", "environment") == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestWhatIsNotTextIsReplacedInAMessage(t *testing.T) {
	failed := wire.Failed{Code: "io-error", Error: "\xff\x00<", Details: map[string]any{"reason": "a\xc3", "file": "\xed\xa0\x80"}}
	var read wire.Failed
	if err := wire.Decode(wire.Encode(failed), &read, "code", "error", "details"); err != nil {
		t.Fatal(err)
	}
	if read.Error != "\ufffd\x00<" || read.Details["reason"] != "a\ufffd" || read.Details["file"] != "\ufffd\ufffd\ufffd" {
		t.Errorf("%+q", read)
	}
}

// FuzzFrameReader checks that what is read is what would be written, and that no length is believed unchecked.
func FuzzFrameReader(f *testing.F) {
	var file golden
	spectest.Read(f, "golden.json", &file)
	for _, frame := range file.Body {
		f.Add(spectest.Unhex(f, frame.Bytes))
	}
	for _, frame := range file.Refused {
		f.Add(spectest.Unhex(f, frame.Bytes))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		reader, written := wire.NewFrameReader(bytes.NewReader(body)), []byte(nil)
		for {
			kind, payload, err := reader.Next()
			if err != nil {
				break
			}
			written = wire.AppendFrame(written, kind, payload)
		}
		if !bytes.HasPrefix(body, written) {
			t.Errorf("%x was read as %x", body, written)
		}
	})
}
