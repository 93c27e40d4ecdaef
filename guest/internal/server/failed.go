package server

import (
	"errors"
	"syscall"

	"pyro.local/guest/internal/diff"
	"pyro.local/guest/internal/forward"
	"pyro.local/guest/internal/patch"
	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/service"
	"pyro.local/guest/internal/shell"
	"pyro.local/guest/internal/tree"
	"pyro.local/guest/internal/wire"
)

// failed is the answer for work that could not be done.
func failed(err error) wire.Failed {
	if known, ok := errors.AsType[*tree.Error](err); ok {
		return wire.Failed{Code: known.Code, Error: known.Text, Details: known.Details}
	}
	if known, ok := errors.AsType[*shell.Error](err); ok {
		return wire.Failed{Code: known.Code, Error: known.Text, Details: known.Details}
	}
	if known, ok := errors.AsType[*service.Error](err); ok {
		return wire.Failed{Code: known.Code, Error: known.Text, Details: known.Details}
	}
	if errors.Is(err, forward.ErrRefused) {
		return wire.Failed{Code: "refused", Error: err.Error()}
	}
	if errors.Is(err, forward.ErrReset) {
		return wire.Failed{Code: "reset", Error: err.Error()}
	}
	if why, ok := errors.AsType[*process.Failure](err); ok {
		code := "not-executable"
		if why.NotFound() {
			code = "not-found"
		}
		details := map[string]any{"reason": why.Reason, "exit_code": int64(why.ExitCode)}
		return wire.Failed{Code: code, Error: why.Reason, Details: details}
	}
	if known, ok := errors.AsType[*patch.ParseError](err); ok {
		details := map[string]any{"line": int64(known.Line), "reason": known.Reason}
		return wire.Failed{Code: "bad-patch", Error: known.Error(), Details: details}
	}
	if known, ok := errors.AsType[*patch.ApplyError](err); ok {
		code := "patch-failed"
		switch {
		case errors.Is(known, syscall.EXDEV):
			code = tree.PathOutside
		case errors.Is(known, syscall.ENOSPC):
			code = tree.NoSpace
		}
		details := map[string]any{"file": shown(known.File), "hunk": int64(known.Hunk), "reason": known.Reason}
		return wire.Failed{Code: code, Error: known.Error(), Details: details}
	}
	if errors.Is(err, syscall.ENOSPC) {
		return wire.Failed{Code: tree.NoSpace, Error: err.Error()}
	}
	if errors.Is(err, diff.ErrTooManyEntries) {
		return wire.Failed{Code: tree.TooManyEntries, Error: err.Error()}
	}
	return wire.Failed{Code: tree.IOError, Error: err.Error()}
}
