package server_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json/v2"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pyro.local/guest/internal/server"
	"pyro.local/guest/internal/wire"
)

// stillness notes what is done to a disk.
type stillness struct{ holds []time.Duration }

func (s *stillness) Freeze(hold time.Duration) error {
	s.holds = append(s.holds, hold)
	return nil
}

func (s *stillness) Thaw() (bool, error) {
	held := len(s.holds) > 0
	s.holds = nil
	return held, nil
}

// newWorkspace is a guest with a workspace of plain directories: nothing has been changed in it yet.
func newWorkspace(t *testing.T) (g *guest, top string, still *stillness) {
	g, still = newReadyGuest(t), &stillness{}
	lower, upper := t.TempDir(), t.TempDir()
	top = t.TempDir()
	g.machine.workspace = &server.Workspace{Lower: lower, Upper: upper, Merged: top, Freezer: still}
	status, answer := g.ask("POST", "/v1/workspace", `{"baseline": "/dev/vdc", "disk": "/dev/vdd"}`)
	if status != http.StatusOK || answer["state"] != "ready" {
		t.Fatal(status, answer)
	}
	return g, top, still
}

// askRaw does one request and returns the body of the answer as it is.
func (g *guest) askRaw(method, path string, body []byte) (int, []byte) {
	g.t.Helper()
	s := g.host.Open()
	fmt.Fprintf(s, "%s %s HTTP/1.1\r\nHost: guest\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", method, path, len(body))
	if _, err := s.Write(body); err != nil {
		g.t.Fatal(err)
	}
	s.CloseWrite()
	response, err := http.ReadResponse(bufio.NewReader(s), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	data, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return response.StatusCode, data
}

// work asks for a piece of work in the workspace.
func (g *guest) work(name, parameters string, sent ...string) (said string, kind wire.Kind, last map[string]any) {
	g.t.Helper()
	return g.framed("/v1/workspace/"+name, parameters, sent...)
}

// framed asks for what is framed and returns the bytes of the answer and the payload of its last frame.
func (g *guest) framed(path, parameters string, sent ...string) (said string, kind wire.Kind, last map[string]any) {
	g.t.Helper()
	body := wire.AppendFrame(nil, wire.KindStart, []byte(parameters))
	for _, piece := range sent {
		body = wire.AppendFrame(body, wire.KindStdin, []byte(piece))
	}
	if len(sent) > 0 {
		body = wire.AppendFrame(body, wire.KindStdinEOF, nil)
	}
	status, data := g.askRaw("POST", path, body)
	if status != http.StatusOK {
		g.t.Fatalf("%d %s", status, data)
	}
	frames := wire.NewFrameReader(bytes.NewReader(data))
	for {
		kind, payload, err := frames.Next()
		if err != nil {
			g.t.Fatalf("%v in %x", err, data)
		}
		if kind != wire.KindStdout {
			if err := json.Unmarshal(payload, &last); err != nil {
				g.t.Fatal(err)
			}
			return said, kind, last
		}
		said += string(payload)
	}
}

func TestAWorkspaceIsMountedOnceAndOnlyIntoARoot(t *testing.T) {
	g := newGuest(t)
	body := `{"baseline": "/dev/vdc", "disk": "/dev/vdd"}`
	if status, answer := g.ask("POST", "/v1/workspace", body); status != 409 || answer["code"] != "not-mounted" {
		t.Error(status, answer)
	}
	g = newReadyGuest(t)
	if status, answer := g.ask("POST", "/v1/workspace", body); status != 500 || answer["code"] != "mount-failed" {
		t.Error(status, answer)
	}
	if status, answer := g.ask("POST", "/v1/freeze", `{"hold_ms": 5}`); status != 409 || answer["code"] != "no-workspace" {
		t.Error(status, answer)
	}
	g, _, _ = newWorkspace(t)
	if status, answer := g.ask("POST", "/v1/workspace", body); status != 409 || answer["code"] != "already-mounted" {
		t.Error(status, answer)
	}
}

func TestAFreezeIsHeldForAsLongAsItIsAskedFor(t *testing.T) {
	g, _, still := newWorkspace(t)
	if status, answer := g.ask("POST", "/v1/thaw", ""); status != 409 || answer["code"] != "not-frozen" {
		t.Error(status, answer)
	}
	for _, hold := range []string{"0", "-1", "60001", "null"} {
		if status, answer := g.ask("POST", "/v1/freeze", `{"hold_ms": `+hold+`}`); status != 400 {
			t.Error(hold, status, answer)
		}
	}
	if status, answer := g.ask("POST", "/v1/freeze", `{"hold_ms": 5000}`); status != 200 || answer["state"] != "frozen" {
		t.Error(status, answer)
	}
	if len(still.holds) != 1 || still.holds[0] != 5*time.Second {
		t.Error(still.holds)
	}
	if status, answer := g.ask("POST", "/v1/thaw", ""); status != 200 || answer["state"] != "thawed" {
		t.Error(status, answer)
	}
}

func TestFilesAreWrittenReadAndListed(t *testing.T) {
	g, top, _ := newWorkspace(t)
	if _, kind, last := g.work("write", `{"path": "a/b"}`, "one", "two"); kind != wire.KindResult || last["created"] != true {
		t.Error(kind, last)
	}
	if said, kind, last := g.work("read", `{"path": "a/b", "max_bytes": 4}`); said != "onet" || kind != wire.KindResult || last["size"] != 6.0 {
		t.Error(said, kind, last)
	}
	raw := filepath.Join(top, "raw-\xff")
	if err := os.Symlink("to-\xfe", raw); err != nil {
		t.Fatal(err)
	}
	said, _, _ := g.work("list", `{"path": ".", "recursive": true}`)
	lines := strings.Split(strings.TrimSuffix(said, "\n"), "\n")
	want := []string{
		`{"path":"a","type":"directory","size":0,"target":null}`,
		`{"path":"a/b","type":"file","size":6,"target":null}`,
		`{"path":null,"raw_path":"cmF3Lf8=","type":"symlink","size":0,"target":null,"raw_target":"dG8t/g=="}`,
	}
	if fmt.Sprint(lines) != fmt.Sprint(want) {
		t.Errorf("%s", said)
	}
}

func TestWorkThatCannotBeDoneSaysSo(t *testing.T) {
	g, top, _ := newWorkspace(t)
	if err := os.Symlink("/etc", filepath.Join(top, "out")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, parameters, sent, code string }{
		{"read", `{"path": "none", "max_bytes": 1}`, "", "path-not-found"},
		{"read", `{"path": "out/passwd", "max_bytes": 1}`, "", "path-outside-workspace"},
		{"read", `{"path": "../x", "max_bytes": 1}`, "", "path-outside-workspace"},
		{"write", `{"path": "out/x"}`, "x", "path-outside-workspace"},
		{"write", `{"path": "x"}`, strings.Repeat("x", 1<<20) + "y", "file-too-large"},
		{"export", `{"path": "none"}`, "", "path-not-found"},
		{"push", `{"path": "."}`, "no archive", "bad-archive"},
		{"patch", `{}`, "no patch", "bad-patch"},
		{"patch", `{}`, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "patch-failed"},
	} {
		sent := []string{}
		for rest := c.sent; rest != ""; {
			n := min(len(rest), 1<<19)
			sent, rest = append(sent, rest[:n]), rest[n:]
		}
		if said, kind, last := g.work(c.name, c.parameters, sent...); said != "" || kind != wire.KindFailed || last["code"] != c.code {
			t.Error(c.name, c.parameters, said, kind, last)
		}
	}
	if entries, _ := os.ReadDir(top); len(entries) != 1 {
		t.Error(entries)
	}
}

func TestBytesThatEndEarlyChangeNothing(t *testing.T) {
	g, top, _ := newWorkspace(t)
	body := wire.AppendFrame(nil, wire.KindStart, []byte(`{"path": "x"}`))
	body = wire.AppendFrame(body, wire.KindStdin, []byte("half"))
	_, data := g.askRaw("POST", "/v1/workspace/write", body)
	if !strings.Contains(string(data), "io-error") {
		t.Errorf("%s", hex.Dump(data))
	}
	if entries, _ := os.ReadDir(top); len(entries) != 0 {
		t.Error(entries)
	}
}
