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

// State answers POST /v1/mount and POST /v1/poweroff.
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

// Encode renders a message of this package. These always can be: an error is a bug and panics.
func Encode(message any) []byte {
	data, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	return data
}
