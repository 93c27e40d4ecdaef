package service

import (
	"errors"
	"strings"

	"pyro.local/guest/internal/process"
)

// Error is what cannot be done with a service.
type Error struct {
	Code    string
	Text    string
	Details map[string]any // texts and integers
}

func (e *Error) Error() string { return e.Text }

// logNames are what the files of a service's outputs are called, before where they begin.
var logNames = [2]string{process.Stdout: "stdout", process.Stderr: "stderr"}

var (
	errNotFound = &Error{Code: "not-found", Text: "there is no service of that name"}
	errExists   = &Error{Code: "exists", Text: "a service of that name runs"}
	errTooMany  = &Error{Code: "too-many", Text: "too many services run already"}
	errHalted   = &Error{Code: "stopping", Text: "the machine is being stopped"}
	errLeft     = errors.New("the host did not wait for the service to be ready")
)

// endedEarly is the error for a service that ended before it was ready.
func endedEarly(state State) error {
	details := map[string]any{"exit_code": int64(state.ExitCode), "signal": int64(state.Signal)}
	return &Error{Code: "ended", Text: "the service ended before it was ready", Details: details}
}

// notReady is the error for a service that was not ready in time.
func notReady(last error) error {
	reason := brief(last)
	text := "the service was not ready in time: " + reason
	return &Error{Code: "not-ready", Text: text, Details: map[string]any{"reason": reason}}
}

// maxReason is how many bytes of a probe's error are told.
const maxReason = 200

// brief is an error as a short text; what is in it may come from the service.
func brief(err error) string {
	text := strings.ToValidUTF8(err.Error(), "?")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "..."
	}
	return text
}
