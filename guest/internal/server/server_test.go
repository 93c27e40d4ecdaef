package server_test

import (
	"bufio"
	"bytes"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"pyro.local/guest/internal/identity"
	"pyro.local/guest/internal/mux"
	"pyro.local/guest/internal/mux/muxtest"
	"pyro.local/guest/internal/netconf"
	"pyro.local/guest/internal/process"
	_ "pyro.local/guest/internal/process/processtest" // commands begin with signals as they should be
	"pyro.local/guest/internal/server"
	"pyro.local/guest/internal/wire"
)

// reaper is the test program's one; see process.NewReaper.
var reaper = sync.OnceValue(process.NewReaper)

// machine notes what is done to it.
type machine struct {
	who     *identity.Identity
	disks   [2]string
	failure error
	// workspace is what it has to mount.
	workspace *server.Workspace
	image     string
	network   *netconf.Config
	secret    [2]string
	services  string
	off       chan struct{}
}

func (m *machine) Identify(who *identity.Identity) (time.Time, error) {
	m.who = who
	return who.Clock.Add(time.Millisecond), m.failure
}

func (m *machine) Mount(base, scratch string) error {
	m.disks = [2]string{base, scratch}
	return m.failure
}

func (m *machine) MountWorkspace(baseline, disk string) (*server.Workspace, error) {
	if m.workspace == nil {
		return nil, errors.New("there is no " + disk)
	}
	return m.workspace, m.failure
}

func (m *machine) MountImage(string) (string, func() error, error) {
	return m.image, func() error { return nil }, m.failure
}

func (m *machine) Network(config *netconf.Config) error {
	m.network = config
	return m.failure
}

func (m *machine) PutSecret(name string, value []byte) error {
	m.secret = [2]string{name, string(value)}
	return m.failure
}

func (m *machine) Services() (string, error) { return m.services, m.failure }

func (m *machine) PowerOff() { close(m.off) }

// guest is a server at work on a port, with a host on the other end.
type guest struct {
	t       *testing.T
	machine *machine
	port    *muxtest.Port
	host    *muxtest.Host
}

func newGuest(t *testing.T) *guest {
	groups, err := process.NewGroups("")
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{t: t, machine: &machine{services: t.TempDir(), off: make(chan struct{})}, port: muxtest.NewPort()}
	m := mux.New(g.port)
	go m.Run()
	go server.New("1.2.3", g.machine, process.NewRunner(reaper(), groups)).Serve(m)
	t.Cleanup(g.port.Close)
	g.host = g.port.Connect()
	return g
}

// newReadyGuest has mounted its disks.
func newReadyGuest(t *testing.T) *guest {
	g := newGuest(t)
	body := `{"base": "/dev/vda", "scratch": "/dev/vdb", "environment": {"MACHINE": "yes"}}`
	if status, answer := g.ask("POST", "/v1/mount", body); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	return g
}

