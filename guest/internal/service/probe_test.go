package service

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"pyro.local/guest/internal/dial/dialtest"
	"pyro.local/guest/internal/process"
)

func TestKnockingDoesNotMeetItself(t *testing.T) {
	dialtest.MeetsNoOne(t, func(port int) error {
		knock, err := parseEndpoint(fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			return err
		}
		_, err = knock.connect(context.Background())
		return err
	}, syscall.ECONNREFUSED)
}

// site answers with one status after the other, then with the last.
type site struct {
	statuses []int
	asked    atomic.Int32
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(s.asked.Add(1))
	if r.Method != "GET" || r.URL.RequestURI() != "/health?deep=1" || !r.Close {
		panic(fmt.Sprint(r))
	}
	w.WriteHeader(http.StatusEarlyHints)
	w.Header().Set("Location", "/elsewhere")
	w.WriteHeader(s.statuses[min(n, len(s.statuses))-1])
}

// serve serves at a port and returns what ends that.
func serve(t *testing.T, host, port string, handler http.Handler) func() {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		t.Error(err)
		return func() {}
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	return func() {
		server.Close()
		<-done
	}
}

func TestAPageMakesAServiceReady(t *testing.T) {
	b := newBench(t)
	for _, last := range []int{200, 204, 302, 399} {
		port, pages := freePort(t, "127.0.0.1"), &site{statuses: []int{503, 404, last}}
		ends := make(chan func(), 1)
		b.becomes(kindHTTP, "http://localhost:"+port+"/health?deep=1#part", func() { ends <- serve(t, "127.0.0.1", port, pages) })
		if asked := pages.asked.Load(); asked != 3 {
			t.Errorf("%d: it was asked %d times", last, asked)
		}
		(<-ends)()
	}
}

func TestAPageThatComplainsIsNotReady(t *testing.T) {
	for _, status := range []int{400, 404, 500, 503} {
		port := freePort(t, "127.0.0.1")
		address := "127.0.0.1:" + port
		end := serve(t, "127.0.0.1", port, &site{statuses: []int{status}})
		p := newProber(t, kindHTTP, "http://"+address+"/health?deep=1")
		if err := p.ask(context.Background()); err == nil || err.Error() != fmt.Sprint(address, ": status ", status) {
			t.Error(err)
		}
		end()
		if err := p.ask(context.Background()); err == nil || err.Error() != address+": connection refused" {
			t.Error(err)
		}
	}
}

// newProber tries whether a service is ready that there is not.
func newProber(t *testing.T, kind, argument string) *prober {
	t.Helper()
	readiness, err := NewReadiness(kind, argument)
	if err != nil {
		t.Fatal(err)
	}
	return &prober{Spec: &Spec{Readiness: readiness, Command: &process.Command{Cwd: "/"}}}
}

// TestServersThatDoNotKeepToHTTP are bounded in memory, and what they say in what is told of it.
func TestServersThatDoNotKeepToHTTP(t *testing.T) {
	for name, c := range map[string]struct{ answer, reason string }{
		"no HTTP":          {"\xff\xfe\x00 garbage\r\n\r\n", "malformed HTTP"},
		"endless header":   {"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 200_000), "the connection was closed"},
		"endless hints":    {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10_000), "it only gives hints"},
		"a long complaint": {"HTTP/1.1 " + strings.Repeat("9", 5000) + " \r\n\r\n", "..."},
		"nothing":          {"", "the connection was closed"},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := listener.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.Read(make([]byte, 1000))
			io.WriteString(conn, c.answer)
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn)
		}()
		reason := brief(newProber(t, kindHTTP, "http://"+listener.Addr().String()).ask(context.Background()))
		if !strings.Contains(reason, c.reason) || len(reason) > 220 {
			t.Errorf("%s: %q", name, reason)
		}
		listener.Close()
		<-done
	}
}

func TestAServerThatIsSilentIsNotWaitedForBeyondTheDeadline(t *testing.T) {
	b := newBench(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	if reason := b.fails(kindHTTP, "http://"+address, short); reason != address+": no answer in time" {
		t.Error(reason)
	}
}
