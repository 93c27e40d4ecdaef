package server_test

import (
	"encoding/json/v2"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pyro.local/guest/internal/wire"
)

// serviceStart is the payload of a START for a shell line.
func serviceStart(name, line, readiness string) string {
	argv, _ := json.Marshal([]string{"/bin/sh", "-c", line})
	return fmt.Sprintf(`{"service": %q, "argv": %s, "env": {"A": "b"}, "cwd": "/", "readiness": %s,
		"ready_timeout_ms": 30000, "ready_interval_ms": 10}`, name, argv, readiness)
}

// service asks for something that succeeds.
func (g *guest) service(name, parameters string) map[string]any {
	g.t.Helper()
	_, kind, last := g.framed("/v1/service/"+name, parameters)
	if kind != wire.KindResult {
		g.t.Fatal(name, parameters, last)
	}
	return last
}

// refusedService asks for something that fails and returns the code.
func (g *guest) refusedService(name, parameters string) (code string, details map[string]any) {
	g.t.Helper()
	_, kind, last := g.framed("/v1/service/"+name, parameters)
	if kind != wire.KindFailed {
		g.t.Fatal(name, parameters, last)
	}
	details, _ = last["details"].(map[string]any)
	return last["code"].(string), details
}

// startService starts one that is ended with the test, and returns its pid and its state.
func (g *guest) startService(name, line, readiness string) (pid int, state map[string]any) {
	g.t.Helper()
	e := g.begin("/v1/service/start", serviceStart(name, line, readiness)).complete()
	pid = e.started()
	kind, payload, err := e.next()
	if err != nil || kind != wire.KindResult || json.Unmarshal(payload, &state) != nil {
		g.t.Fatal(kind, string(payload), err)
	}
	g.t.Cleanup(func() {
		g.askRaw("POST", "/v1/service/stop", startFrame(fmt.Sprintf(`{"service": %q, "grace_ms": 0}`, name)))
	})
	return pid, state
}

// logged collects the bytes of both outputs.
func (e *execution) logged() (output map[wire.Kind]string, result map[string]any) {
	e.t.Helper()
	output = map[wire.Kind]string{}
	for {
		kind, payload, err := e.next()
		switch {
		case err != nil || kind == wire.KindFailed:
			e.t.Fatal(kind, string(payload), err)
		case kind == wire.KindResult:
			if err := json.Unmarshal(payload, &result); err != nil {
				e.t.Fatal(err)
			}
			return output, result
		}
		output[kind] += string(payload)
	}
}

func TestAServiceLivesFromRequestToRequest(t *testing.T) {
	g := newReadyGuest(t)
	ready := filepath.Join(t.TempDir(), "ready")
	pid, state := g.startService("web.1_a-B", `echo "$A $MACHINE"; echo err >&2; cat; touch `+ready+`; exec sleep 1000`,
		fmt.Sprintf(`{"type": "file", "path": %q}`, ready))
	if state["service"] != "web.1_a-B" || state["pid"] != float64(pid) || state["state"] != "running" || state["exit_code"] != 0.0 ||
		state["signal"] != 0.0 || state["stopped"] != false || state["started_ns"].(float64) < 1e18 ||
		state["ready_ns"].(float64) < state["started_ns"].(float64) || state["ended_ns"] != 0.0 {
		t.Error(state)
	}
	if again := g.service("status", `{"service": "web.1_a-B"}`); fmt.Sprint(again) != fmt.Sprint(state) {
		t.Error(again)
	}
	logs := `{"service": "web.1_a-B", "tail_lines": 0, "max_bytes": 1000, "follow": %v}`
	output, result := g.begin("/v1/service/logs", fmt.Sprintf(logs, false)).complete().logged()
	if output[wire.KindStdout] != "b yes\n" || output[wire.KindStderr] != "err\n" || result["stdout_truncated"] != false ||
		result["stderr_truncated"] != false {
		t.Error(output, result)
	}
	waiting := g.begin("/v1/service/wait", `{"service": "web.1_a-B"}`).complete()
	following := g.begin("/v1/service/logs", fmt.Sprintf(logs, true)).complete()
	stopped := g.service("stop", `{"service": "web.1_a-B", "grace_ms": 30000}`)
	if stopped["state"] != "ended" || stopped["signal"] != 15.0 || stopped["exit_code"] != 143.0 || stopped["stopped"] != true ||
		stopped["ended_ns"].(float64) < state["ready_ns"].(float64) {
		t.Error(stopped)
	}
	var waited map[string]any
	if kind, payload, err := waiting.next(); kind != wire.KindResult || json.Unmarshal(payload, &waited) != nil || fmt.Sprint(waited) != fmt.Sprint(stopped) {
		t.Error(kind, string(payload), err)
	}
	if output, _ := following.logged(); output[wire.KindStdout] != "b yes\n" {
		t.Error(output)
	}
}

