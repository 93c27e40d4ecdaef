package image

import (
	"syscall"
	"unsafe"

	"pyro.local/guest/internal/at"
)

// setTimes sets the times of access and change of a name, or with none of what the descriptor is of.
func setTimes(fd int, name string, stat *syscall.Stat_t) error {
	return at.SetTimes(fd, name, stat.Atim, stat.Mtim)
}

// result turns what a raw call returns into what Go does. Linux has no second result.
func result(n, _ uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// listAttributes reads the names, each with a NUL behind it.
func listAttributes(of bearer, buffer []byte) (int, error) {
	list, size := unsafe.Pointer(&buffer[0]), uintptr(len(buffer))
	if of.path != nil {
		return result(syscall.Syscall(syscall.SYS_LLISTXATTR, uintptr(unsafe.Pointer(of.path)), uintptr(list), size))
	}
	return result(syscall.Syscall(syscall.SYS_FLISTXATTR, uintptr(of.fd), uintptr(list), size))
}

// getAttribute reads a value. The name ends with NUL.
func getAttribute(of bearer, name, value []byte) (int, error) {
	return attribute(syscall.SYS_FGETXATTR, syscall.SYS_LGETXATTR, of, name, value)
}

func setAttribute(of bearer, name, value []byte) error {
	_, err := attribute(syscall.SYS_FSETXATTR, syscall.SYS_LSETXATTR, of, name, value)
	return err
}

func attribute(byFd, byPath uintptr, of bearer, name, value []byte) (int, error) {
	p, q, size := unsafe.Pointer(&name[0]), unsafe.Pointer(unsafe.SliceData(value)), uintptr(len(value))
	if of.path != nil {
		return result(syscall.Syscall6(byPath, uintptr(unsafe.Pointer(of.path)), uintptr(p), uintptr(q), size, 0, 0))
	}
	return result(syscall.Syscall6(byFd, uintptr(of.fd), uintptr(p), uintptr(q), size, 0, 0))
}
