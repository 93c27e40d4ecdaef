package mux_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pyro.local/guest/internal/mux"
	"pyro.local/guest/internal/mux/muxtest"
)

// webSite is what the tests ask for: /echo gives the body back, /big/C many bytes C, /wait ends when its request does.
type webSite struct{ cancelled atomic.Int32 }

const bigSize = 1_000_000

func (s *webSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, argument, _ := strings.Cut(r.URL.Path[1:], "/")
	switch path {
	case "echo":
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	case "big":
		w.Write(bytes.Repeat([]byte(argument), bigSize))
	case "wait":
		<-r.Context().Done()
		s.cancelled.Add(1)
	}
}

func onWeb(t *testing.T, test func(t *testing.T, port *muxtest.Port, site *webSite)) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		site := &webSite{}
		server := &http.Server{Handler: site}
		server.SetKeepAlivesEnabled(false)
		go server.Serve(m)
		test(t, port, site)
		server.Close()
		time.Sleep(time.Second) // net/http lingers half of it on a request that was not read whole
	})
}

func request(s *muxtest.Stream, path string, body []byte) {
	fmt.Fprintf(s, "POST /%s HTTP/1.1\r\nHost: guest\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", path, len(body))
	s.Write(body)
}

func ask(t *testing.T, host *muxtest.Host, path string, body []byte) []byte {
	t.Helper()
	s := host.Open()
	request(s, path, body)
	response, err := http.ReadResponse(bufio.NewReader(s), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	s.CloseWrite()
	return answer
}

func TestHTTPIsServedOverStreams(t *testing.T) {
	onWeb(t, func(t *testing.T, port *muxtest.Port, _ *webSite) {
		host := port.Connect()
		for range 3 * mux.MaxStreams { // a stream that is over makes room for another
			body := []byte("body")
			if got := ask(t, host, "echo", body); !bytes.Equal(got, body) {
				t.Fatalf("got %q", got)
			}
		}
		if got := ask(t, host, "big/x", nil); len(got) != bigSize {
			t.Fatalf("got %d bytes", len(got))
		}
	})
}

func TestASessionThatEndsCancelsItsRequests(t *testing.T) {
	onWeb(t, func(t *testing.T, port *muxtest.Port, site *webSite) {
		host := port.Connect()
		request(host.Open(), "wait", nil)
		dropped := host.Open()
		request(dropped, "wait", nil)
		synctest.Wait()
		dropped.Reset()
		synctest.Wait()
		if n := site.cancelled.Load(); n != 1 {
			t.Fatalf("%d requests were cancelled by the RESET of one", n)
		}
		port.Connect()
		synctest.Wait()
		if n := site.cancelled.Load(); n != 2 {
			t.Fatalf("%d requests of 2 were cancelled", n)
		}
	})
}

// TestRudeClientsDoNotDisturbTheNextOne kills clients in mid-request and mid-answer. The port delivers what they left
// to the next, which must get its own answer and no byte of theirs.
func TestRudeClientsDoNotDisturbTheNextOne(t *testing.T) {
	onWeb(t, func(t *testing.T, port *muxtest.Port, _ *webSite) {
		random := rand.New(rand.NewPCG(1, 2))
		stale := 0
		for i := range 400 {
			host := port.Connect()
			stale += host.Stale
			letter := string(rune('a' + i%26))
			switch i % 4 {
			case 0: // dies in mid-answer
				s := host.Open()
				request(s, "big/"+letter, nil)
				io.ReadFull(s, make([]byte, 1+random.IntN(bigSize/2)))
			case 1: // dies in the middle of a frame
				f := muxtest.Frame{Session: host.Session, Stream: 1, Kind: muxtest.Data, Payload: make([]byte, 30000)}
				host.Open()
				host.Write(f.Bytes()[:1+random.IntN(30000)])
			case 2: // dies in the middle of a body
				s := host.Open()
				fmt.Fprintf(s, "POST /echo HTTP/1.1\r\nHost: guest\r\nContent-Length: 100000\r\n\r\n%s", letter)
			}
			if i%2 == 0 {
				host.Die()
			}
			if i%8 < 4 {
				port.ReportLate()
			}
			host = port.Connect()
			stale += host.Stale
			body := bytes.Repeat([]byte(letter), random.IntN(70000))
			if got := ask(t, host, "echo", body); !bytes.Equal(got, body) {
				t.Fatalf("client %d got %d bytes of %d", i, len(got), len(body))
			}
			host.Die()
		}
		if stale == 0 {
			t.Error("no stale bytes: the port of this test is too kind")
		}
	})
}
