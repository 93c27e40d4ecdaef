package image

import (
	"syscall"
	"unsafe"
)

// What the syscall package has no name for.
const (
	oPath      = 0x200000
	atNoFollow = 0x100
)

// retry calls until no signal interrupts.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// result turns what a raw call returns into what Go does.
func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// openAt opens a name of a directory; a link is ELOOP, or ENOTDIR where a directory is asked for.
func openAt(directory int, name string, flags int, mode uint32) (int, error) {
	return retry(func() (int, error) {
		return syscall.Openat(directory, name, flags|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, mode)
	})
}

func lstat(directory int, name string, stat *syscall.Stat_t) error {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, err = retry(func() (int, error) {
		n, _, errno := syscall.Syscall6(syscall.SYS_NEWFSTATAT, uintptr(directory), uintptr(unsafe.Pointer(p)),
			uintptr(unsafe.Pointer(stat)), atNoFollow, 0, 0)
		return result(n, errno)
	})
	return err
}

// readLink returns the text of a link, which Linux bounds.
func readLink(directory int, name string) (string, error) {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return "", err
	}
	var text [4096]byte
	n, _, errno := syscall.Syscall6(syscall.SYS_READLINKAT, uintptr(directory), uintptr(unsafe.Pointer(p)),
		uintptr(unsafe.Pointer(&text)), uintptr(len(text)), 0, 0)
	if errno != 0 {
		return "", errno
	}
	return string(text[:n]), nil
}

func symlinkAt(target string, directory int, name string) error {
	p, err := syscall.BytePtrFromString(target)
	if err != nil {
		return err
	}
	q, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, err = result(first(syscall.Syscall(syscall.SYS_SYMLINKAT, uintptr(unsafe.Pointer(p)),
		uintptr(directory), uintptr(unsafe.Pointer(q)))))
	return err
}

// linkAt makes another name; if the first one names a link, for the link itself.
func linkAt(fromFd int, from string, toFd int, to string) error {
	p, err := syscall.BytePtrFromString(from)
	if err != nil {
		return err
	}
	q, err := syscall.BytePtrFromString(to)
	if err != nil {
		return err
	}
	_, err = result(first(syscall.Syscall6(syscall.SYS_LINKAT, uintptr(fromFd), uintptr(unsafe.Pointer(p)),
		uintptr(toFd), uintptr(unsafe.Pointer(q)), 0, 0)))
	return err
}

// setTimes sets the times of access and change of a name, or with none of what the descriptor is of.
func setTimes(fd int, name string, stat *syscall.Stat_t) error {
	times := [2]syscall.Timespec{stat.Atim, stat.Mtim}
	var p *byte
	var flags uintptr
	if name != "" {
		var err error
		if p, err = syscall.BytePtrFromString(name); err != nil {
			return err
		}
		flags = atNoFollow
	}
	_, err := result(first(syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(fd), uintptr(unsafe.Pointer(p)),
		uintptr(unsafe.Pointer(&times)), flags, 0, 0)))
	return err
}

// listAttributes reads the names, each with a NUL behind it.
func listAttributes(of bearer, buffer []byte) (int, error) {
	list, size := unsafe.Pointer(&buffer[0]), uintptr(len(buffer))
	if of.path != nil {
		return result(first(syscall.Syscall(syscall.SYS_LLISTXATTR, uintptr(unsafe.Pointer(of.path)), uintptr(list), size)))
	}
	return result(first(syscall.Syscall(syscall.SYS_FLISTXATTR, uintptr(of.fd), uintptr(list), size)))
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
		return result(first(syscall.Syscall6(byPath, uintptr(unsafe.Pointer(of.path)), uintptr(p), uintptr(q), size, 0, 0)))
	}
	return result(first(syscall.Syscall6(byFd, uintptr(of.fd), uintptr(p), uintptr(q), size, 0, 0)))
}

// first drops the second result of a raw call, which Linux does not have.
func first(n, _ uintptr, errno syscall.Errno) (uintptr, syscall.Errno) { return n, errno }

// writeAll writes at the offset.
func writeAll(fd int, data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := retry(func() (int, error) { return syscall.Pwrite(fd, data, offset) })
		if err != nil {
			return err
		}
		if n == 0 { // or this would go on forever
			return syscall.EIO
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}
