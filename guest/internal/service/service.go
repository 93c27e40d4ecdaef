package service

import (
	"context"
	"sync"
	"syscall"
	"time"

	"pyro.local/guest/internal/process"
)

// Phase is how far a service has come.
type Phase string

// The phases of a service.
const (
	Starting Phase = "starting"
	Running  Phase = "running"
	Ended    Phase = "ended"
)

// State is what there is to tell about a service. Times are zero for what was not yet.
type State struct {
	Name     string
	PID      int
	Phase    Phase
	ExitCode int
	Signal   int
	Stopped  bool // it was ended, in whatever way, by this program
	Started  time.Time
	Ready    time.Time
	Ended    time.Time
}

// service is a command that was started, and its logs.
type service struct {
	process *process.Process
	logs    [2]*log
	ended   chan struct{} // closed when all of it has ended and its logs are complete
	giveUp  context.CancelFunc

	mu    sync.Mutex
	state State
	until time.Time // when the rest has to have ended too, once the process has; zero for at once
}

// run lets the service live, and sees to its end.
func (s *service) run() {
	ctx, cancel := context.WithCancel(context.Background())
	s.giveUp = cancel
	s.process.Rest = s.endRest
	go func() {
		defer cancel()
		result := s.process.Wait(ctx, 0, func(stream process.Output, data []byte) error {
			s.logs[stream].write(data)
			return nil
		})
		s.finish(result)
	}()
}

// endRest is called when the process has ended: what it leaves behind ends with it, or has the time that a stop gives.
func (s *service) endRest() {
	s.mu.Lock()
	until := s.until
	s.mu.Unlock()
	if left := time.Until(until); left > 0 {
		s.process.AwaitRest(left)
	}
	s.process.End()
}

func (s *service) finish(result process.Result) {
	for _, l := range s.logs {
		l.close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Phase, s.state.Ended = Ended, time.Now()
	s.state.ExitCode, s.state.Signal = result.ExitCode, result.Signal
	close(s.ended)
}

// now returns the state.
func (s *service) now() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// markReady tells whether the service was found ready before it ended.
func (s *service) markReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Phase == Ended {
		return false
	}
	s.state.Phase, s.state.Ready = Running, time.Now()
	return true
}

// doom notes that the service is being ended, and until when what is left of it may live.
func (s *service) doom(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Phase != Ended {
		s.state.Stopped, s.until = true, until
	}
}

// stop asks all of the service to end, and ends what still lives after grace.
func (s *service) stop(grace time.Duration) {
	if s.now().Phase == Ended {
		return
	}
	until := time.Now().Add(grace)
	s.doom(until)
	if grace > 0 && s.process.SignalGroup(syscall.SIGTERM) == nil {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		select {
		case <-s.ended:
			return
		case <-timer.C:
		}
	}
	s.end()
}

// end ends all of the service. What the kernel cannot end is given up, as it is for any command.
func (s *service) end() {
	if s.now().Phase == Ended { // its number may be another's by now
		return
	}
	s.doom(time.Time{})
	s.process.End()
	s.giveUp()
	<-s.ended
}
