// Package etc reads and puts in place the small files that programs of the machine look for under fixed names.
//
// Above it stand identity and netconf; below it at and the kernel. The machine's programs may have made anything of such a
// name, and none of it keeps the machine from starting: nothing here waits for somebody, or takes memory without bound.
package etc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"pyro.local/guest/internal/at"
)

// maxSize is far above what is written by hand.
const maxSize = 1 << 20

// ErrForeign says that something is no plain file of ordinary size.
var ErrForeign = errors.New("it is no plain file of up to 1 MiB")

// Read returns what a file holds. Links are followed.
func Read(path string) (string, error) {
	fd, err := at.Retry(func() (int, error) {
		return syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	})
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(fd)
	var stat syscall.Stat_t
	if err := syscall.Fstat(fd, &stat); err != nil {
		return "", &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if stat.Mode&syscall.S_IFMT != syscall.S_IFREG || stat.Size > maxSize {
		return "", &fs.PathError{Op: "read", Path: path, Err: ErrForeign}
	}
	content := make([]byte, stat.Size)
	length := 0
	for length < len(content) {
		n, err := at.Retry(func() (int, error) { return syscall.Read(fd, content[length:]) })
		if err != nil {
			return "", &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			break
		}
		length += n
	}
	return string(content[:length]), nil
}

// Replace puts a plain file in the place of whatever stands there. If it fails, that stands there still.
func Replace(path, content string, mode fs.FileMode) error {
	return replace(path, func(draft string) error {
		file, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = file.WriteString(content)
		return errors.Join(err, file.Chmod(mode), file.Close())
	})
}

// Overwrite gives a plain file that is there other content, and frees nothing that it takes: the machine's disk has no
// journal, and what is freed is gone from it at once, while a machine that is cut off leaves the file as it was.
func Overwrite(path, content string) error {
	fd, err := at.Retry(func() (int, error) {
		return syscall.Open(path, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	})
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	_, err = file.WriteAt([]byte(content), 0)
	if err == nil {
		err = file.Truncate(int64(len(content)))
	}
	return errors.Join(err, file.Close())
}

// Link puts a link in the place of whatever stands there, as Replace does a file.
func Link(path, target string) error {
	return replace(path, func(draft string) error { return os.Symlink(target, draft) })
}

// replace does it in one step, by way of a draft.
func replace(path string, write func(draft string) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	draft := path + ".pyro"
	_ = os.Remove(draft) // of a machine that was cut off
	err := write(draft)
	if err == nil {
		err = os.Rename(draft, path)
	}
	if err != nil {
		_ = os.Remove(draft)
	}
	return err
}
