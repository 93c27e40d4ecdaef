package server_test

import (
	"bytes"
	"context"
	"encoding/json/v2"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/server"
	"pyro.local/guest/internal/wire"
)

// deafHost takes every frame, and leaves after STARTED or before RESULT.
type deafHost struct {
	*httptest.ResponseRecorder
	leave context.CancelFunc
	pid   int
}

func (*deafHost) EnableFullDuplex() error         { return nil }
func (*deafHost) SetReadDeadline(time.Time) error { return nil }

func (h *deafHost) Write(data []byte) (int, error) {
	kind, payload, err := wire.NewFrameReader(bytes.NewReader(data)).Next()
	var started wire.Started
	switch {
	case err != nil:
		return 0, err
	case kind == wire.KindStarted:
		if err := json.Unmarshal(payload, &started); err != nil {
			return 0, err
		}
		h.pid = started.PID
		if h.leave != nil {
			h.leave()
		}
	case kind == wire.KindResult && h.leave == nil:
		return 0, errors.New("the host is gone")
	}
	return len(data), nil
}

// TestAServiceWhoseHostDoesNotHearThatItIsReadyIsEnded has the host leave at the last moments.
func TestAServiceWhoseHostDoesNotHearThatItIsReadyIsEnded(t *testing.T) {
	groups, err := process.NewGroups("")
	if err != nil {
		t.Fatal(err)
	}
	agent := server.New("1.2.3", &machine{services: t.TempDir()}, process.NewRunner(reaper(), groups))
	mount := `{"base": "/dev/vda", "scratch": "/dev/vdb", "environment": {}}`
	agent.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/mount", strings.NewReader(mount)))
	ctx, cancel := context.WithCancel(context.Background())
	for name, leave := range map[string]context.CancelFunc{"early": cancel, "late": nil} {
		host := &deafHost{ResponseRecorder: httptest.NewRecorder(), leave: leave}
		request := httptest.NewRequest("POST", "/v1/service/start", bytes.NewReader(startFrame(serviceStart(name, "exec sleep 1000", "null"))))
		if leave != nil {
			request = request.WithContext(ctx)
		}
		agent.ServeHTTP(host, request)
		if host.Code != http.StatusOK || host.pid == 0 {
			t.Fatal(host.Code, host.pid)
		}
		awaitDeath(t, host.pid)
	}
}
