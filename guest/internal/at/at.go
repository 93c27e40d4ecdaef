// Package at has the system calls that work on names in an open directory, and what goes with them: those that the
// syscall package has no names for, and all of them made again when a signal interrupts them.
//
// Above it stand tree, diff, patch, image and server, whose rules it does not know: what to follow, and what an error
// means. Below it stands nothing but the standard library. Names and paths are strings of bytes; one that holds a NUL is
// EINVAL. Errors are the syscall.Errno that the kernel gave.
package at

import (
	"syscall"
	"unsafe"
)

// What the syscall package has no name for on amd64.
const (
	sysSyncfs    = 306
	sysRenameat2 = 316
	sysOpenat2   = 437

	removeDir = 0x200 // AT_REMOVEDIR
)

// Cwd (AT_FDCWD) stands in the place of a directory for the working directory.
const Cwd = -100

// Flags: O_PATH of open(2), AT_SYMLINK_NOFOLLOW of all calls that follow a link otherwise.
const (
	OPath    = 0x200000
	NoFollow = 0x100
)

// Flags of Rename.
const (
	RenameNoReplace = 1
	RenameExchange  = 2
)

// What Open may be told about the way of a path.
const (
	ResolveNoXDev       = 0x01
	ResolveNoMagicLinks = 0x02
	ResolveNoSymlinks   = 0x04
	ResolveBeneath      = 0x08
)

// Omit is a time that SetTimes leaves as it was (UTIME_OMIT).
var Omit = syscall.Timespec{Nsec: 1<<30 - 2}

// Retry calls until no signal interrupts.
func Retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// result makes of what a raw call returns what functions do.
func result(n, _ uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// onName calls with a directory and a name in it, memory and a number.
func onName(trap uintptr, directory int, name string, memory unsafe.Pointer, number uintptr) (int, error) {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return -1, err
	}
	return Retry(func() (int, error) {
		return result(syscall.Syscall6(trap, uintptr(directory), uintptr(unsafe.Pointer(p)),
			uintptr(memory), number, 0, 0))
	})
}

// onNames calls with a directory and a name in it, twice, and flags.
func onNames(trap uintptr, fromDirectory int, from string, toDirectory int, to string, flags uintptr) error {
	p, err := syscall.BytePtrFromString(from)
	if err != nil {
		return err
	}
	q, err := syscall.BytePtrFromString(to)
	if err != nil {
		return err
	}
	_, err = Retry(func() (int, error) {
		return result(syscall.Syscall6(trap, uintptr(fromDirectory), uintptr(unsafe.Pointer(p)),
			uintptr(toDirectory), uintptr(unsafe.Pointer(q)), flags, 0))
	})
	return err
}

// openTries bounds how often Open is tried again. On ways of 2000 names, the first of which was moved out and in without a
// pause, no more than 15 answers in a row were EXDEV for that reason.
const openTries = 100

// Open opens a path, "" being the directory itself, with limits to where it may lead: openat2(2).
//
// It is tried again after EAGAIN, by which the kernel says that something was renamed while it went over "..", and after
// EXDEV, which it also says when something on the way was moved out of the directory: asked again it tells what is there
// now, and only a mount or a way that leads out stays one.
func Open(directory int, path string, flags int, mode uint32, resolve uint64) (int, error) {
	if path == "" {
		path = "."
	}
	how := struct{ flags, mode, resolve uint64 }{uint64(flags | syscall.O_CLOEXEC), uint64(mode), resolve}
	for try := 0; ; try++ {
		fd, err := onName(sysOpenat2, directory, path, unsafe.Pointer(&how), unsafe.Sizeof(how))
		if err != syscall.EAGAIN && err != syscall.EXDEV || try == openTries {
			return fd, err
		}
	}
}

// OpenName opens a name, which is ELOOP if it is a link, or ENOTDIR where a directory is asked for: openat(2).
func OpenName(directory int, name string, flags int, mode uint32) (int, error) {
	return Retry(func() (int, error) {
		return syscall.Openat(directory, name, flags|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, mode)
	})
}

// Lstat tells what a name is of, be it a link: fstatat(2).
func Lstat(directory int, name string, stat *syscall.Stat_t) error {
	_, err := onName(syscall.SYS_NEWFSTATAT, directory, name, unsafe.Pointer(stat), NoFollow)
	return err
}

// Readlink returns the target of a link, EINVAL if the name is of something else: readlinkat(2).
func Readlink(directory int, name string) (string, error) {
	var target [4096]byte // PATH_MAX: none is longer
	n, err := onName(syscall.SYS_READLINKAT, directory, name, unsafe.Pointer(&target), uintptr(len(target)))
	if err != nil {
		return "", err
	}
	return string(target[:n]), nil
}

// Mkdir makes a directory: mkdirat(2).
func Mkdir(directory int, name string, mode uint32) error {
	_, err := Retry(func() (int, error) { return 0, syscall.Mkdirat(directory, name, mode) })
	return err
}

// Symlink makes a link to a target: symlinkat(2).
func Symlink(target string, directory int, name string) error {
	p, err := syscall.BytePtrFromString(target)
	if err != nil {
		return err
	}
	q, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, err = Retry(func() (int, error) {
		return result(syscall.Syscall(syscall.SYS_SYMLINKAT, uintptr(unsafe.Pointer(p)), uintptr(directory),
			uintptr(unsafe.Pointer(q))))
	})
	return err
}

// Link makes another name of a file, of a link itself if the first one names a link: linkat(2).
func Link(fromDirectory int, from string, toDirectory int, to string) error {
	return onNames(syscall.SYS_LINKAT, fromDirectory, from, toDirectory, to, 0)
}

// Rename moves a name, as its flags say: renameat2(2).
func Rename(fromDirectory int, from string, toDirectory int, to string, flags uintptr) error {
	return onNames(sysRenameat2, fromDirectory, from, toDirectory, to, flags)
}

// Unlink removes a name of anything but a directory: unlinkat(2).
func Unlink(directory int, name string) error {
	_, err := Retry(func() (int, error) { return 0, syscall.Unlinkat(directory, name) })
	return err
}

// Rmdir removes an empty directory: unlinkat(2).
func Rmdir(directory int, name string) error {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, err = Retry(func() (int, error) {
		return result(syscall.Syscall(syscall.SYS_UNLINKAT, uintptr(directory), uintptr(unsafe.Pointer(p)), removeDir))
	})
	return err
}

// SetTimes sets the times of access and change of a name, be it of a link, or with "" of what the descriptor is of:
// utimensat(2).
func SetTimes(fd int, name string, access, change syscall.Timespec) error {
	times := [2]syscall.Timespec{access, change}
	if name != "" {
		_, err := onName(syscall.SYS_UTIMENSAT, fd, name, unsafe.Pointer(&times), NoFollow)
		return err
	}
	_, err := Retry(func() (int, error) {
		return result(syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0))
	})
	return err
}
