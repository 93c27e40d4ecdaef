package wire

import "errors"

// Limits of what may be asked of services, in the units of the members' names.
const (
	maxReadyTimeoutMS  = 86_400_000
	minReadyIntervalMS = 10
	maxReadyIntervalMS = 60_000
	maxGraceMS         = 600_000
	maxTailLines       = 1_000_000
	maxLogBytes        = 8 << 20
)

// ServiceStart is the payload of the START frame of POST /v1/service/start.
type ServiceStart struct {
	Service         string            `json:"service"`
	Argv            []string          `json:"argv"`
	Env             map[string]string `json:"env"`
	Cwd             string            `json:"cwd"`
	Readiness       *Readiness        `json:"readiness"`
	ReadyTimeoutMS  int64             `json:"ready_timeout_ms"`
	ReadyIntervalMS int64             `json:"ready_interval_ms"`
}

// Readiness says how a service is found to be ready: each type has the one member that goes with it.
type Readiness struct {
	Type    string `json:"type"`
	Path    string `json:"path"`
	Address string `json:"address"`
	URL     string `json:"url"`
	Command string `json:"command"`
}

// Argument returns the member that goes with the type. No other may be there.
func (r *Readiness) Argument() (kind, argument string, err error) {
	members := map[string]string{"file": r.Path, "tcp": r.Address, "http": r.URL, "command": r.Command}
	argument = members[r.Type]
	delete(members, r.Type)
	for _, other := range members {
		if other != "" {
			return "", "", errors.New("readiness has a member that does not go with its type")
		}
	}
	return r.Type, argument, nil
}

// ServiceName is the payload of the START frame of status and wait.
type ServiceName struct {
	Service string `json:"service"`
}

// ServiceStop is the payload of the START frame of stop.
type ServiceStop struct {
	Service string `json:"service"`
	GraceMS int64  `json:"grace_ms"`
}

// ServiceLogs is the payload of the START frame of logs.
type ServiceLogs struct {
	Service   string `json:"service"`
	TailLines int64  `json:"tail_lines"`
	MaxBytes  int64  `json:"max_bytes"`
	Follow    bool   `json:"follow"`
}

// ServiceState is the RESULT of start, status, wait and stop.
type ServiceState struct {
	Service   string `json:"service"`
	PID       int    `json:"pid"`
	State     string `json:"state"`
	ExitCode  int    `json:"exit_code"`
	Signal    int    `json:"signal"`
	Stopped   bool   `json:"stopped"`
	StartedNS int64  `json:"started_ns"`
	ReadyNS   int64  `json:"ready_ns"`
	EndedNS   int64  `json:"ended_ns"`
}

// ServiceLogged is the RESULT of logs.
type ServiceLogged struct {
	StdoutTruncated bool `json:"stdout_truncated"`
	StderrTruncated bool `json:"stderr_truncated"`
}

// Check tells what is out of range. The command and the readiness are for those to judge who use them.
func (s *ServiceStart) Check() error {
	return errors.Join(
		checkService(s.Service),
		within("ready_timeout_ms", s.ReadyTimeoutMS, 1, maxReadyTimeoutMS),
		within("ready_interval_ms", s.ReadyIntervalMS, minReadyIntervalMS, maxReadyIntervalMS),
	)
}

// Check tells what is out of range.
func (s *ServiceName) Check() error { return checkService(s.Service) }

// Check tells what is out of range.
func (s *ServiceStop) Check() error {
	return errors.Join(checkService(s.Service), within("grace_ms", s.GraceMS, 0, maxGraceMS))
}

// Check tells what is out of range.
func (s *ServiceLogs) Check() error {
	return errors.Join(
		checkService(s.Service),
		within("tail_lines", s.TailLines, 0, maxTailLines),
		within("max_bytes", s.MaxBytes, 1, maxLogBytes),
	)
}

func checkService(name string) error {
	if !named(name, letters+digits, letters+digits+"._-") {
		return errors.New("service is no name for a service")
	}
	return nil
}