func TestTheCodesOfStart(t *testing.T) {
	g := newReadyGuest(t)
	g.startService("a", "exec sleep 1000", "null")
	if code, _ := g.refusedService("start", serviceStart("a", "true", "null")); code != "exists" {
		t.Error(code)
	}
	missing := strings.Replace(serviceStart("b", "", "null"), `"/bin/sh","-c"`, `"no-such-program"`, 1)
	if code, details := g.refusedService("start", missing); code != "not-found" || details["exit_code"] != 127.0 || details["reason"] == "" {
		t.Error(code, details)
	}
	closed := strings.Replace(serviceStart("b", "", "null"), `"/bin/sh","-c"`, `"/etc/passwd"`, 1)
	if code, details := g.refusedService("start", closed); code != "not-executable" || details["exit_code"] != 126.0 {
		t.Error(code, details)
	}
	for readiness, want := range map[string]string{
		`{"type": "file", "path": "/none"}`: "ended", `{"type": "command", "command": "false"}`: "ended",
	} {
		e := g.begin("/v1/service/start", serviceStart("c", "exit 6", readiness)).complete()
		e.started()
		kind, payload, err := e.next()
		if kind != wire.KindFailed || !strings.Contains(string(payload), want) || !strings.Contains(string(payload), `"exit_code":6`) {
			t.Error(kind, string(payload), err)
		}
	}
	late := strings.Replace(serviceStart("d", "exec sleep 1000", `{"type": "tcp", "address": "127.0.0.1:1"}`), "30000", "500", 1)
	e := g.begin("/v1/service/start", late).complete()
	pid := e.started()
	kind, payload, err := e.next()
	if kind != wire.KindFailed || !strings.Contains(string(payload), `"not-ready"`) || !strings.Contains(string(payload), `"reason":"127.0.0.1:1: `) {
		t.Error(kind, string(payload), err)
	}
	awaitDeath(t, pid)
	if state := g.service("status", `{"service": "d"}`); state["state"] != "ended" || state["stopped"] != true || state["ready_ns"] != 0.0 {
		t.Error(state)
	}
}

// TestAStartThatBreaksOffEndsTheService tries the three ways.
func TestAStartThatBreaksOffEndsTheService(t *testing.T) {
	for name, c := range map[string]struct {
		complete bool
		leave    func(*execution)
	}{
		"RESET":                        {true, func(e *execution) { e.stream.Reset() }},
		"a new session":                {true, func(e *execution) { e.guest.host = e.port.Connect() }},
		"FIN of an unfinished request": {false, func(e *execution) { e.stream.CloseWrite() }},
		"a frame out of place":         {false, func(e *execution) { e.send(wire.KindStdin, []byte("x")) }},
	} {
		t.Run(name, func(t *testing.T) {
			g := newReadyGuest(t)
			e := g.begin("/v1/service/start", serviceStart("a", "exec sleep 1000", `{"type": "file", "path": "/none"}`))
			if c.complete {
				e.complete()
			}
			pid := e.started()
			c.leave(e)
			awaitDeath(t, pid)
			if state := g.service("wait", `{"service": "a"}`); state["state"] != "ended" || state["ready_ns"] != 0.0 {
				t.Error(state)
			}
		})
	}
}

func TestLogsTellThatTheyAreNotTheBeginning(t *testing.T) {
	g := newReadyGuest(t)
	g.startService("a", "echo one; echo two; echo err >&2", "null")
	g.service("wait", `{"service": "a"}`)
	for lines, want := range map[int]string{1: "||two\n", 2: "|one\ntwo\n"} {
		e := g.begin("/v1/service/logs", fmt.Sprintf(`{"service": "a", "tail_lines": %d, "max_bytes": 100, "follow": false}`, lines)).complete()
		said := map[wire.Kind]string{}
		kind, payload, err := e.next()
		for ; kind == wire.KindStdout || kind == wire.KindStderr; kind, payload, err = e.next() {
			said[kind] += "|" + string(payload)
		}
		if said[wire.KindStdout] != want || said[wire.KindStderr] != "|err\n" || kind != wire.KindResult {
			t.Errorf("%d: %q %v %v", lines, said, kind, err)
		}
	}
}

