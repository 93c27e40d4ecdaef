// Package slack says how late this program's timers may be.
//
// Go's runtime watches its threads from one that sleeps 20 µs at a time while anything runs. Each of these naps is a timer
// interrupt, and in an emulated machine that costs more than most requests: bulk data moved at half the speed. With slack
// the kernel puts the naps together. Too much of it is no good either: that thread also finds others work when a system
// call blocks (with 4 ms the first command of a machine took 30 ms longer). Timers of the agent are deadlines, for which a
// millisecond is nothing; commands are to have the kernel's usual 50 µs, and inherit the slack of the thread that starts
// them.
// Reference: PR_SET_TIMERSLACK in prctl(2), timerslack_ns in proc(5).
package slack

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	prSetTimerSlack = 29

	own   = time.Millisecond
	usual = 50 * time.Microsecond
)

// taken tells whether this program has slack of its own.
var taken atomic.Bool

// Take gives slack to every thread of this program; those made later inherit it. It needs /proc.
func Take() error {
	done := map[string]bool{}
	for {
		threads, err := filepath.Glob("/proc/self/task/*")
		if err != nil {
			return err
		}
		before := len(done)
		for _, thread := range threads {
			if number := filepath.Base(thread); !done[number] {
				if err := give(number); err != nil && !os.IsNotExist(err) {
					return err
				}
				done[number] = true
			}
		}
		if len(done) == before { // a thread made meanwhile has been seen to, too
			taken.Store(true)
			return nil
		}
	}
}

func give(thread string) error {
	return os.WriteFile(filepath.Join("/proc", thread, "timerslack_ns"), []byte(strconv.FormatInt(int64(own), 10)), 0)
}

// Without calls with the kernel's usual slack: what the call starts inherits that.
func Without(call func()) {
	if !taken.Load() {
		call()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	set(usual)
	defer set(own)
	call()
}

// set changes the calling thread's slack, which cannot fail.
func set(slack time.Duration) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, uintptr(slack), 0)
}
