package server_test

import (
	"bufio"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"pyro.local/guest/internal/mux/muxtest"
	"pyro.local/guest/internal/wire"
)

const lastChunk = "0\r\n\r\n" // ends a chunked body

func start(argv ...string) wire.Start { return wire.Start{Argv: argv, Cwd: "/"} }

// execution is one request in frames, seen from the host.
type execution struct {
	*guest
	stream *muxtest.Stream
	frames *wire.FrameReader
}

// exec sends START. The body stays open.
func (g *guest) exec(s wire.Start) *execution { return g.begin("/v1/exec", string(wire.Encode(s))) }

// begin sends START to a path. The body stays open.
func (g *guest) begin(path, start string) *execution {
	e := &execution{guest: g, stream: g.host.Open()}
	fmt.Fprintf(e.stream, "POST %s HTTP/1.1\r\nHost: guest\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n", path)
	e.send(wire.KindStart, []byte(start))
	return e
}

func (e *execution) send(kind wire.Kind, payload []byte) {
	frame := wire.AppendFrame(nil, kind, payload)
	fmt.Fprintf(e.stream, "%x\r\n%s\r\n", len(frame), frame)
}

// complete ends the request as HTTP has it, and the host's side of the stream.
func (e *execution) complete() *execution {
	fmt.Fprint(e.stream, lastChunk)
	e.stream.CloseWrite()
	return e
}

func (e *execution) next() (wire.Kind, []byte, error) {
	if e.frames == nil {
		response, err := http.ReadResponse(bufio.NewReader(e.stream), nil)
		if err != nil {
			return 0, nil, err
		}
		if response.StatusCode != http.StatusOK {
			return 0, nil, errors.New(response.Status)
		}
		e.frames = wire.NewFrameReader(response.Body)
	}
	return e.frames.Next()
}

// started reads STARTED and returns the pid.
func (e *execution) started() int {
	e.t.Helper()
	kind, payload, err := e.next()
	var message wire.Started
	if err != nil || kind != wire.KindStarted || json.Unmarshal(payload, &message) != nil {
		e.t.Fatal(kind, string(payload), err)
	}
	return message.PID
}

// outcome reads the rest.
func (e *execution) outcome() (output map[wire.Kind]string, exit wire.Exit) {
	e.t.Helper()
	output = map[wire.Kind]string{}
	for {
		kind, payload, err := e.next()
		if err != nil {
			e.t.Fatal(err)
		}
		if kind == wire.KindExit {
			var members map[string]any
			if err := errors.Join(json.Unmarshal(payload, &exit), json.Unmarshal(payload, &members)); err != nil {
				e.t.Fatal(err)
			}
			schema(e.t).Requests["POST /v1/exec"].Frames["EXIT"].check(e.t, members)
			if _, _, err := e.next(); err != io.EOF {
				e.t.Error("EXIT is not the last:", err)
			}
			return output, exit
		}
		output[kind] += string(payload)
	}
}

func (g *guest) refusedExec(s wire.Start) (int, map[string]any) {
	return g.answer(g.exec(s).complete().stream, "")
}

// awaitDeath returns when the process is gone; a test that waits in vain is ended by its timeout.
func awaitDeath(t *testing.T, pid int) {
	t.Helper()
	const sysPidfdOpen = 434
	fd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(pid), 0, 0)
	if errno == syscall.ESRCH {
		return
	}
	if errno != 0 {
		t.Fatal(errno)
	}
	defer syscall.Close(int(fd))
	poll := struct {
		fd              int32
		events, revents int16
	}{int32(fd), 1, 0}
	errno = syscall.EINTR // the signal may be the very one that tells of this end
	for errno == syscall.EINTR {
		_, _, errno = syscall.Syscall(syscall.SYS_POLL, uintptr(unsafe.Pointer(&poll)), 1, ^uintptr(0))
	}
	if errno != 0 {
		t.Fatal(errno)
	}
}

func TestExecBeforeMountIsRefused(t *testing.T) {
	if status, answer := newGuest(t).refusedExec(start("true")); status != http.StatusConflict || answer["code"] != "not-mounted" {
		t.Error(status, answer)
	}
}

func TestExecTellsPidOutputAndExit(t *testing.T) {
	e := newReadyGuest(t).exec(start("/bin/sh", "-c", `echo "$MACHINE"; echo err >&2; exit 7`)).complete()
	if pid := e.started(); pid <= 0 {
		t.Error(pid)
	}
	output, exit := e.outcome()
	if output[wire.KindStdout] != "yes\n" || output[wire.KindStderr] != "err\n" || exit.ExitCode != 7 || exit.Error != "" {
		t.Error(output, exit)
	}
}

func TestWhatCannotRunSaysSoOnStderrAndInExit(t *testing.T) {
	output, exit := newReadyGuest(t).exec(start("no-such-program")).complete().outcome()
	if output[wire.KindStderr] != "pyro: no-such-program: not found\n" || exit.ExitCode != 127 ||
		exit.Error != "no-such-program: not found" {
		t.Error(output, exit)
	}
	if _, ok := output[wire.KindStarted]; ok {
		t.Error("it has a pid")
	}
}

