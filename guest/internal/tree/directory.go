package tree

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"syscall"

	"pyro.local/guest/internal/at"
)

// named is one name of a directory.
type named struct {
	name string
	kind Kind
}

// readNames calls for every name of the directory, without its own and its parent's. A name may come twice, or not at
// all, if it is made or taken away meanwhile.
func readNames(fd int, buffer []byte, each func(named) error) error {
	for {
		n, err := at.Retry(func() (int, error) { return syscall.ReadDirent(fd, buffer) })
		if err != nil || n == 0 {
			return err
		}
		for rest := buffer[:n]; len(rest) > 0; { // struct linux_dirent64
			length := binary.LittleEndian.Uint16(rest[16:])
			name := rest[19:length]
			name = name[:bytes.IndexByte(name, 0)]
			kind := uint32(rest[18]) << 12 // DT_* are the type bits of a mode
			rest = rest[length:]
			if string(name) == "." || string(name) == ".." {
				continue
			}
			entry := named{string(name), kindOf(kind)}
			if kind == 0 { // this file system does not say
				var stat syscall.Stat_t
				if err := at.Lstat(fd, entry.name, &stat); gone(err) {
					continue
				} else if err != nil {
					return err
				}
				entry.kind = kindOf(stat.Mode)
			}
			if err := each(entry); err != nil {
				return err
			}
		}
	}
}

// walk goes through a tree.
type walk struct {
	ctx       context.Context
	recursive bool
	hide      bool // this package's own names, at the level it begins at
	left      int  // entries that there may still be
	buffer    []byte
	visit     func(directory int, path string, entry named) error
	foreign   func(path string) // told of directories that are not entered, being mount points
}

// newWalk prepares to walk below the directory of a descriptor.
func (r *Root) newWalk(ctx context.Context, fd int, recursive bool) (*walk, error) {
	var start, top syscall.Stat_t
	if err := errors.Join(at.Fstat(fd, &start), at.Fstat(r.fd, &top)); err != nil {
		return nil, failed("stat", "", err)
	}
	return &walk{
		ctx:       ctx,
		recursive: recursive,
		hide:      start.Ino == top.Ino && start.Dev == top.Dev,
		left:      r.limit,
		buffer:    make([]byte, bufferSize),
		foreign:   func(string) {},
	}, nil
}

// below visits what lies in the directory, in the order of the bytes of the paths, so each directory before its
// contents. Path is that of the directory and stands before the names.
func (w *walk) below(fd int, path string, depth int) error {
	entries, err := w.read(fd, path, depth)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		name, inner := strings.CutSuffix(entry.name, "/")
		if inner {
			err = w.enter(fd, join(path, name), name, depth+1)
		} else {
			err = w.visit(fd, join(path, name), entry)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read returns the names, sorted. A directory that is to be entered comes a second time, with a slash behind it: that
// is where its contents stand among its siblings when paths are compared ("a" < "a.b" < "a/c").
func (w *walk) read(fd int, path string, depth int) (entries []named, err error) {
	err = readNames(fd, w.buffer, func(entry named) error {
		if w.hide && depth == 0 && strings.HasPrefix(entry.name, StagingPrefix) {
			return nil
		}
		if w.left--; w.left < 0 {
			return refuse(TooManyEntries, path, "there are too many entries")
		}
		entries = append(entries, entry)
		if entry.kind == Directory && w.recursive {
			entries = append(entries, named{entry.name + "/", Directory})
		}
		return nil
	})
	if err != nil {
		return nil, failed("read", path, err)
	}
	slices.SortFunc(entries, func(a, b named) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(entries, func(a, b named) bool { return a.name == b.name }), nil
}

// enter walks below a directory, if it still is one.
func (w *walk) enter(parent int, path, name string, depth int) error {
	if depth > maxNesting {
		return refuse(TooManyEntries, path, "more than %d directories lie within each other", maxNesting)
	}
	fd, err := openAt(parent, name, asReader, 0)
	switch {
	case gone(err):
		return nil
	case err == syscall.EXDEV:
		w.foreign(path)
		return nil
	case err != nil:
		return failed("open", path, err)
	}
	defer syscall.Close(fd)
	return w.below(fd, path, depth)
}
