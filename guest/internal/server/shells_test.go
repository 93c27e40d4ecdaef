package server_test

import (
	"encoding/json/v2"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pyro.local/guest/internal/wire"
)

// openShell opens a shell that runs a line, and is closed with the test.
func (g *guest) openShell(name, line string) {
	g.t.Helper()
	argv, _ := json.Marshal([]string{"/bin/sh", "-c", line})
	start := fmt.Sprintf(`{"shell": %q, "argv": %s, "env": {"A": "b"}, "cwd": "/", "cols": 80, "rows": 24}`, name, argv)
	if said, kind, last := g.framed("/v1/shell/open", start); said != "" || kind != wire.KindResult || last["pid"].(float64) <= 0 {
		g.t.Fatal(said, kind, last)
	}
	g.t.Cleanup(func() { g.askRaw("POST", "/v1/shell/close", startFrame(fmt.Sprintf(`{"shell": %q}`, name))) })
}

func startFrame(parameters string) []byte {
	return wire.AppendFrame(nil, wire.KindStart, []byte(parameters))
}

// shell asks for something that succeeds.
func (g *guest) shell(name, parameters string, sent ...string) (said string, result map[string]any) {
	g.t.Helper()
	said, kind, result := g.framed("/v1/shell/"+name, parameters, sent...)
	if kind != wire.KindResult {
		g.t.Fatal(name, parameters, said, result)
	}
	return said, result
}

// awaited reads all that a shell says until that ends with a word.
func (g *guest) awaited(shell, word string) string {
	g.t.Helper()
	e := g.begin("/v1/shell/attach", fmt.Sprintf(`{"shell": %q, "cursor": 0}`, shell))
	defer e.stream.Reset()
	return e.heard(word)
}

// heard reads the answer until it ends with a word.
func (e *execution) heard(word string) (said string) {
	e.t.Helper()
	for !strings.HasSuffix(said, word) {
		kind, payload, err := e.next()
		if err != nil || kind != wire.KindStdout {
			e.t.Fatal(kind, string(payload), err, "after", said)
		}
		said += string(payload)
	}
	return said
}

// result reads the frame that ends the answer.
func (e *execution) result() (state wire.ShellState) {
	e.t.Helper()
	kind, payload, err := e.next()
	if err != nil || kind != wire.KindResult || json.Unmarshal(payload, &state) != nil {
		e.t.Fatal(kind, string(payload), err)
	}
	return state
}

func TestAShellLivesFromRequestToRequest(t *testing.T) {
	g := newReadyGuest(t)
	g.openShell("sh.1_a-B", `echo "$A $MACHINE $TERM"; read line; stty size; exit 9`)
	g.awaited("sh.1_a-B", "xterm-256color\r\n")
	said, state := g.shell("read", `{"shell": "sh.1_a-B", "cursor": 2, "max_bytes": 5, "idle_ms": 0, "wait_ms": 0}`)
	if said != "yes x" || state["start"] != 2.0 || state["next"] != 7.0 || state["end"] != 22.0 || state["state"] != "running" ||
		state["exit_code"] != 0.0 || state["signal"] != 0.0 || state["cols"] != 80.0 || state["rows"] != 24.0 || state["cwd"] != "/" {
		t.Error(said, state)
	}
	if _, result := g.shell("resize", `{"shell": "sh.1_a-B", "cols": 33, "rows": 44}`); len(result) != 0 {
		t.Error(result)
	}
	if _, result := g.shell("write", `{"shell": "sh.1_a-B"}`, "a", "b\n"); result["written"] != 3.0 {
		t.Error(result)
	}
	// Waits for its end, as it never is silent for so long nor says so much.
	said, state = g.shell("read", `{"shell": "sh.1_a-B", "cursor": 22, "max_bytes": 500, "idle_ms": 3600000, "wait_ms": 3600000}`)
	if said != "ab\r\n44 33\r\n" || state["state"] != "exited" || state["exit_code"] != 9.0 || state["quiet_ms"] == nil {
		t.Errorf("%q %v", said, state)
	}
	if _, state := g.shell("close", `{"shell": "sh.1_a-B"}`); state["state"] != "exited" || state["exit_code"] != 9.0 || state["shell"] != "sh.1_a-B" {
		t.Error(state)
	}
}

func TestAShellIsSignalledAndClosed(t *testing.T) {
	g := newReadyGuest(t)
	g.openShell("a", "exec sleep 1000")
	if _, result := g.shell("signal", `{"shell": "a", "signal": 1}`); len(result) != 0 {
		t.Error(result)
	}
	if _, state := g.shell("attach", `{"shell": "a", "cursor": 0}`); state["signal"] != 1.0 || state["exit_code"] != 129.0 {
		t.Error(state)
	}
	g.openShell("b", `trap "" HUP TERM INT; while :; do sleep 1000; done`)
	_, state := g.shell("close", `{"shell": "b"}`)
	if state["state"] != "exited" || state["signal"] != 9.0 || state["exit_code"] != 137.0 {
		t.Error(state)
	}
	if err := syscall.Kill(int(state["pid"].(float64)), 0); err != syscall.ESRCH {
		t.Error(err)
	}
}