// ask does one request and checks that the answer has the shape that the schema gives it.
func (g *guest) ask(method, path, body string) (int, map[string]any) {
	g.t.Helper()
	s := g.host.Open()
	fmt.Fprintf(s, "%s %s HTTP/1.1\r\nHost: guest\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		method, path, len(body), body)
	s.CloseWrite()
	return g.answer(s, method+" "+path)
}

func (g *guest) answer(s *muxtest.Stream, request string) (int, map[string]any) {
	g.t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(s), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	data, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(data, &answer); err != nil {
		g.t.Fatalf("%q: %v", data, err)
	}
	shape := schema(g.t).Error
	if response.StatusCode == http.StatusOK {
		shape = schema(g.t).Requests[request].Response
	}
	shape.check(g.t, answer)
	return response.StatusCode, answer
}

// shape is the part of JSON Schema that the protocol's schema uses for its objects.
type shape struct {
	Properties map[string]struct {
		Type string
		Enum []any
	}
	Required []string
}

func (s shape) check(t *testing.T, object map[string]any) {
	t.Helper()
	for _, name := range s.Required {
		value, ok := object[name]
		if !ok {
			t.Errorf("%v has no member %q", object, name)
		}
		property := s.Properties[name]
		types := map[string]string{"integer": "float64", "string": "string", "boolean": "bool"}
		if want := types[property.Type]; want != "" && fmt.Sprintf("%T", value) != want {
			t.Errorf("%q is %v, which is no %s", name, value, property.Type)
		}
		if len(property.Enum) > 0 && !bytes.Contains(fmt.Append(nil, property.Enum), fmt.Append(nil, value)) {
			t.Errorf("%q is %v, not one of %v", name, value, property.Enum)
		}
	}
}

type protocol struct {
	Requests map[string]struct {
		Response shape
		Frames   map[string]shape
	}
	Error shape
}

func schema(t *testing.T) (p protocol) {
	t.Helper()
	data, err := os.ReadFile("../../../protocol/generation-1/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &p, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestHelloTellsGenerationAndState(t *testing.T) {
	g := newGuest(t)
	status, answer := g.ask("GET", "/v1/hello", "")
	if status != http.StatusOK || answer["generation"] != float64(wire.Generation) || answer["version"] != "1.2.3" ||
		answer["state"] != "booted" || answer["uptime_ms"].(float64) <= 0 || len(answer["boot_id"].(string)) != 36 {
		t.Error(status, answer)
	}
	if _, answer := newReadyGuest(t).ask("GET", "/v1/hello", ""); answer["state"] != "ready" {
		t.Error(answer)
	}
}

func TestUnknownRequestsAre404(t *testing.T) {
	g := newGuest(t)
	for _, request := range [][2]string{
		{"GET", "/"}, {"GET", "/v1/exec"}, {"POST", "/v1/hello"}, {"GET", "/v1/hello/"}, {"GET", "/%ff"}, {"GET", "/%00"},
	} {
		if status, answer := g.ask(request[0], request[1], ""); status != http.StatusNotFound || answer["code"] != "not-found" {
			t.Error(request, status, answer)
		}
	}
}

const someone = `{"hostname": "box", "machine_id": "0123456789abcdef0123456789abcdef", "entropy": "%s", "clock_ns": %s}`

func TestIdentityIsPassedOnAndTheClockReported(t *testing.T) {
	g := newGuest(t)
	status, answer := g.ask("POST", "/v1/identity", fmt.Sprintf(someone, strings.Repeat("0f", 32), "1700000000000000000"))
	if status != http.StatusOK || answer["clock_ns"] != 1700000000001000000.0 {
		t.Error(status, answer)
	}
	who := g.machine.who
	if who.Hostname != "box" || who.Entropy[31] != 0x0f || who.Clock.UnixNano() != 1700000000000000000 {
		t.Errorf("%+v", who)
	}
}

func TestAnIdentityThatDidNotTakeIsAnError(t *testing.T) {
	g := newGuest(t)
	g.machine.failure = errors.New("the clock reads 3 s off")
	status, answer := g.ask("POST", "/v1/identity", fmt.Sprintf(someone, strings.Repeat("0f", 32), "1"))
	if status != http.StatusInternalServerError || answer["code"] != "identity-failed" {
		t.Error(status, answer)
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	g := newGuest(t)
	for _, request := range [][2]string{
		{"/v1/identity", ""},
		{"/v1/identity", "[]"},
		{"/v1/identity", fmt.Sprintf(someone, "0f", "1")},
		{"/v1/identity", fmt.Sprintf(someone, strings.Repeat("zz", 32), "1")},
		{"/v1/identity", fmt.Sprintf(someone, strings.Repeat("0f", 32), `"1"`)},
		{"/v1/identity", strings.Replace(fmt.Sprintf(someone, strings.Repeat("0f", 32), "1"), "box", "a b", 1)},
		{"/v1/identity", strings.Replace(fmt.Sprintf(someone, strings.Repeat("0f", 32), "1"), "0123", "xyzw", 1)},
		{"/v1/mount", `{"base": "/dev/vda", "scratch": "/dev/vdb"}`},
		{"/v1/mount", `{"base": "/dev/vda", "scratch": "/dev/vdb", "environment": {"A=B": ""}}`},
	} {
		if status, answer := g.ask("POST", request[0], request[1]); status != http.StatusBadRequest || answer["code"] != "bad-request" {
			t.Error(request, status, answer)
		}
	}
	if g.machine.who != nil || g.machine.disks[0] != "" {
		t.Error("the machine was touched")
	}
}

// TestAReasonNeedNotBeText has the kernel name a path that is not UTF-8, in a refusal and in a FAILED frame.
func TestAReasonNeedNotBeText(t *testing.T) {
	g := newReadyGuest(t)
	g.machine.failure = &os.PathError{Op: "open", Path: "/tmp/\xff", Err: os.ErrNotExist}
	const want = "open /tmp/\ufffd: file does not exist"
	if status, answer := g.ask("POST", "/v1/network", place); status != 500 || answer["error"] != want {
		t.Error(status, answer)
	}
	if _, kind, last := g.framed("/v1/secret", `{"name": "A"}`, "x"); kind != wire.KindFailed || last["error"] != want {
		t.Error(kind, last)
	}
}

func TestABodyOverTheLimitIsRefused(t *testing.T) {
	g := newGuest(t)
	if status, answer := g.ask("POST", "/v1/mount", strings.Repeat(" ", wire.MaxJSON+1)); status != 413 || answer["code"] != "too-large" {
		t.Error(status, answer)
	}
}

func TestDisksAreMountedOnce(t *testing.T) {
	g := newGuest(t)
	body := `{"base": "/dev/vda", "scratch": "/dev/vdb", "environment": {}, "later": "generation"}`
	g.machine.failure = errors.New("no such device")
	if status, answer := g.ask("POST", "/v1/mount", body); status != 500 || answer["code"] != "mount-failed" {
		t.Error(status, answer)
	}
	g.machine.failure = nil
	if status, answer := g.ask("POST", "/v1/mount", body); status != http.StatusOK || answer["state"] != "ready" {
		t.Error(status, answer)
	}
	if g.machine.disks != [2]string{"/dev/vda", "/dev/vdb"} {
		t.Error(g.machine.disks)
	}
	if status, answer := g.ask("POST", "/v1/mount", body); status != http.StatusConflict || answer["code"] != "already-mounted" {
		t.Error(status, answer)
	}
}

func TestPowerOffAnswersFirstAndEndsTheMachine(t *testing.T) {
	g := newReadyGuest(t)
	if status, answer := g.ask("POST", "/v1/poweroff", ""); status != http.StatusOK || answer["state"] != "stopping" {
		t.Error(status, answer)
	}
	<-g.machine.off
	g.ask("POST", "/v1/poweroff", "") // a second one changes nothing: the channel is closed once
	g.ask("GET", "/v1/hello", "")     // keeps to the states that the schema knows
	if status, answer := g.refusedExec(start("true")); status != http.StatusConflict || answer["code"] != "stopping" {
		t.Error(status, answer)
	}
}
