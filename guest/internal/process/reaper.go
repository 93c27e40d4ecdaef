package process

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"pyro.local/guest/internal/slack"
)

// Reaper owns the end of every child of this program. As PID 1 it inherits the orphans of the whole machine, so it waits
// for any child; nothing else here may wait for one (os/exec would: it is not used).
type Reaper struct {
	mu     sync.Mutex // held from fork to registration, and while statuses are collected
	exits  map[int]*exit
	signal chan os.Signal
	empty  chan struct{} // closed and replaced whenever the last child is gone
}

// exit is the end of one child: the status is there once done is closed, for as many as want it.
type exit struct {
	done   chan struct{}
	status syscall.WaitStatus
}

// NewReaper starts to collect. There can be one in a program.
func NewReaper() *Reaper {
	r := &Reaper{
		exits:  map[int]*exit{},
		signal: make(chan os.Signal, 1),
		empty:  make(chan struct{}),
	}
	signal.Notify(r.signal, syscall.SIGCHLD)
	go r.run()
	return r
}

func (r *Reaper) run() {
	for range r.signal {
		r.collect()
	}
}

// collect takes every status that is there. One signal may stand for many children.
func (r *Reaper) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.ECHILD:
			close(r.empty)
			r.empty = make(chan struct{})
			return
		case pid <= 0:
			return
		}
		if exited, ok := r.exits[pid]; ok {
			delete(r.exits, pid)
			exited.status = status
			close(exited.done)
		}
	}
}

// start runs a program and returns its pid and its end, which is to come. The lock keeps a child that ends at once
// from being collected before its pid is known.
func (r *Reaper) start(path string, argv []string, attributes *syscall.ProcAttr) (int, *exit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var pid int
	var err error
	slack.Without(func() { pid, err = syscall.ForkExec(path, argv, attributes) })
	if err != nil {
		return 0, nil, err
	}
	exited := &exit{done: make(chan struct{})}
	r.exits[pid] = exited
	return pid, exited, nil
}

// others returns the programs that were started here and run, but for one.
func (r *Reaper) others(pid int) map[int]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	running := make(map[int]bool, len(r.exits))
	for other := range r.exits {
		if other != pid {
			running[other] = true
		}
	}
	return running
}

// Empty returns a channel that is closed when no child is left. It looks at once, so it is closed soon if there is none.
func (r *Reaper) Empty() <-chan struct{} {
	r.mu.Lock()
	empty := r.empty
	r.mu.Unlock()
	go r.collect()
	return empty
}
