package shell

import "fmt"

// Codes of errors.
const (
	NotFound    = "not-found"
	Exists      = "exists"
	TooMany     = "too-many"
	CursorAhead = "cursor-ahead"
	NotReading  = "not-reading"
	Stopping    = "stopping"
)

// Error is what cannot be done with a shell.
type Error struct {
	Code    string
	Text    string
	Details map[string]any // integers
}

func (e *Error) Error() string { return e.Text }

func refuse(code, format string, arguments ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, arguments...)}
}
