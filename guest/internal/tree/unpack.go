package tree

import (
	"archive/tar"
	"context"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"pyro.local/guest/internal/at"
)

// unpacker makes in a staging directory what an archive holds. Nothing but members of the archive is there, so that
// what a hard link leads to is one of them, and what lies on the way of a member and is no directory is another one.
type unpacker struct {
	ctx     context.Context
	root    *Root
	archive *archive
	ladder  *ladder
	prefix  string            // path of what the members lie in, below the staged tree
	made    int               // entries, those skipped and directories that are only implied too
	implied map[string]bool   // paths of directories that no member speaks of, so far
	modes   map[string]uint32 // of directories, which would be in the way until all is unpacked
	top     *syscall.Timespec // of the staged tree itself, if a member speaks of it
	umask   uint32
	owner   bool // the process may write whatever the modes say
	buffer  []byte
	result  *Result
}

// unpack reads an archive to its end, into the directory at prefix below the staged tree.
func (s *staging) unpack(ctx context.Context, prefix string, in *archive, result *Result) (map[string]bool, error) {
	var stat syscall.Stat_t
	if err := at.Fstat(s.tree, &stat); err != nil {
		return nil, failed("stat", "", err)
	}
	u := &unpacker{
		ctx:     ctx,
		root:    s.root,
		archive: in,
		ladder:  &ladder{base: s.tree},
		prefix:  prefix,
		implied: map[string]bool{"": true},
		modes:   map[string]uint32{},
		umask:   ^stat.Mode & 0o777, // the tree was made with all bits
		owner:   os.Geteuid() == 0,
		buffer:  make([]byte, bufferSize),
		result:  result,
	}
	defer u.ladder.close()
	if _, err := u.directory(prefix); err != nil {
		return nil, err
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := in.next()
		if err == io.EOF {
			return u.implied, u.finish()
		}
		if err == nil {
			err = u.member(m)
		}
		if err != nil {
			return nil, err
		}
	}
}

// finish gives the directories the modes that would have been in the way, the inner ones first.
func (u *unpacker) finish() error {
	if err := u.ladder.descend(0); err != nil {
		return failed("write", u.prefix, err)
	}
	if u.top != nil {
		if err := setOpenTime(u.ladder.base, *u.top); err != nil {
			return failed("write", u.prefix, err)
		}
	}
	for _, path := range slices.Backward(slices.Sorted(maps.Keys(u.modes))) {
		fd, err := openAt(u.ladder.base, path, asReader, 0)
		if err != nil {
			return failed("open", path, err)
		}
		err = at.Fchmod(fd, u.modes[path])
		syscall.Close(fd)
		if err != nil {
			return failed("chmod", path, err)
		}
	}
	return nil
}

// directory returns a descriptor of a directory of the staged tree, which stays the ladder's. Those that are missing on
// the way to it are made: an archive need not name them.
func (u *unpacker) directory(path string) (int, error) {
	names := split(path)
	l := u.ladder
	if err := l.descend(l.common(names)); err != nil {
		return -1, err
	}
	for i := len(l.rungs); i < len(names); i++ {
		err := l.climb(names[i])
		if err == syscall.ENOENT {
			missing := strings.Join(names[:i+1], "/")
			if err := u.count(missing); err != nil {
				return -1, err
			}
			if err = at.Mkdir(l.fd(), names[i], 0o755); err == nil {
				u.implied[missing] = true
				l.touched()
				u.madeOne(missing)
				if err = l.climb(names[i]); err == nil && u.umask&0o755 != 0 {
					err = at.Fchmod(l.fd(), 0o755)
				}
			}
		}
		if err != nil {
			return -1, err
		}
	}
	return l.fd(), nil
}

func (u *unpacker) count(path string) error {
	if u.made++; u.made > u.root.limit {
		return refuse(TooManyEntries, path, "there are too many entries")
	}
	return nil
}

// member makes one entry.
func (u *unpacker) member(m *member) error {
	if err := u.root.step("member"); err != nil {
		return err
	}
	if err := u.count(m.path); err != nil {
		return err
	}
	switch m.Typeflag {
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		u.result.skip(m.path)
		return nil
	}
	path := u.path(m.path)
	if path == "" {
		when := mtime(m)
		u.top, u.modes[""] = &when, mode(m)
		delete(u.implied, "")
		return nil
	}
	directory, name := cut(path)
	parent, err := u.directory(directory)
	if err != nil {
		return u.explain(m, err)
	}
	u.ladder.touched()
	switch m.Typeflag {
	case tar.TypeDir:
		err = u.makeDirectory(parent, name, path, m)
	case tar.TypeLink:
		err = u.makeLink(parent, name, m)
	case tar.TypeSymlink:
		err = u.makeSymlink(parent, name, m)
	default:
		err = u.makeFile(parent, name, m)
	}
	return u.explain(m, err)
}

// madeOne counts what was made, but for the directory that is unpacked into.
func (u *unpacker) madeOne(path string) {
	if len(path) > len(u.prefix) {
		u.result.Entries++
	}
}

// path is that of a member below the staged tree.
func (u *unpacker) path(member string) string {
	if member == "" {
		return u.prefix
	}
	return join(u.prefix, member)
}

// explain tells what the archive is to blame for from what the machine is.
func (u *unpacker) explain(m *member, err error) error {
	switch err {
	case nil:
		return nil
	case syscall.ENOTDIR, syscall.ELOOP:
		return badArchive(m.Name, "it lies below a member that is no directory")
	case syscall.EEXIST, syscall.EISDIR:
		return badArchive(m.Name, "a member of another type has that name")
	}
	if errno, ok := err.(syscall.Errno); ok {
		return failed("unpack", m.path, errno)
	}
	return err
}
