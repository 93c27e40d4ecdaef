// Package tsc measures how fast this machine's time stamp counter runs. It is used on the host: a guest that must find
// out by itself hangs on a busy one, and the "cpu MHz" of /proc/cpuinfo is another clock.
package tsc

import (
	"math"
	"os"
	"syscall"
	"time"
	"unsafe"
)

const (
	clockMonotonicRaw = 4 // not steered by NTP
	window            = 100 * time.Millisecond
	attempts          = 200
)

// read returns the counter. Implemented in assembly.
func read() uint64

// sample is one reading of both clocks: the counter's value belongs to somewhere within width counts of nanoseconds.
type sample struct {
	counter     uint64
	width       uint64
	nanoseconds int64
}

// KHz measures the counter's rate over a tenth of a second.
func KHz() (uint64, error) {
	first, err := best()
	if err != nil {
		return 0, err
	}
	time.Sleep(window)
	last, err := best()
	if err != nil {
		return 0, err
	}
	counts := float64(last.counter - first.counter)
	return uint64(math.Round(counts * 1e6 / float64(last.nanoseconds-first.nanoseconds))), nil
}

// best takes many samples and keeps the narrowest: the others were interrupted.
func best() (sample, error) {
	narrowest := sample{width: math.MaxUint64}
	for range attempts {
		s, err := take()
		if err != nil {
			return s, err
		}
		if s.width < narrowest.width {
			narrowest = s
		}
	}
	return narrowest, nil
}

func take() (sample, error) {
	var clock syscall.Timespec
	before := read()
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonicRaw, uintptr(unsafe.Pointer(&clock)), 0)
	after := read()
	if errno != 0 {
		return sample{}, os.NewSyscallError("clock_gettime", errno)
	}
	return sample{counter: before + (after-before)/2, width: after - before, nanoseconds: clock.Nano()}, nil
}