// TestWhatHasEndedIsStoppedCalmly is for a host that does not know how far a start of its has come.
func TestWhatHasEndedIsStoppedCalmly(t *testing.T) {
	g := newReadyGuest(t)
	g.startService("a", "exit 3", "null")
	ended := g.service("wait", `{"service": "a"}`)
	for range 2 {
		if state := g.service("stop", `{"service": "a", "grace_ms": 0}`); fmt.Sprint(state) != fmt.Sprint(ended) || state["stopped"] != false {
			t.Error(state)
		}
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	g := newReadyGuest(t)
	for name, parameters := range map[string]string{
		"status": `{"service": "a"}`, "wait": `{"service": "a"}`, "stop": `{"service": "a", "grace_ms": 0}`,
		"logs": `{"service": "a", "tail_lines": 0, "max_bytes": 1, "follow": true}`,
	} {
		if code, _ := g.refusedService(name, parameters); code != "not-found" {
			t.Error(name, code)
		}
	}
}

func TestMalformedServiceRequestsAreRefused(t *testing.T) {
	g := newReadyGuest(t)
	good := serviceStart("a", "true", "null")
	replaced := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatal(old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, c := range [][2]string{
		{"start", replaced(`"a"`, `""`)}, {"start", replaced(`"a"`, `".a"`)}, {"start", replaced(`"a"`, `"../a"`)},
		{"start", replaced(`"a"`, `"a/b"`)}, {"start", replaced(`"a"`, `"`+strings.Repeat("a", 65)+`"`)}, {"start", replaced(`"a"`, `"ä"`)},
		{"start", replaced(`"a"`, `7`)}, {"start", replaced(`"a", `, `"a", "service": "b", `)}, {"start", replaced(`"a"`, "\"a\x00\"")},
		{"start", replaced(`["/bin/sh","-c","true"]`, `[]`)}, {"start", replaced(`["/bin/sh","-c","true"]`, `["a\u0000"]`)},
		{"start", replaced(`"cwd": "/"`, `"cwd": "here"`)}, {"start", replaced(`"A": "b"`, `"A=": "b"`)}, {"start", replaced(`"cwd": "/",`, ``)},
		{"start", replaced(`30000`, `0`)}, {"start", replaced(`30000`, `86400001`)}, {"start", replaced(`30000`, `-9223372036854775809`)},
		{"start", replaced(`30000`, `1.5`)}, {"start", replaced(`30000`, `"1"`)},
		{"start", replaced(`_interval_ms": 10`, `_interval_ms": 9`)}, {"start", replaced(`_interval_ms": 10`, `_interval_ms": 60001`)},
		{"start", replaced(`null`, `{}`)}, {"start", replaced(`null`, `[]`)}, {"start", replaced(`null`, `"file"`)},
		{"start", replaced(`null`, `{"type": "file"}`)}, {"start", replaced(`null`, `{"type": "file", "path": ""}`)},
		{"start", replaced(`null`, `{"type": "file", "path": "a", "command": "b"}`)}, {"start", replaced(`null`, `{"type": "http", "url": "https://127.0.0.1/"}`)},
		{"start", replaced(`null`, `{"type": "tcp", "address": "example.org:80"}`)}, {"start", replaced(`null`, `{"type": "magic", "path": "a"}`)},
		{"status", `{}`}, {"status", `{"service": null}`}, {"status", `{"service": "a b"}`}, {"wait", `{"service": ""}`}, {"wait", `nothing`},
		{"stop", `{"service": "a"}`}, {"stop", `{"service": "a", "grace_ms": -1}`}, {"stop", `{"service": "a", "grace_ms": 600001}`},
		{"logs", `{"service": "a", "tail_lines": -1, "max_bytes": 1, "follow": false}`},
		{"logs", `{"service": "a", "tail_lines": 1000001, "max_bytes": 1, "follow": false}`},
		{"logs", `{"service": "a", "tail_lines": 0, "max_bytes": 0, "follow": false}`},
		{"logs", `{"service": "a", "tail_lines": 0, "max_bytes": 8388609, "follow": false}`},
		{"logs", `{"service": "a", "tail_lines": 0, "max_bytes": 1}`},
	} {
		status, data := g.askRaw("POST", "/v1/service/"+c[0], startFrame(c[1]))
		if status != http.StatusBadRequest || !strings.Contains(string(data), `"bad-request"`) {
			t.Errorf("%s: %d %s", c, status, data)
		}
	}
	if left, _ := os.ReadDir(g.machine.services); len(left) != 0 {
		t.Error(left)
	}
}

func TestServicesNeedAMachineThatIsReady(t *testing.T) {
	g := newGuest(t)
	for name, parameters := range map[string]string{
		"service/start": serviceStart("a", "true", "null"), "service/status": `{"service": "a"}`, "service/wait": `{"service": "a"}`,
		"service/stop": `{"service": "a", "grace_ms": 0}`, "service/logs": `{"service": "a", "tail_lines": 0, "max_bytes": 1, "follow": true}`,
		"secret": `{"name": "A"}`, "forward": `{"port": 1}`,
	} {
		if status, data := g.askRaw("POST", "/v1/"+name, startFrame(parameters)); status != http.StatusConflict || !strings.Contains(string(data), `"not-mounted"`) {
			t.Error(name, status, string(data))
		}
	}
}

func TestServicesAreStoppedBeforeTheMachineIs(t *testing.T) {
	g := newReadyGuest(t)
	ready := filepath.Join(t.TempDir(), "ready")
	g.startService("a", `trap 'echo bye; kill $! 2> /dev/null; exit' TERM; echo up; touch `+ready+`; while :; do sleep 1000 & wait; done`,
		fmt.Sprintf(`{"type": "file", "path": %q}`, ready))
	following := g.begin("/v1/service/logs", `{"service": "a", "tail_lines": 0, "max_bytes": 100, "follow": true}`).complete()
	following.heard("up\n")
	g.ask("POST", "/v1/poweroff", "")
	<-g.machine.off
	if output, _ := following.logged(); output[wire.KindStdout] != "bye\n" {
		t.Error(output)
	}
}
