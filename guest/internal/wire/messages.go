package wire

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
)

// Hello answers GET /v1/hello.
type Hello struct {
	Generation int    `json:"generation"`
	Version    string `json:"version"`
	BootID     string `json:"boot_id"`
	UptimeMS   int64  `json:"uptime_ms"`
	State      string `json:"state"`
}

// Identity is the body of POST /v1/identity: what must differ between copies of one machine.
type Identity struct {
	Hostname  string `json:"hostname"`
	MachineID string `json:"machine_id"`
	Entropy   string `json:"entropy"`
	ClockNS   int64  `json:"clock_ns"`
}

// Clock answers POST /v1/identity.
type Clock struct {
	ClockNS int64 `json:"clock_ns"`
}

// Mount is the body of POST /v1/mount.
type Mount struct {
	Base        string            `json:"base"`
	Scratch     string            `json:"scratch"`
	Environment map[string]string `json:"environment"`
}

// Workspace is the body of POST /v1/workspace.
type Workspace struct {
	Baseline string `json:"baseline"`
	Disk     string `json:"disk"`
}

// Freeze is the body of POST /v1/freeze.
type Freeze struct {
	HoldMS int64 `json:"hold_ms"`
}

// Work is the payload of the START frame of POST /v1/workspace/NAME: what there is to do. Each name uses some of it.
type Work struct {
	Path      string `json:"path"`
	Recursive bool   `json:"recursive"`
	MaxBytes  int64  `json:"max_bytes"`
	Patches   bool   `json:"patches"`
	HardLinks bool   `json:"hard_links"`
	Whole     bool   `json:"whole"`
	Device    string `json:"device"`
}

// Entry is a line of what list answers. A name is in the one member or, if it is not UTF-8, as base64 in the other.
type Entry struct {
	Path      *string `json:"path"`
	RawPath   *string `json:"raw_path,omitzero"`
	Type      string  `json:"type"`
	Size      int64   `json:"size"`
	Target    *string `json:"target"`
	RawTarget *string `json:"raw_target,omitzero"`
}

// Change is a line of what diff and patch answer.
type Change struct {
	Path    *string `json:"path"`
	RawPath *string `json:"raw_path,omitzero"`
	Status  string  `json:"status"`
	Type    string  `json:"type,omitzero"`
	Patch   *string `json:"patch"`
	Binary  bool    `json:"binary"`
}

// Listed, ReadFile, Written, Carried, Compared and Patched are payloads of the RESULT frame.
type (
	Listed struct {
		Path string `json:"path"`
	}
	ReadFile struct {
		Size int64 `json:"size"`
	}
	Written struct {
		Size    int64 `json:"size"`
		Created bool  `json:"created"`
	}
	Carried struct {
		Type         string   `json:"type"`
		Entries      int64    `json:"entries"`
		Bytes        int64    `json:"bytes"`
		Skipped      []string `json:"skipped"`
		SkippedCount int64    `json:"skipped_count"`
	}
	Compared struct {
		Entries   int64 `json:"entries"`
		Truncated bool  `json:"truncated"`
	}
	Patched struct {
		Files int64 `json:"files"`
	}
)

// Failed is the payload of the FAILED frame. Details are strings and integers.
type Failed struct {
	Code    string         `json:"code"`
	Error   string         `json:"error"`
	Details map[string]any `json:"details"`
}

// State answers requests that change what the machine does.
type State struct {
	State string `json:"state"`
}

// Start is the payload of the START frame.
type Start struct {
	Argv      []string          `json:"argv"`
	Env       map[string]string `json:"env"`
	Cwd       string            `json:"cwd"`
	TimeoutMS int64             `json:"timeout_ms"`
	Stdin     bool              `json:"stdin"`
}

// Started is the payload of the STARTED frame.
type Started struct {
	PID int `json:"pid"`
}

// Exit is the payload of the EXIT frame.
type Exit struct {
	ExitCode   int    `json:"exit_code"`
	Signal     int    `json:"signal"`
	TimedOut   bool   `json:"timed_out"`
	DurationMS int64  `json:"duration_ms"`
	Error      string `json:"error"`
}

// Error is the body of every 4xx and 5xx answer.
type Error struct {
	Code  string `json:"code"`
	Error string `json:"error"`
}

// Decode reads one JSON object into message and insists on the members named in required. Members it does not know are
// ignored; doubled members and strings that are not UTF-8 are refused, because an argument must not change on its way.
func Decode(data []byte, message any, required ...string) error {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	for _, name := range required {
		if value, ok := members[name]; !ok || value.Kind() == 'n' {
			return fmt.Errorf("member %q is missing", name)
		}
	}
	return json.Unmarshal(data, message)
}

// Encode renders a message of this package. These always can be: an error is a bug and panics. What is not UTF-8 is replaced
// by U+FFFD: an error may tell of a name that is none, and whoever else has bytes to send does not send them as text.
func Encode(message any) []byte {
	data, err := json.Marshal(message, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err)
	}
	return data
}
