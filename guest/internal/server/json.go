package server

import (
	"errors"
	"io"
	"net/http"

	"pyro.local/guest/internal/wire"
)

// failure is an error that the host is told as such.
type failure struct {
	status int
	code   string
	text   string
}

func (f *failure) Error() string { return f.text }

var errStopping = &failure{http.StatusConflict, "stopping", "the machine is being stopped"}

func badRequest(err error) error {
	return &failure{http.StatusBadRequest, "bad-request", err.Error()}
}

// refuse answers with an error object.
func refuse(w http.ResponseWriter, err error) {
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{http.StatusInternalServerError, "internal", err.Error()}
	}
	answer(w, f.status, wire.Error{Code: f.code, Error: f.text})
}

// answer sends a message. That the host may be gone by now is no concern of this request.
func answer(w http.ResponseWriter, status int, message any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(wire.Encode(message))
}

// receive reads a JSON body.
func receive(w http.ResponseWriter, r *http.Request, message any, required ...string) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxJSON))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &failure{http.StatusRequestEntityTooLarge, "too-large", "the body is larger than 1 MiB"}
	case err != nil:
		return badRequest(err)
	}
	if err := wire.Decode(data, message, required...); err != nil {
		return badRequest(err)
	}
	return nil
}
