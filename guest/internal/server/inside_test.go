package server_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"pyro.local/guest/internal/netconf"
	"pyro.local/guest/internal/wire"
)

func TestASecretIsPassedOn(t *testing.T) {
	g := newReadyGuest(t)
	_, kind, last := g.framed("/v1/secret", `{"name": "_TOKEN_1"}`, "one", "", "\x00\xfftwo")
	if kind != wire.KindResult || len(last) != 0 || g.machine.secret != [2]string{"_TOKEN_1", "one\x00\xfftwo"} {
		t.Errorf("%v %v %q", kind, last, g.machine.secret)
	}
	if _, kind, _ := g.framed("/v1/secret", `{"name": "A"}`, strings.Repeat("x", wire.MaxSecret)); kind != wire.KindResult {
		t.Error(kind)
	}
	if _, kind, _ := g.framed("/v1/secret", `{"name": "A"}`, ""); kind != wire.KindResult || g.machine.secret[1] != "" {
		t.Error(kind)
	}
}

func TestASecretThatIsNotCompleteIsNone(t *testing.T) {
	g := newReadyGuest(t)
	body := wire.AppendFrame(startFrame(`{"name": "A"}`), wire.KindStdin, []byte("sesame"))
	_, cut := g.askRaw("POST", "/v1/secret", body)
	_, stray := g.askRaw("POST", "/v1/secret", wire.AppendFrame(body, wire.KindStdout, nil))
	_, kind, last := g.framed("/v1/secret", `{"name": "A"}`, strings.Repeat("sesame", 10_000), strings.Repeat("x", 10_000))
	if kind != wire.KindFailed || last["code"] != "file-too-large" || strings.Contains(fmt.Sprint(last), "sesame") {
		t.Error(kind, last)
	}
	for _, data := range [][]byte{cut, stray} {
		if !strings.Contains(string(data), `"io-error"`) || strings.Contains(string(data), "sesame") {
			t.Errorf("%q", data)
		}
	}
	g.machine.failure = fmt.Errorf("write: %w", syscall.ENOSPC)
	if _, kind, last := g.framed("/v1/secret", `{"name": "A"}`, "sesame"); kind != wire.KindFailed || last["code"] != "no-space" {
		t.Error(kind, last)
	}
	g.machine.failure = nil
	for _, name := range []string{``, `1A`, `A-B`, `A/B`, `.`, strings.Repeat("A", 65), "A\u0000"} {
		if status, data := g.askRaw("POST", "/v1/secret", startFrame(fmt.Sprintf(`{"name": %q}`, name))); status != http.StatusBadRequest {
			t.Errorf("%q: %d %s", name, status, data)
		}
	}
}

const place = `{"address": "10.0.2.15/24", "gateway": "10.0.2.2", "nameserver": "10.0.2.3", "mtu": 1500}`

func TestTheNetworkIsConfiguredOnceTheRootIsThere(t *testing.T) {
	if status, answer := newGuest(t).ask("POST", "/v1/network", place); status != http.StatusConflict || answer["code"] != "not-mounted" {
		t.Error(status, answer)
	}
	g := newReadyGuest(t)
	for range 2 {
		if status, answer := g.ask("POST", "/v1/network", place); status != http.StatusOK || answer["state"] != "ready" {
			t.Error(status, answer)
		}
	}
	want := netconf.Config{
		Address: netip.MustParsePrefix("10.0.2.15/24"), Gateway: netip.MustParseAddr("10.0.2.2"),
		Nameserver: netip.MustParseAddr("10.0.2.3"), MTU: 1500,
	}
	if *g.machine.network != want {
		t.Error(g.machine.network)
	}
	g.machine.failure = netconf.ErrNoInterface
	if status, answer := g.ask("POST", "/v1/network", place); status != http.StatusConflict || answer["code"] != "no-interface" {
		t.Error(status, answer)
	}
	g.machine.failure = errors.New("address: ioctl: operation not permitted")
	if status, answer := g.ask("POST", "/v1/network", place); status != 500 || answer["code"] != "network-failed" {
		t.Error(status, answer)
	}
}

func TestANetworkThatCannotBeIsRefused(t *testing.T) {
	g := newReadyGuest(t)
	for _, c := range [][2]string{
		{`"10.0.2.15/24"`, `"10.0.2.15"`}, {`"10.0.2.15/24"`, `"fd00::1/64"`}, {`"10.0.2.15/24"`, `"10.0.2.015/24"`},
		{`"10.0.2.15/24"`, `""`}, {`"10.0.2.15/24"`, `"10.0.2.15/24 "`}, {`"10.0.2.15/24"`, `7`}, {`"10.0.2.2"`, `"gateway"`},
		{`"10.0.2.2"`, `"10.0.3.2"`}, {`"10.0.2.3"`, `"10.0.2.3\nsearch evil"`}, {`"10.0.2.3"`, `"::1"`}, {`1500`, `575`},
		{`1500`, `65536`}, {`1500`, `1e3`}, {`1500`, `"1500"`}, {`, "mtu": 1500`, ``},
	} {
		if status, answer := g.ask("POST", "/v1/network", strings.Replace(place, c[0], c[1], 1)); status != http.StatusBadRequest {
			t.Error(c, status, answer)
		}
	}
	if g.machine.network != nil {
		t.Error(g.machine.network)
	}
}
