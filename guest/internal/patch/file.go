package patch

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// kind is what stands at a path.
type kind int

const (
	nothing kind = iota
	regular
	symlink
	directory
	other
)

// state is what stands at a path, and for files and links, what is in it: the target is the content of a link.
type state struct {
	kind    kind
	mode    uint32 // permissions
	owner   *owner // nil for whoever writes it
	content []byte
	isNew   bool // made by the patch
}

type owner struct {
	uid, gid int
}

// patchable tells that it is something patches are about.
func (s *state) patchable() bool { return s.kind == regular || s.kind == symlink }

// file is one path of the tree, before and after the patch.
type file struct {
	path   string // as a patch first named it
	parent string // its directory, "." for the top
	name   string
	before syscall.Stat_t // Mode is 0 if there was nothing
	now    state
}

func kindOf(mode uint32) kind {
	switch mode & syscall.S_IFMT {
	case 0:
		return nothing
	case syscall.S_IFREG:
		return regular
	case syscall.S_IFLNK:
		return symlink
	case syscall.S_IFDIR:
		return directory
	}
	return other
}

// status says what the patch does to the file, "" if nothing.
func (f *file) status() Status {
	before := kindOf(f.before.Mode)
	hadFile := before != nothing && before != directory
	switch {
	case !f.now.isNew:
		return ""
	case f.now.kind == nothing && !hadFile:
		return ""
	case f.now.kind == nothing:
		return Deleted
	case !hadFile:
		return Added
	}
	return Modified
}

// read returns what is on disk at the file's path, as it was before the patch.
func (f *file) read(root descriptor) (state, error) {
	s := state{kind: kindOf(f.before.Mode), mode: f.before.Mode & 0o7777}
	if !s.patchable() {
		return s, nil
	}
	s.owner = &owner{int(f.before.Uid), int(f.before.Gid)}
	parent, err := root.directory(f.parent)
	if err != nil {
		return s, failed(f.path, err)
	}
	defer parent.close()
	if s.kind == symlink {
		s.content, err = parent.readlink(f.name)
	} else {
		s.content, err = readFile(parent, f)
	}
	if err != nil {
		return s, failed(f.path, err)
	}
	return s, nil
}

var (
	errTooLarge = fmt.Errorf("the file is larger than %d bytes", MaxFile)
	errChanged  = errors.New("the file was changed while the patch was being applied")
)

func readFile(parent descriptor, f *file) ([]byte, error) {
	if f.before.Size > MaxFile {
		return nil, errTooLarge
	}
	opened, err := parent.file(f.name, syscall.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	if info, err := opened.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != f.before.Size {
		return nil, cmp.Or(err, errChanged)
	}
	content := make([]byte, f.before.Size)
	_, err = io.ReadFull(opened, content)
	return content, err
}