func TestATimeoutIsReported(t *testing.T) {
	s := start("/bin/sh", "-c", "echo before; sleep 1000")
	s.TimeoutMS = 200
	output, exit := newReadyGuest(t).exec(s).complete().outcome()
	if !exit.TimedOut || exit.ExitCode != 124 || exit.Signal != 0 || output[wire.KindStdout] != "before\n" {
		t.Error(output, exit)
	}
}

func TestStdinIsAConversation(t *testing.T) {
	s := start("cat")
	s.Stdin = true
	e := newReadyGuest(t).exec(s)
	e.started()
	for _, word := range []string{"ping", "\x00\xff"} {
		e.send(wire.KindStdin, []byte(word))
		if kind, payload, err := e.next(); kind != wire.KindStdout || string(payload) != word {
			t.Fatal(kind, string(payload), err)
		}
	}
	e.send(wire.KindStdinEOF, nil)
	if _, exit := e.outcome(); exit.ExitCode != 0 { // though the request is not complete
		t.Error(exit)
	}
}

func TestACommandThatWantsNoInputIsNotDisturbedByIt(t *testing.T) {
	s := start("/bin/sh", "-c", "exec <&-; echo done")
	s.Stdin = true
	e := newReadyGuest(t).exec(s)
	e.started()
	e.send(wire.KindStdin, make([]byte, 200_000))
	if output, exit := e.outcome(); output[wire.KindStdout] != "done\n" || exit.ExitCode != 0 {
		t.Error(output, exit)
	}
}

// TestAStreamThatEndsEarlyKillsTheCommand tries the three ways, two of them after a request that the guest has read whole.
func TestAStreamThatEndsEarlyKillsTheCommand(t *testing.T) {
	for name, c := range map[string]struct {
		tail string
		end  func(*execution)
	}{
		"RESET":                        {lastChunk, func(e *execution) { e.stream.Reset() }},
		"a new session":                {lastChunk, func(e *execution) { e.port.Connect() }},
		"FIN of an unfinished request": {"", func(e *execution) { e.stream.CloseWrite() }},
	} {
		t.Run(name, func(t *testing.T) {
			s := start("/bin/sh", "-c", "cat; echo read; exec sleep 1000")
			s.Stdin = true
			e := newReadyGuest(t).exec(s)
			pid := e.started()
			eof := wire.AppendFrame(nil, wire.KindStdinEOF, nil)
			fmt.Fprintf(e.stream, "%x\r\n%s\r\n%s", len(eof), eof, c.tail)
			if _, payload, err := e.next(); string(payload) != "read\n" {
				t.Fatal(string(payload), err)
			}
			c.end(e)
			awaitDeath(t, pid)
		})
	}
}

func TestACompleteRequestIsNoReasonToStop(t *testing.T) {
	g := newReadyGuest(t)
	e := g.exec(start("/bin/sh", "-c", "read line < /proc/self/fd/0; exec cat /proc/$$/comm")).complete()
	e.started()
	if output, exit := e.outcome(); output[wire.KindStdout] != "cat\n" || exit.ExitCode != 0 {
		t.Error(output, exit)
	}
}

func TestMalformedExecRequestsAreRefused(t *testing.T) {
	g := newReadyGuest(t)
	relative := start("true")
	relative.Cwd = "here"
	negative := start("true")
	negative.TimeoutMS = -1
	for _, s := range []wire.Start{{Cwd: "/"}, relative, negative} {
		if status, answer := g.refusedExec(s); status != http.StatusBadRequest || answer["code"] != "bad-request" {
			t.Error(s, status, answer)
		}
	}
	for _, body := range []string{"", "short", "\x02\x00\x00\x00\x00", "\x01\x00\x00\x00\x02{}"} {
		if status, answer := g.ask("POST", "/v1/exec", body); status != http.StatusBadRequest {
			t.Errorf("%q: %v %v", body, status, answer)
		}
	}
}

// TestARefusalDoesNotWaitForTheRestOfTheRequest keeps the request open, as a host does that wants to send stdin.
func TestARefusalDoesNotWaitForTheRestOfTheRequest(t *testing.T) {
	e := newGuest(t).exec(start("true"))
	if status, answer := e.answer(e.stream, ""); status != http.StatusConflict {
		t.Error(status, answer)
	}
	e = newReadyGuest(t).exec(start("no-such-program"))
	if _, exit := e.outcome(); exit.ExitCode != 127 {
		t.Error(exit)
	}
}

func TestManyCommandsShareASession(t *testing.T) {
	g := newReadyGuest(t)
	var all []*execution
	for i := range 50 {
		all = append(all, g.exec(start("/bin/sh", "-c", "echo "+strings.Repeat("x", i)+"; exit "+strconv.Itoa(i))).complete())
	}
	for i, e := range all {
		e.started()
		if output, exit := e.outcome(); exit.ExitCode != i || len(output[wire.KindStdout]) != i+1 {
			t.Error(i, output, exit)
		}
	}
}