func TestAnAttachmentIsAConversation(t *testing.T) {
	g := newReadyGuest(t)
	g.openShell("a", "stty -echo; printf up; read a; printf \"<$a>\"; read b; printf \"<$b>\"; exit 5")
	g.awaited("a", "up")
	first := g.begin("/v1/shell/attach", `{"shell": "a", "cursor": 0}`)
	second := g.begin("/v1/shell/attach", `{"shell": "a", "cursor": 1}`)
	first.heard("up")
	second.heard("p")
	first.send(wire.KindStdin, []byte("one\n"))
	first.heard("<one>")
	second.heard("<one>")
	first.send(wire.KindStdinEOF, nil) // its input ends, not what it hears
	second.send(wire.KindStdin, []byte("two\n"))
	for i, e := range []*execution{first, second} {
		e.heard("<two>")
		if state := e.result(); state.State != "exited" || state.ExitCode != 5 || state.Start != int64(i) || state.Next != 12 || state.End != 12 {
			t.Errorf("%+v", state)
		}
	}
}

// TestAHostThatLeavesEndsOnlyItsAttachment tries the ways there are.
func TestAHostThatLeavesEndsOnlyItsAttachment(t *testing.T) {
	g := newReadyGuest(t)
	g.openShell("a", "stty -echo; printf up; read line; exit 3")
	g.awaited("a", "up")
	for _, leave := range []func(*execution){
		func(e *execution) { e.stream.Reset() },
		func(e *execution) { // FIN of an unfinished request
			e.stream.CloseWrite()
			if kind, payload, err := e.next(); kind != wire.KindFailed || err != nil {
				t.Error(kind, string(payload), err)
			}
		},
		func(e *execution) { g.host = e.port.Connect() },
	} {
		e := g.begin("/v1/shell/attach", `{"shell": "a", "cursor": 0}`)
		e.heard("up")
		leave(e)
		if _, state := g.shell("read", `{"shell": "a", "cursor": 0, "max_bytes": 0, "idle_ms": 0, "wait_ms": 0}`); state["state"] != "running" {
			t.Fatal(state)
		}
	}
	e := g.begin("/v1/shell/attach", `{"shell": "a", "cursor": 2}`).complete() // and a request that is complete is none
	g.shell("write", `{"shell": "a"}`, "\n")
	if state := e.result(); state.ExitCode != 3 {
		t.Error(state)
	}
}

// TestAnAttachmentThatFailsDoesNotWaitForItsInput has more to write than the terminal of a program takes that does not
// read.
func TestAnAttachmentThatFailsDoesNotWaitForItsInput(t *testing.T) {
	g := newReadyGuest(t)
	g.openShell("a", "stty raw -echo; printf up; exec sleep 1000")
	g.awaited("a", "up")
	for range 20 {
		e := g.begin("/v1/shell/attach", `{"shell": "a", "cursor": 3}`)
		e.send(wire.KindStdin, make([]byte, 50_000))
		if kind, payload, err := e.next(); kind != wire.KindFailed || err != nil {
			t.Fatal(kind, string(payload), err)
		}
	}
}

func TestWhatCannotBeDoneWithAShellIsSaid(t *testing.T) {
	g := newReadyGuest(t)
	g.openShell("a", "printf abc; exit 0")
	g.shell("attach", `{"shell": "a", "cursor": 0}`)
	const open = `{"shell": "b", "argv": [%q], "env": {}, "cwd": %q, "cols": 1, "rows": 1}`
	for _, c := range []struct{ name, parameters, code, detail, value string }{
		{"open", strings.Replace(fmt.Sprintf(open, "true", "/"), `"b"`, `"a"`, 1), "exists", "", ""},
		{"open", fmt.Sprintf(open, "no-such-program", "/"), "not-found", "exit_code", "127"},
		{"open", fmt.Sprintf(open, "no-such-program", "/"), "not-found", "reason", "no-such-program: not found"},
		{"open", fmt.Sprintf(open, "/dev/null", "/"), "not-executable", "exit_code", "126"},
		{"open", fmt.Sprintf(open, "true", "/no/such/directory"), "not-executable", "reason", "/no/such/directory: no such directory"},
		{"read", `{"shell": "a", "cursor": 4, "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}`, "cursor-ahead", "end", "3"},
		{"attach", `{"shell": "a", "cursor": 9223372036854775807}`, "cursor-ahead", "end", "3"},
		{"write", `{"shell": "a"}`, "not-reading", "written", "0"},
		{"read", `{"shell": "b", "cursor": 0, "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}`, "not-found", "", ""},
		{"write", `{"shell": "b"}`, "not-found", "", ""},
		{"resize", `{"shell": "b", "cols": 1, "rows": 1}`, "not-found", "", ""},
		{"signal", `{"shell": "b", "signal": 2}`, "not-found", "", ""},
		{"close", `{"shell": "b"}`, "not-found", "", ""},
		{"attach", `{"shell": "b", "cursor": 0}`, "not-found", "", ""},
	} {
		said, kind, last := g.framed("/v1/shell/"+c.name, c.parameters, "x")
		details, _ := last["details"].(map[string]any)
		if said != "" || kind != wire.KindFailed || last["code"] != c.code || last["error"] == "" {
			t.Error(c, said, kind, last)
		}
		if c.detail != "" && fmt.Sprint(details[c.detail]) != c.value {
			t.Error(c, last)
		}
	}
}

