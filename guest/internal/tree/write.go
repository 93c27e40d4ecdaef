package tree

import (
	"syscall"

	"pyro.local/guest/internal/at"
)

// Write makes data the whole content of a file, at once: a reader sees the old content or the new one, also after the
// machine has died. An existing file keeps mode and owner, but not what else had been linked to it; a new one has
// 0644. Directories on the way are made, 0755. It tells whether there was no file before.
func (r *Root) Write(path string, data []byte) (created bool, err error) {
	at, err := r.find(path)
	if err != nil {
		return false, err
	}
	defer at.close()
	if at.missing == nil && at.kind() == Directory {
		return false, refuse(IsADirectory, path, "is a directory")
	}
	if at.missing == nil && at.kind() != File {
		return false, wanted(syscall.EINVAL, path, at.kind())
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	before, err := r.enterTop()
	if err != nil {
		return false, err
	}
	defer r.leaveTop()
	if err := r.replace(at, stagingName(formatTime(before), stagingID()), data); err != nil {
		return false, failed("write", path, err)
	}
	return at.missing != nil, nil
}

// replace writes the content aside, at the top, where Recover finds it, and moves it into place.
func (r *Root) replace(to *place, staged string, data []byte) error {
	err := r.stageFile(r.fd, staged, to, data)
	if err == nil {
		err = r.step("write")
	}
	if err == nil {
		flags := uintptr(0)
		if to.missing != nil {
			flags = at.RenameNoReplace
		}
		err = at.Rename(r.fd, staged, to.parent, to.name, flags)
	}
	if err != nil {
		_ = r.erase(r.fd, staged)
		return err
	}
	if to.directory == "" {
		r.changeTop(nil)
	}
	return nil
}

// stageFile makes the file, within the directories that are missing, under another name for the first of these.
func (r *Root) stageFile(directory int, name string, to *place, data []byte) error {
	for i := 1; i < len(to.missing); i++ {
		if err := at.Mkdir(directory, name, 0o700); err != nil {
			return err
		}
		inner, err := openAt(directory, name, asReader, 0)
		if err != nil {
			return err
		}
		defer syscall.Close(inner)
		if err := disinherit(inner, 0o755); err != nil {
			return err
		}
		directory, name = inner, to.missing[i]
	}
	fd, err := openAt(directory, name, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return fill(fd, to, data)
}

// fill gives a new file what it shall have.
func fill(fd int, to *place, data []byte) error {
	if err := at.WriteAll(fd, data, 0); err != nil {
		return err
	}
	mode := uint32(0o644)
	if to.missing == nil {
		mode = to.stat.Mode & 0o7777
	}
	if err := disinherit(fd, mode); err != nil {
		return err
	}
	if to.missing == nil && (int(to.stat.Uid) != syscall.Geteuid() || int(to.stat.Gid) != syscall.Getegid()) {
		if err := syscall.Fchown(fd, int(to.stat.Uid), int(to.stat.Gid)); err != nil {
			return err
		}
		if err := at.Fchmod(fd, mode); err != nil { // a change of owner takes setuid away
			return err
		}
	}
	_, err := at.Retry(func() (int, error) { return 0, syscall.Fsync(fd) })
	return err
}
