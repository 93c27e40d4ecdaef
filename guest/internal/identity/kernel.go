package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

const (
	rndAddEntropy = 0x40085203
	rndReseedCRNG = 0x5207
	clockRealtime = 0
)

// addEntropy mixes seed into the kernel's generator and makes it draw a new key at once. Writing to /dev/urandom does
// only the first, and copies of a machine go on giving equal numbers (measured). Both calls report failure themselves.
func addEntropy(seed [EntropySize]byte) error {
	file, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info := binary.NativeEndian.AppendUint32(nil, EntropySize*8) // struct rand_pool_info: bits, bytes, data
	info = binary.NativeEndian.AppendUint32(info, EntropySize)
	info = append(info, seed[:]...)
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var added, reseeded syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, added = syscall.Syscall(syscall.SYS_IOCTL, fd, rndAddEntropy, uintptr(unsafe.Pointer(&info[0])))
		_, _, reseeded = syscall.Syscall(syscall.SYS_IOCTL, fd, rndReseedCRNG, 0)
	})
	return errors.Join(err, failed("RNDADDENTROPY", added), failed("RNDRESEEDCRNG", reseeded))
}

func failed(call string, errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return os.NewSyscallError(call, errno)
}

// setClock sets CLOCK_REALTIME and reads it again: a clock that did not take is worse than an error.
func setClock(t time.Time) (time.Time, error) {
	value := syscall.NsecToTimespec(t.UnixNano())
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_SETTIME, clockRealtime, uintptr(unsafe.Pointer(&value)), 0)
	if errno != 0 {
		return time.Time{}, os.NewSyscallError("clock_settime", errno)
	}
	now := time.Now()
	if skew := now.Round(0).Sub(t).Abs(); skew > maxSkew {
		return time.Time{}, fmt.Errorf("it reads %v off", skew)
	}
	return now, nil
}

func setHostname(name string) error {
	return os.NewSyscallError("sethostname", syscall.Sethostname([]byte(name)))
}
