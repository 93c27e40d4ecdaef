package boot

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// Requests of ioctl_fs(2).
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// Freezer stops all writing to a disk for a while, so that a copy of it is one moment's. Whoever writes meanwhile waits.
type Freezer struct {
	disk int

	mu    sync.Mutex
	timer *time.Timer // nil while nothing is frozen
}

// NewFreezer is for the disk that a descriptor lies on.
func NewFreezer(disk int) *Freezer { return &Freezer{disk: disk} }

// Freeze writes everything out and holds the disk still, for at most hold: nobody may come to thaw it. Called again it
// begins hold anew.
func (f *Freezer) Freeze(hold time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer != nil {
		if !f.timer.Stop() {
			return errors.New("freeze: the last one ends at this moment")
		}
		f.timer.Reset(hold)
		return nil
	}
	if err := ioctl(f.disk, fiFreeze); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	f.timer = time.AfterFunc(hold, f.expired)
	return nil
}

// Thaw lets writing go on. held tells whether it was stopped until now: if not, a copy may be of several moments.
func (f *Freezer) Thaw() (held bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer == nil || !f.timer.Stop() {
		return false, nil
	}
	return true, f.thaw()
}

// expired is called by the timer, once it cannot be stopped any more.
func (f *Freezer) expired() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.thaw()
}

func (f *Freezer) thaw() error {
	f.timer = nil
	return ioctl(f.disk, fiThaw)
}

func ioctl(fd int, request uintptr) error {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, 0)
	if errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}