func TestThereAreAtMost32Shells(t *testing.T) {
	g := newReadyGuest(t)
	for i := range 32 {
		g.openShell(strconv.Itoa(i), "exit 0")
	}
	_, kind, last := g.framed("/v1/shell/open", `{"shell": "more", "argv": ["true"], "env": {}, "cwd": "/", "cols": 1, "rows": 1}`)
	if kind != wire.KindFailed || last["code"] != "too-many" {
		t.Error(kind, last)
	}
}

func TestAWriteThatBreaksOffHasWritten(t *testing.T) {
	g := newReadyGuest(t)
	g.openShell("a", "stty -echo; printf up; read line; printf \"<$line>\"; read line")
	g.awaited("a", "up")
	body := wire.AppendFrame(startFrame(`{"shell": "a"}`), wire.KindStdin, []byte("half\n"))
	if _, data := g.askRaw("POST", "/v1/shell/write", body); !strings.Contains(string(data), "io-error") {
		t.Errorf("%q", data)
	}
	g.awaited("a", "<half>")
}

func TestMalformedShellRequestsAreRefused(t *testing.T) {
	g := newReadyGuest(t)
	g.openShell("a", "read line")
	for name, requests := range map[string][]string{
		"open": {
			``, `[]`, `{}`,
			`{"shell": "b", "argv": [], "env": {}, "cwd": "/", "cols": 1, "rows": 1}`,
			`{"shell": "b", "argv": ["true"], "env": {"A=B": ""}, "cwd": "/", "cols": 1, "rows": 1}`,
			`{"shell": "b", "argv": ["tr\u0000ue"], "env": {}, "cwd": "/", "cols": 1, "rows": 1}`,
			`{"shell": "b", "argv": ["true"], "env": {}, "cwd": "here", "cols": 1, "rows": 1}`,
			`{"shell": "b", "argv": ["true"], "env": {}, "cwd": "/", "cols": 0, "rows": 1}`,
			`{"shell": "b", "argv": ["true"], "env": {}, "cwd": "/", "cols": 1, "rows": 1001}`,
			`{"shell": "b", "argv": ["true"], "env": {}, "cwd": "/", "cols": 65537, "rows": 1}`,
			`{"shell": "b", "argv": ["true"], "env": {}, "cwd": "/", "cols": 1}`,
			`{"shell": "", "argv": ["true"], "env": {}, "cwd": "/", "cols": 1, "rows": 1}`,
			`{"shell": "-b", "argv": ["true"], "env": {}, "cwd": "/", "cols": 1, "rows": 1}`,
			`{"shell": "../b", "argv": ["true"], "env": {}, "cwd": "/", "cols": 1, "rows": 1}`,
			`{"shell": "b\n", "argv": ["true"], "env": {}, "cwd": "/", "cols": 1, "rows": 1}`,
			`{"shell": "` + strings.Repeat("b", 65) + `", "argv": ["true"], "env": {}, "cwd": "/", "cols": 1, "rows": 1}`,
		},
		"read": {
			`{"shell": "a", "cursor": -1, "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}`,
			`{"shell": "a", "cursor": 0, "max_bytes": -1, "idle_ms": 0, "wait_ms": 0}`,
			`{"shell": "a", "cursor": 0, "max_bytes": 1, "idle_ms": -1, "wait_ms": 0}`,
			`{"shell": "a", "cursor": 0, "max_bytes": 1, "idle_ms": 0, "wait_ms": 9223372036854775807}`,
			`{"shell": "a", "cursor": NaN, "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}`,
			`{"shell": "a", "cursor": Infinity, "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}`,
			`{"shell": "a", "cursor": 0.5, "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}`,
			`{"shell": "a", "cursor": 1e999, "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}`,
			`{"shell": "a", "cursor": 9223372036854775808, "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}`,
			`{"shell": "a", "cursor": "0", "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}`,
			`{"shell": "a", "cursor": null, "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}`,
			`{"shell": "a", "cursor": 0, "max_bytes": 1, "idle_ms": 0}`,
		},
		"write":  {`{}`, `{"shell": 7}`, `{"shell": "a b"}`},
		"resize": {`{"shell": "a", "cols": 1001, "rows": 1}`, `{"shell": "a", "cols": 1, "rows": 0}`, `{"shell": "a", "cols": 1}`},
		"signal": {`{"shell": "a", "signal": 0}`, `{"shell": "a", "signal": 19}`, `{"shell": "a", "signal": -9}`, `{"shell": "a"}`},
		"close":  {`{}`, `{"shell": "é"}`},
		"attach": {`{"shell": "a", "cursor": -1}`, `{"shell": "a"}`},
	} {
		for _, parameters := range requests {
			if status, data := g.askRaw("POST", "/v1/shell/"+name, startFrame(parameters)); status != http.StatusBadRequest {
				t.Errorf("%s %s: %d %s", name, parameters, status, data)
			}
		}
	}
	if status, data := g.askRaw("POST", "/v1/shell/list", startFrame(`{}`)); status != http.StatusNotFound {
		t.Error(status, string(data))
	}
}

