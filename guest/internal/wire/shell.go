package wire

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"syscall"
	"time"
)

const (
	// maxSide bounds the columns and the rows of a terminal.
	maxSide = 1000
	// maxWaitMS keeps a time within what a time.Duration can hold.
	maxWaitMS = math.MaxInt64 / int64(time.Millisecond)
)

// States of a shell.
const (
	ShellRunning = "running"
	ShellExited  = "exited"
)

var shellName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// ShellOpen is the payload of the START frame of POST /v1/shell/open.
type ShellOpen struct {
	Shell string            `json:"shell"`
	Argv  []string          `json:"argv"`
	Env   map[string]string `json:"env"`
	Cwd   string            `json:"cwd"`
	Cols  int64             `json:"cols"`
	Rows  int64             `json:"rows"`
}

// ShellRead is the payload of the START frame of read.
type ShellRead struct {
	Shell    string `json:"shell"`
	Cursor   int64  `json:"cursor"`
	MaxBytes int64  `json:"max_bytes"`
	IdleMS   int64  `json:"idle_ms"`
	WaitMS   int64  `json:"wait_ms"`
}

// ShellName is the payload of the START frame of write and close.
type ShellName struct {
	Shell string `json:"shell"`
}

// ShellResize is the payload of the START frame of resize.
type ShellResize struct {
	Shell string `json:"shell"`
	Cols  int64  `json:"cols"`
	Rows  int64  `json:"rows"`
}

// ShellSignal is the payload of the START frame of signal.
type ShellSignal struct {
	Shell  string `json:"shell"`
	Signal int64  `json:"signal"`
}

// ShellAttach is the payload of the START frame of attach.
type ShellAttach struct {
	Shell  string `json:"shell"`
	Cursor int64  `json:"cursor"`
}

// ShellOpened is the RESULT of open.
type ShellOpened struct {
	PID int `json:"pid"`
}

// ShellWritten is the RESULT of write.
type ShellWritten struct {
	Written int64 `json:"written"`
}

// ShellState is the RESULT of read, close and attach.
type ShellState struct {
	Shell    string `json:"shell"`
	PID      int    `json:"pid"`
	Cwd      string `json:"cwd"`
	Cols     int64  `json:"cols"`
	Rows     int64  `json:"rows"`
	State    string `json:"state"`
	ExitCode int    `json:"exit_code"`
	Signal   int    `json:"signal"`
	Start    int64  `json:"start"`
	Next     int64  `json:"next"`
	End      int64  `json:"end"`
	QuietMS  int64  `json:"quiet_ms"`
}

// Check tells what is out of range. The command is for those to judge who run it.
func (s *ShellOpen) Check() error {
	return errors.Join(checkShell(s.Shell), checkSides(s.Cols, s.Rows))
}

// Check tells what is out of range.
func (s *ShellRead) Check() error {
	return errors.Join(
		checkShell(s.Shell),
		within("cursor", s.Cursor, 0, math.MaxInt64),
		within("max_bytes", s.MaxBytes, 0, math.MaxInt64),
		within("idle_ms", s.IdleMS, 0, maxWaitMS),
		within("wait_ms", s.WaitMS, 0, maxWaitMS),
	)
}

// Check tells what is out of range.
func (s *ShellName) Check() error { return checkShell(s.Shell) }

// Check tells what is out of range.
func (s *ShellResize) Check() error {
	return errors.Join(checkShell(s.Shell), checkSides(s.Cols, s.Rows))
}

// Check tells what is out of range.
func (s *ShellSignal) Check() error {
	var unknown error
	switch syscall.Signal(s.Signal) {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGKILL, syscall.SIGTERM:
	default:
		unknown = errors.New("signal is none of 1, 2, 9 and 15")
	}
	return errors.Join(checkShell(s.Shell), unknown)
}

// Check tells what is out of range.
func (s *ShellAttach) Check() error {
	return errors.Join(checkShell(s.Shell), within("cursor", s.Cursor, 0, math.MaxInt64))
}

func checkShell(name string) error {
	if !shellName.MatchString(name) {
		return errors.New("shell is no name for a shell")
	}
	return nil
}

func checkSides(cols, rows int64) error {
	return errors.Join(within("cols", cols, 1, maxSide), within("rows", rows, 1, maxSide))
}

// within tells that a number is out of its range.
func within(member string, value, least, most int64) error {
	if value < least || value > most {
		return fmt.Errorf("%s is not within %d to %d", member, least, most)
	}
	return nil
}
