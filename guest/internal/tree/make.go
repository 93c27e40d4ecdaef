package tree

import (
	"bytes"
	"io"
	"syscall"

	"pyro.local/guest/internal/at"
)

// blockSize is that of the file system: where an aligned block is all zeros, a file gets a hole.
const blockSize = 4096

var zeros [blockSize]byte

func mode(m *member) uint32 { return uint32(m.Mode) & 0o7777 }

func mtime(m *member) syscall.Timespec {
	return syscall.Timespec{Sec: m.ModTime.Unix(), Nsec: int64(m.ModTime.Nanosecond())}
}

// makeDirectory makes a directory, or gives one that is there already what the member says. A mode that would keep us
// from working in it, or be handed down to what is made in it, is put off.
func (u *unpacker) makeDirectory(parent int, name, path string, m *member) error {
	final := mode(m)
	made := final & 0o777
	later := final&syscall.S_ISGID != 0 || !u.owner && final&0o700 != 0o700
	if later {
		made = 0o700
		u.modes[path] = final
	} else {
		delete(u.modes, path)
	}
	err := at.Mkdir(parent, name, made)
	switch {
	case err == nil:
		u.madeOne(path)
	case err != syscall.EEXIST:
		return err
	default:
		var stat syscall.Stat_t
		if err := at.Lstat(parent, name, &stat); err != nil {
			return err
		}
		if kindOf(stat.Mode) != Directory {
			return syscall.EEXIST
		}
	}
	delete(u.implied, path)
	if !later && (err != nil || made&^u.umask != final) {
		if err := chmodDirectory(parent, name, final); err != nil {
			return err
		}
	}
	return setTime(parent, name, mtime(m))
}

func chmodDirectory(parent int, name string, mode uint32) error {
	fd, err := openAt(parent, name, asReader, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return at.Fchmod(fd, mode)
}

// replacing makes something, in place of an earlier member that has the name.
func (u *unpacker) replacing(parent int, name string, make func() error) error {
	err := make()
	if err != syscall.EEXIST {
		return err
	}
	if err := at.Unlink(parent, name); err != nil {
		return err
	}
	u.result.Entries--
	return make()
}

func (u *unpacker) makeSymlink(parent int, name string, m *member) error {
	err := u.replacing(parent, name, func() error { return at.Symlink(m.Linkname, parent, name) })
	if err != nil {
		return err
	}
	u.result.Entries++
	return setTime(parent, name, mtime(m))
}

// makeLink links a name to an earlier member.
func (u *unpacker) makeLink(parent int, name string, m *member) error {
	directory, target := cut(u.path(m.target))
	from, err := openAt(u.ladder.base, directory, asPath, 0)
	if err == nil {
		defer syscall.Close(from)
		var stat syscall.Stat_t
		if err = at.Lstat(from, target, &stat); err == nil && kindOf(stat.Mode) == Directory {
			err = syscall.ENOENT
		}
	}
	if gone(err) {
		return badArchive(m.Name, "%q, to which it is linked, is no earlier member", m.Linkname)
	}
	if err != nil {
		return err
	}
	if err := u.replacing(parent, name, func() error { return at.Link(from, target, parent, name) }); err != nil {
		return err
	}
	u.result.Entries++
	return nil
}

func (u *unpacker) makeFile(parent int, name string, m *member) error {
	fd, final := -1, mode(m)
	err := u.replacing(parent, name, func() (err error) {
		fd, err = openAt(parent, name, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, final&0o777)
		return err
	})
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if err := u.content(fd, m); err != nil {
		return err
	}
	u.result.Entries++
	u.result.Bytes += m.Size
	if final&0o777&^u.umask != final {
		if err := at.Fchmod(fd, final); err != nil {
			return err
		}
	}
	return setOpenTime(fd, mtime(m))
}

// content copies the bytes of a member into a file.
func (u *unpacker) content(fd int, m *member) error {
	hole := false // at the end of what was copied
	for offset := int64(0); offset < m.Size; {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		chunk := u.buffer[:min(m.Size-offset, bufferSize)]
		if _, err := io.ReadFull(u.archive.tar, chunk); err != nil {
			return u.archive.explain(m.Name, err)
		}
		var err error
		if hole, err = writeSparse(fd, chunk, offset); err != nil {
			return err
		}
		offset += int64(len(chunk))
	}
	if !hole {
		return nil
	}
	_, err := at.Retry(func() (int, error) { return 0, syscall.Ftruncate(fd, m.Size) })
	return err
}

// writeSparse writes what is not a block of zeros, and tells whether it ends with one. The offset is one of a block.
func writeSparse(fd int, data []byte, offset int64) (hole bool, err error) {
	start := 0 // of what is to be written
	for here := 0; here+blockSize <= len(data); here += blockSize {
		if !bytes.Equal(data[here:here+blockSize], zeros[:]) {
			continue
		}
		if err := at.WriteAll(fd, data[start:here], offset+int64(start)); err != nil {
			return false, err
		}
		start = here + blockSize
	}
	return start == len(data), at.WriteAll(fd, data[start:], offset+int64(start))
}