func TestShellsNeedAMachineThatIsReady(t *testing.T) {
	g := newGuest(t)
	for name, parameters := range map[string]string{
		"open":   `{"shell": "a", "argv": ["true"], "env": {}, "cwd": "/", "cols": 1, "rows": 1}`,
		"read":   `{"shell": "a", "cursor": 0, "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}`,
		"write":  `{"shell": "a"}`,
		"close":  `{"shell": "a"}`,
		"attach": `{"shell": "a", "cursor": 0}`,
	} {
		status, data := g.askRaw("POST", "/v1/shell/"+name, startFrame(parameters))
		if status != http.StatusConflict || !strings.Contains(string(data), "not-mounted") {
			t.Error(name, status, string(data))
		}
	}
}

// TestAnAttachmentIsToldWhatIsMissing has a shell write a thousand bytes more than are kept.
func TestAnAttachmentIsToldWhatIsMissing(t *testing.T) {
	g := newReadyGuest(t)
	g.openShell("a", "stty -opost; head -c 1049576 /dev/zero")
	g.shell("attach", `{"shell": "a", "cursor": 0}`)
	for cursor, missing := range map[int]bool{999: true, 1000: false} {
		e := g.begin("/v1/shell/attach", fmt.Sprintf(`{"shell": "a", "cursor": %d}`, cursor)).complete()
		kind, payload, err := e.next()
		if kind != wire.KindStdout || (len(payload) == 0) != missing || err != nil {
			t.Error(cursor, kind, len(payload), err)
		}
		for kind == wire.KindStdout {
			if kind, payload, err = e.next(); len(payload) == 0 || err != nil {
				t.Error(cursor, kind, err)
			}
		}
	}
}

// TestShellsAreHungUpBeforeTheMachineEnds has one that does not end by the signal that other programs get then.
func TestShellsAreHungUpBeforeTheMachineEnds(t *testing.T) {
	g := newReadyGuest(t)
	_, opened := g.shell("open", `{"shell": "a", "argv": ["bash", "--norc", "--noediting", "-i"], "env": {}, "cwd": "/", "cols": 80, "rows": 24}`)
	attached := g.begin("/v1/shell/attach", `{"shell": "a", "cursor": 0}`)
	attached.send(wire.KindStdin, []byte("PS1=; echo u''p\n"))
	attached.heard("up\r\n")
	g.ask("POST", "/v1/poweroff", "")
	<-g.machine.off
	if pid := int(opened["pid"].(float64)); syscall.Kill(pid, syscall.SIGKILL) != syscall.ESRCH {
		t.Fatal("it was alive")
	}
	if state := attached.result(); state.State != "exited" || state.Signal != int(syscall.SIGHUP) {
		t.Errorf("%+v", state)
	}
}

func TestAShellStaysThoughItsOpenerLeaves(t *testing.T) {
	g := newReadyGuest(t)
	e := g.begin("/v1/shell/open", `{"shell": "a", "argv": ["sh", "-c", "printf up; read line"], "env": {}, "cwd": "/", "cols": 1, "rows": 1}`)
	g.t.Cleanup(func() { g.shell("close", `{"shell": "a"}`) })
	if kind, _, err := e.next(); kind != wire.KindResult { // though the request goes on
		t.Fatal(kind, err)
	}
	g.host = e.port.Connect()
	g.awaited("a", "up")
}
