package tree

import (
	"errors"
	"fmt"
	"syscall"
)

// Codes of errors. FileChanged is for a tree that was changed under our hands so that the work cannot be done truly.
const (
	PathNotFound   = "path-not-found"
	PathOutside    = "path-outside-workspace"
	NotAFile       = "not-a-file"
	NotADirectory  = "not-a-directory"
	IsADirectory   = "is-a-directory"
	BadArchive     = "bad-archive"
	NoSpace        = "no-space"
	IOError        = "io-error"
	TooManyEntries = "too-many-entries"
	FileChanged    = "file-changed"
)

// Error is what every method returns, but for errors of the reader or writer it was given and of its context.
type Error struct {
	Code    string
	Text    string         // names and paths in it are quoted
	Details map[string]any // strings and integers; "path" is quoted where it is not plain
	cause   error
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.cause }

// refuse makes an error about a path of the tree.
func refuse(code, path, format string, arguments ...any) *Error {
	return &Error{
		Code:    code,
		Text:    fmt.Sprintf("%q: ", path) + fmt.Sprintf(format, arguments...),
		Details: map[string]any{"path": plain(path)},
	}
}

// failed makes an error of a system call.
func failed(call, path string, err error) error {
	if known, ok := errors.AsType[*Error](err); ok {
		return known
	}
	code := IOError
	switch {
	case errors.Is(err, syscall.ENOENT):
		code = PathNotFound
	case errors.Is(err, syscall.ENOTDIR):
		code = NotADirectory
	case errors.Is(err, syscall.EXDEV):
		code = PathOutside
	case errors.Is(err, syscall.ELOOP): // only where a link has come in place of something else
		code = FileChanged
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		code = NoSpace
	}
	e := refuse(code, path, "%s: %v", call, err)
	e.cause = err
	return e
}

// badArchive refuses a member, or with an empty name the archive as a whole.
func badArchive(member, format string, arguments ...any) *Error {
	if member == "" {
		return &Error{Code: BadArchive, Text: "archive: " + fmt.Sprintf(format, arguments...)}
	}
	e := refuse(BadArchive, member, format, arguments...)
	e.Details = map[string]any{"member": plain(member)}
	return e
}

// plain returns the text as it is if it is printable UTF-8 of tolerable length, otherwise quoted.
func plain(text string) string {
	const enough = 1024
	if len(text) > enough {
		text = text[:enough] + "…"
	}
	if quoted := fmt.Sprintf("%q", text); quoted[1:len(quoted)-1] != text {
		return quoted
	}
	return text
}
