package tree

import (
	"errors"
	"syscall"
	"unsafe"
)

// What the syscall package has no name for on amd64.
const (
	sysSyncfs    = 306
	sysRenameat2 = 316
	sysOpenat2   = 437

	oPath           = 0x200000
	atNoFollow      = 0x100
	atRemoveDir     = 0x200
	utimeOmit       = 1<<30 - 2
	renameNoReplace = 1
	renameExchange  = 2

	resolveStay = 0x01 | 0x02 | 0x04 | 0x08 // NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH
)

// resolveTries bounds how often a lookup that raced with a rename is tried again.
const resolveTries = 100

// retry calls until no signal interrupts.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// atName calls with a descriptor, a name and a number.
func atName(trap uintptr, fd int, name string, number uintptr) error {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, err = retry(func() (int, error) {
		_, _, errno := syscall.Syscall(trap, uintptr(fd), uintptr(unsafe.Pointer(p)), number)
		return 0, result(errno)
	})
	return err
}

// atStruct calls with a descriptor, a name, a structure and flags.
func atStruct(trap uintptr, fd int, name string, structure unsafe.Pointer, flags uintptr) error {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, err = retry(func() (int, error) {
		_, _, errno := syscall.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(p)), uintptr(structure), flags, 0, 0)
		return 0, result(errno)
	})
	return err
}

// atNames calls with a descriptor and a name, twice, and flags.
func atNames(trap uintptr, fromFd int, from string, toFd int, to string, flags uintptr) error {
	p, err := syscall.BytePtrFromString(from)
	if err != nil {
		return err
	}
	q, err := syscall.BytePtrFromString(to)
	if err != nil {
		return err
	}
	_, err = retry(func() (int, error) {
		_, _, errno := syscall.Syscall6(trap, uintptr(fromFd), uintptr(unsafe.Pointer(p)),
			uintptr(toFd), uintptr(unsafe.Pointer(q)), flags, 0)
		return 0, result(errno)
	})
	return err
}

func result(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// openAt opens a path beneath a directory. Any symbolic link on it is ELOOP, any mount point EXDEV.
func openAt(directory int, path string, flags int, mode uint32) (int, error) {
	if path == "" {
		path = "."
	}
	p, err := syscall.BytePtrFromString(path)
	if err != nil {
		return -1, err
	}
	how := struct{ flags, mode, resolve uint64 }{uint64(flags | syscall.O_CLOEXEC), uint64(mode), resolveStay}
	for try := 0; ; try++ {
		fd, err := retry(func() (int, error) {
			fd, _, errno := syscall.Syscall6(sysOpenat2, uintptr(directory), uintptr(unsafe.Pointer(p)),
				uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
			return int(fd), result(errno)
		})
		if err == nil {
			return fd, nil
		}
		if err != syscall.EAGAIN || try == resolveTries {
			return -1, err
		}
	}
}

const (
	asPath   = oPath | syscall.O_DIRECTORY
	asReader = syscall.O_RDONLY | syscall.O_DIRECTORY
)

func lstat(directory int, name string, stat *syscall.Stat_t) error {
	return atStruct(syscall.SYS_NEWFSTATAT, directory, name, unsafe.Pointer(stat), atNoFollow)
}

func fstat(fd int, stat *syscall.Stat_t) error {
	_, err := retry(func() (int, error) { return 0, syscall.Fstat(fd, stat) })
	return err
}

// readLink returns the text of a link, or EINVAL if the name is none.
func readLink(directory int, name string) (string, error) {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return "", err
	}
	var text [maxPath]byte
	n, err := retry(func() (int, error) {
		n, _, errno := syscall.Syscall6(syscall.SYS_READLINKAT, uintptr(directory), uintptr(unsafe.Pointer(p)),
			uintptr(unsafe.Pointer(&text)), uintptr(len(text)), 0, 0)
		return int(n), result(errno)
	})
	if err != nil {
		return "", err
	}
	return string(text[:n]), nil
}

func mkdirAt(directory int, name string, mode uint32) error {
	return atName(syscall.SYS_MKDIRAT, directory, name, uintptr(mode))
}

func unlinkAt(directory int, name string) error {
	return atName(syscall.SYS_UNLINKAT, directory, name, 0)
}

func rmdirAt(directory int, name string) error {
	return atName(syscall.SYS_UNLINKAT, directory, name, atRemoveDir)
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
	_, err = retry(func() (int, error) {
		_, _, errno := syscall.Syscall(syscall.SYS_SYMLINKAT, uintptr(unsafe.Pointer(p)),
			uintptr(directory), uintptr(unsafe.Pointer(q)))
		return 0, result(errno)
	})
	return err
}

func linkAt(fromFd int, from string, toFd int, to string) error {
	return atNames(syscall.SYS_LINKAT, fromFd, from, toFd, to, 0)
}

func renameAt(fromFd int, from string, toFd int, to string, flags uintptr) error {
	return atNames(sysRenameat2, fromFd, from, toFd, to, flags)
}

// setTime sets the time of last change of a name; what it links to is left alone.
func setTime(directory int, name string, mtime syscall.Timespec) error {
	times := [2]syscall.Timespec{{Nsec: utimeOmit}, mtime}
	return atStruct(syscall.SYS_UTIMENSAT, directory, name, unsafe.Pointer(&times), atNoFollow)
}

// setOpenTime sets the time of last change of what the descriptor is of.
func setOpenTime(fd int, mtime syscall.Timespec) error {
	times := [2]syscall.Timespec{{Nsec: utimeOmit}, mtime}
	_, err := retry(func() (int, error) {
		_, _, errno := syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
		return 0, result(errno)
	})
	return err
}

func chmodOpen(fd int, mode uint32) error {
	_, err := retry(func() (int, error) { return 0, syscall.Fchmod(fd, mode) })
	return err
}

func syncFileSystem(fd int) error {
	_, err := retry(func() (int, error) {
		_, _, errno := syscall.Syscall(sysSyncfs, uintptr(fd), 0, 0)
		return 0, result(errno)
	})
	return err
}

// dropACL takes from a directory what it would hand down to all that is made in it.
func dropACL(fd int) error {
	for _, name := range []string{"system.posix_acl_default\x00", "system.posix_acl_access\x00"} {
		p := unsafe.StringData(name)
		_, _, errno := syscall.Syscall(syscall.SYS_FREMOVEXATTR, uintptr(fd), uintptr(unsafe.Pointer(p)), 0)
		if errno != 0 && errno != syscall.ENODATA && errno != syscall.EOPNOTSUPP {
			return errno
		}
	}
	return nil
}

// writeAll writes at the offset.
func writeAll(fd int, data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := retry(func() (int, error) { return syscall.Pwrite(fd, data, offset) })
		if err != nil {
			return err
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

// readFull reads on until the buffer is full or the file ends; n is less than len(buffer) only then.
func readFull(fd int, buffer []byte) (n int, err error) {
	for n < len(buffer) {
		got, err := retry(func() (int, error) { return syscall.Read(fd, buffer[n:]) })
		if err != nil || got == 0 {
			return n, err
		}
		n += got
	}
	return n, nil
}

// gone tells whether a name vanished, or what it was became something else, since it was looked at.
func gone(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// kindOf reads the type bits of a mode.
func kindOf(mode uint32) Kind {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return File
	case syscall.S_IFDIR:
		return Directory
	case syscall.S_IFLNK:
		return Symlink
	}
	return Other
}
