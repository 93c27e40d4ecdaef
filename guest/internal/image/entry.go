package image

import (
	"errors"
	"syscall"

	"pyro.local/guest/internal/at"
)

// plain copies anything but a directory; directory tells that it is one and nothing was done. Kind is what the parent
// says of it, a DT_* number, which may be 0.
func (c *copier) plain(d pair, name string, kind byte) (directory bool, err error) {
	if kind == syscall.DT_DIR {
		return true, nil
	}
	if err := c.ctx.Err(); err != nil {
		return false, err
	}
	var stat syscall.Stat_t
	if err := at.Lstat(d.from, name, &stat); err != nil {
		return false, failed("stat", &place{d.at, name}, err)
	}
	switch stat.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		return true, nil
	case syscall.S_IFSOCK:
		c.skip(&place{d.at, name})
		return false, nil
	}
	if stat.Nlink < 2 {
		err = c.single(d, name, &stat)
	} else if first, made := c.original[identify(&stat)]; !made {
		c.original[identify(&stat)] = original{d.at, name}
		err = c.single(d, name, &stat)
	} else if err = c.again(first, d, name); err != nil {
		err = failed("link", &place{d.at, name}, err)
	}
	if err == nil {
		c.result.Entries++
	}
	return false, err
}

// single copies a name as the first of what it names.
func (c *copier) single(d pair, name string, stat *syscall.Stat_t) (err error) {
	here := &place{d.at, name}
	switch stat.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return c.file(d, name, stat)
	case syscall.S_IFLNK:
		target, err := at.Readlink(d.from, name)
		if err != nil {
			return failed("read", here, err)
		}
		if err := at.Symlink(target, d.to, name); err != nil {
			return failed("make", here, err)
		}
	default: // the encoding of a device's numbers in stat is that of mknod, as far as Linux has them
		if err := syscall.Mknodat(d.to, name, stat.Mode&syscall.S_IFMT|0o600, int(stat.Rdev)); err != nil {
			return failed("make", here, err)
		}
	}
	return c.finishName(d, name, stat)
}

// file copies a file. It is opened so that nothing waits, should it be something else after all.
func (c *copier) file(d pair, name string, stat *syscall.Stat_t) error {
	here := &place{d.at, name}
	from, err := at.OpenName(d.from, name, syscall.O_RDONLY|syscall.O_NONBLOCK|c.noAtime, 0)
	if err != nil {
		return failed("open", here, err)
	}
	defer syscall.Close(from)
	to, err := at.OpenName(d.to, name, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, 0o600)
	if err != nil {
		return failed("make", here, err)
	}
	defer syscall.Close(to)
	if stat.Dev != d.device { // mounted on a name, or of a layer of an overlay without xino
		if left, err := c.left(from, stat, d.device); err != nil {
			return failed("stat", here, err)
		} else if left {
			return c.settle(to, stat, here)
		}
	}
	if err := c.contents(from, to, stat); err != nil {
		return failed("copy", here, err)
	}
	c.result.Bytes += stat.Size
	return c.finish(from, to, stat, here)
}

// contents copies what is in a file, leaving holes where it has any.
func (c *copier) contents(from, to int, stat *syscall.Stat_t) error {
	const block = 4096
	if stat.Size <= block && stat.Blocks > 0 { // most files; there is nothing to be gained by asking
		return c.stretch(from, to, 0, stat.Size)
	}
	var end int64
	for end < stat.Size {
		start, stop, err := data(from, end, stat.Size)
		if err != nil {
			return err
		}
		if start == stat.Size {
			return syscall.Ftruncate(to, start)
		}
		if err := c.stretch(from, to, start, stop); err != nil {
			return err
		}
		end = stop
	}
	return nil
}

// data finds the next stretch of data. There is none if start is size.
func data(fd int, offset, size int64) (start, stop int64, err error) {
	const seekData, seekHole = 3, 4
	start, err = syscall.Seek(fd, offset, seekData)
	switch {
	case err == syscall.ENXIO:
		return size, size, nil
	case err == syscall.EINVAL: // a file system that does not know of holes
		return offset, size, nil
	case err != nil:
		return 0, 0, err
	}
	if start = min(start, size); start == size {
		return size, size, nil
	}
	stop, err = syscall.Seek(fd, start, seekHole)
	if err == nil && stop <= start {
		err = errors.New("the file system says that data ends before it begins")
	}
	return start, min(stop, size), err
}

// stretch copies the bytes between two offsets. The file must have them.
func (c *copier) stretch(from, to int, offset, stop int64) error {
	for offset < stop {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		part := c.content[:min(stop-offset, int64(len(c.content)))]
		n, err := at.Retry(func() (int, error) { return syscall.Pread(from, part, offset) })
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("the file ends before its size")
		}
		if err := at.WriteAll(to, part[:n], offset); err != nil {
			return err
		}
		offset += int64(n)
	}
	return nil
}
