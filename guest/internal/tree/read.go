package tree

import (
	"syscall"

	"pyro.local/guest/internal/at"
)

// Read returns the first limit bytes of a file, and its size. What a link leads to is read if it is inside.
func (r *Root) Read(path string, limit int64) (data []byte, size int64, err error) {
	found, err := r.find(path)
	if err != nil {
		return nil, 0, err
	}
	defer found.close()
	if found.missing != nil {
		return nil, 0, refuse(PathNotFound, path, "does not exist")
	}
	fd, stat, err := r.openFile(found.parent, found.name, &found.stat)
	if err != nil {
		return nil, 0, wanted(err, path, found.kind())
	}
	defer syscall.Close(fd)
	data = make([]byte, min(max(limit, 0), stat.Size+1)) // one more, so that growth since is seen
	n, err := at.ReadFull(fd, data)
	if err != nil {
		return nil, 0, failed("read", path, err)
	}
	if int64(n) < min(limit, stat.Size) {
		return data[:n], int64(n), nil // it has shrunk
	}
	return data[:n], max(stat.Size, int64(n)), nil
}

// openFile opens a file that was just looked at, without waiting for anyone, and looks again. Anything else is EINVAL:
// to open a device may already do something.
func (r *Root) openFile(parent int, name string, seen *syscall.Stat_t) (int, *syscall.Stat_t, error) {
	if kindOf(seen.Mode) != File {
		return -1, nil, syscall.EINVAL
	}
	const flags = syscall.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY
	fd, err := openAt(parent, name, flags|r.noAtime, 0)
	if err == syscall.EPERM && r.noAtime != 0 { // in a user namespace: a file of someone unknown there
		fd, err = openAt(parent, name, flags, 0)
	}
	if err != nil {
		return -1, nil, err
	}
	var stat syscall.Stat_t
	if err := at.Fstat(fd, &stat); err != nil {
		syscall.Close(fd)
		return -1, nil, err
	}
	if kindOf(stat.Mode) != File {
		syscall.Close(fd)
		return -1, nil, syscall.EINVAL
	}
	return fd, &stat, nil
}

// wanted explains why openFile has failed.
func wanted(err error, path string, kind Kind) error {
	if err != syscall.EINVAL {
		return failed("open", path, err)
	}
	e := refuse(NotAFile, path, "is no file but of type %s", kind)
	e.Details["type"] = string(kind)
	return e
}
