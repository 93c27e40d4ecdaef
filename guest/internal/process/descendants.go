package process

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	prSetChildSubreaper = 36
	sysPidfdSendSignal  = 424
	sysPidfdOpen        = 434
	pollIn              = 1
)

var errSurvivor = errors.New("a process survives SIGKILL")

// AdoptOrphans has every orphan below this program come back to it, as to PID 1 of a machine: EndDescendants finds all
// that commands have started only then.
func AdoptOrphans() error {
	_, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0)
	if errno != 0 {
		return os.NewSyscallError("prctl", errno)
	}
	return nil
}

// EndDescendants kills everything below this program, whatever session it has moved to, and waits for its end, at most so
// long. What has another user's rights cannot be signalled and stays.
func EndDescendants(limit time.Duration) error {
	return endDescendants(limit, func() map[int]bool { return nil })
}

// endDescendants spares the children that others names, with all below them. It is asked after each look, so it knows
// whatever that has shown.
func endDescendants(limit time.Duration, others func() map[int]bool) error {
	deadline := time.Now().Add(limit)
	spared := map[descendant]bool{}
	for {
		stopped, err := stopDescendants(spared, others)
		if err != nil || len(stopped) == 0 {
			return err
		}
		for d := range stopped {
			_ = d.signal(syscall.SIGKILL)
		}
		for d := range stopped {
			if !d.await(time.Until(deadline)) {
				return errSurvivor
			}
		}
	}
}

// stopDescendants stops all of them, so that nothing is born or orphaned between looking and killing: it looks until it
// finds no more than it has stopped. Those that may not be signalled are added to spared.
func stopDescendants(spared map[descendant]bool, others func() map[int]bool) (map[descendant]bool, error) {
	stopped := map[descendant]bool{}
	for {
		found, err := descendants(others)
		if err != nil {
			return stopped, err
		}
		fresh := false
		for _, d := range found {
			if stopped[d] || spared[d] {
				continue
			}
			fresh = true
			if d.signal(syscall.SIGSTOP) == syscall.EPERM {
				spared[d] = true
			} else {
				stopped[d] = true
			}
		}
		if !fresh {
			return stopped, nil
		}
	}
}

// descendant names one process for good: its pid may be given away, its start time is its own.
type descendant struct {
	pid   int
	start string // field 22 of /proc/PID/stat
}

// descendants returns what lives below this program, but for the children in others and what lives below them.
func descendants(others func() map[int]bool) ([]descendant, error) {
	directory, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	children := map[int][]descendant{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if parent, start, ok := readStat(pid); ok {
			children[parent] = append(children[parent], descendant{pid, start})
		}
	}
	var found []descendant
	foreign := others()
	for _, child := range children[os.Getpid()] {
		if !foreign[child.pid] {
			found = append(found, child)
		}
	}
	for i := 0; i < len(found); i++ { // it grows
		found = append(found, children[found[i].pid]...)
	}
	return found, nil
}

// readStat tells the parent and the start of a process that lives; a zombie does not, and has no children.
func readStat(pid int) (parent int, start string, ok bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, "", false
	}
	// The name may hold anything: fields are counted behind its last parenthesis, the state being the third.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0, "", false
	}
	parent, err = strconv.Atoi(fields[1])
	return parent, fields[19], err == nil
}

// open returns a descriptor of exactly this process, or false if it has ended.
func (d descendant) open() (uintptr, bool) {
	fd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(d.pid), 0, 0)
	if errno != 0 {
		return 0, false
	}
	// Compared only now that the descriptor is held: from here on the pid is not given away under us.
	if _, start, ok := readStat(d.pid); ok && start == d.start {
		return fd, true
	}
	syscall.Close(int(fd))
	return 0, false
}

// signal sends a signal; one that has ended needs none.
func (d descendant) signal(number syscall.Signal) error {
	fd, ok := d.open()
	if !ok {
		return nil
	}
	defer syscall.Close(int(fd))
	_, _, errno := syscall.Syscall6(sysPidfdSendSignal, fd, uintptr(number), 0, 0, 0, 0)
	if errno != 0 && errno != syscall.ESRCH {
		return errno
	}
	return nil
}

// await tells whether the process has ended within the limit.
func (d descendant) await(limit time.Duration) bool {
	fd, ok := d.open()
	if !ok {
		return true
	}
	defer syscall.Close(int(fd))
	deadline := time.Now().Add(limit)
	for {
		poll := struct {
			fd              int32
			events, revents int16
		}{int32(fd), pollIn, 0}
		left := max(time.Until(deadline).Milliseconds(), 0)
		n, _, errno := syscall.Syscall(syscall.SYS_POLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(left))
		if errno != syscall.EINTR {
			return n == 1
		}
	}
}
