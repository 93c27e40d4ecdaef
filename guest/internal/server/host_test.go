package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/server"
)

// onHost returns a client of a server without a machine, on a socket of its own, and what is closed when that is to end.
func onHost(t *testing.T) (*http.Client, <-chan struct{}) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	groups, err := process.NewGroups("")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	runner := process.NewRunner(reaper(), groups)
	go server.NewOnHost("1.2.3", func() { close(ended) }, runner, map[string]string{"MACHINE": "none"}).Serve(listener)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial}}, ended
}

func TestWithoutAMachineItIsReadyAndThereIsNothingToChange(t *testing.T) {
	client, ended := onHost(t)
	ask := func(method, path, body string) (int, string) {
		request, _ := http.NewRequest(method, "http://guest"+path, strings.NewReader(body))
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(text)
	}
	if status, text := ask("GET", "/v1/hello", ""); status != 200 || !strings.Contains(text, `"state":"ready"`) {
		t.Error(status, text)
	}
	for _, path := range []string{"/v1/identity", "/v1/mount", "/v1/workspace"} {
		if status, text := ask("POST", path, "{}"); status != 409 || !strings.Contains(text, `"no-machine"`) {
			t.Error(path, status, text)
		}
	}
	if status, text := ask("POST", "/v1/poweroff", "{}"); status != 200 || !strings.Contains(text, "stopping") {
		t.Error(status, text)
	}
	<-ended
}
