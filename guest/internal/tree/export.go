package tree

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"pyro.local/guest/internal/at"
)

// Export writes a tar stream (PAX) of what is at path. Names are relative to it, it itself comes first and is ".";
// then all below it in the order of the bytes of the paths. Of names linked to one file all but the first are links to
// the first; links that lead out of what is exported are not known as such. Sockets, FIFOs and devices are left out,
// and what is mounted below. A file that grows is cut at the size it had, one that shrinks meanwhile ends the export
// with FileChanged: what was written until then is of no use.
func (r *Root) Export(ctx context.Context, path string, out io.Writer) (result Result, err error) {
	result.Path = clean(path)
	at, err := r.findEntry(path)
	if err != nil {
		return result, err
	}
	defer at.close()
	if result.Type = at.kind(); result.Type == Other {
		return result, wanted(syscall.EINVAL, path, Other)
	}
	buffered := bufio.NewWriterSize(out, bufferSize)
	e := &exporter{
		root:   r,
		ctx:    ctx,
		tar:    tar.NewWriter(buffered),
		result: &result,
		buffer: make([]byte, bufferSize),
		seen:   map[identity]string{},
	}
	if err := e.run(at); err != nil {
		return result, err
	}
	return result, errors.Join(e.tar.Close(), buffered.Flush())
}

// identity is the same for all names of a file.
type identity struct{ device, inode uint64 }

type exporter struct {
	root   *Root
	ctx    context.Context
	tar    *tar.Writer
	result *Result
	buffer []byte
	seen   map[identity]string // first names of what has several
}

// run packs the thing itself and, if it is a directory, what lies below.
func (e *exporter) run(at *place) error {
	if at.kind() != Directory {
		e.result.Entries = 1
		packed, err := e.pack(at.parent, at.name, ".", at.kind())
		if err == nil && !packed {
			err = refuse(FileChanged, at.path(), "is not what it was")
		}
		return err
	}
	fd, err := openAt(at.parent, at.name, asReader, 0)
	if err != nil {
		return failed("open", at.path(), err)
	}
	defer syscall.Close(fd)
	if _, err := e.pack(fd, ".", ".", Directory); err != nil {
		return err
	}
	w, err := e.root.newWalk(e.ctx, fd, true)
	if err != nil {
		return err
	}
	w.foreign = e.result.skip
	w.visit = func(directory int, path string, found named) error {
		packed, err := e.pack(directory, found.name, path, found.kind)
		if packed {
			e.result.Entries++
		}
		return err
	}
	return w.below(fd, "", 0)
}

// pack writes one member. It does not for what has vanished or is left out.
func (e *exporter) pack(directory int, name, path string, kind Kind) (packed bool, err error) {
	for range resolveTries {
		switch kind {
		case File:
			packed, err = e.packFile(directory, name, path)
		case Other:
			e.result.skip(path)
			return false, nil
		default:
			packed, err = e.packPlain(directory, name, path, kind)
		}
		if err != errOtherKind {
			return packed, err
		}
		var stat syscall.Stat_t
		if err := at.Lstat(directory, name, &stat); gone(err) {
			return false, nil
		} else if err != nil {
			return false, failed("stat", path, err)
		}
		kind = kindOf(stat.Mode)
	}
	return false, refuse(FileChanged, path, "keeps changing its type")
}

// errOtherKind says that something is not, or no longer, of the kind it was taken for.
var errOtherKind = errors.New("another kind")

// packPlain writes what has no content: a directory or a link.
func (e *exporter) packPlain(directory int, name, path string, kind Kind) (bool, error) {
	var stat syscall.Stat_t
	if err := at.Lstat(directory, name, &stat); err == syscall.ENOENT {
		return false, nil
	} else if err != nil {
		return false, failed("stat", path, err)
	}
	if kindOf(stat.Mode) != kind {
		return false, errOtherKind
	}
	if kind == Directory {
		return e.header(path, tar.TypeDir, "", &stat)
	}
	target, err := at.Readlink(directory, name)
	switch {
	case err == syscall.EINVAL:
		return false, errOtherKind
	case err == syscall.ENOENT:
		return false, nil
	case err != nil:
		return false, failed("read", path, err)
	}
	if first, linked := e.linked(path, &stat); linked {
		return e.header(path, tar.TypeLink, first, &stat)
	}
	return e.header(path, tar.TypeSymlink, target, &stat)
}

// packFile writes a file with its content, or a link to it if it was written under another name.
func (e *exporter) packFile(directory int, name, path string) (bool, error) {
	fd, stat, err := e.root.openFile(directory, name, &syscall.Stat_t{Mode: syscall.S_IFREG})
	switch {
	case err == syscall.ENOENT:
		return false, nil
	case err == syscall.EINVAL, err == syscall.ELOOP, err == syscall.ENXIO:
		return false, errOtherKind
	case err == syscall.EXDEV: // something is mounted on it
		e.result.skip(path)
		return false, nil
	case err != nil:
		return false, failed("open", path, err)
	}
	defer syscall.Close(fd)
	if first, linked := e.linked(path, stat); linked {
		return e.header(path, tar.TypeLink, first, stat)
	}
	if _, err := e.header(path, tar.TypeReg, "", stat); err != nil {
		return false, err
	}
	e.result.Bytes += stat.Size
	return true, e.content(fd, path, stat.Size)
}

// linked returns the name that the same file was written under before, and remembers the first.
func (e *exporter) linked(path string, stat *syscall.Stat_t) (first string, linked bool) {
	if stat.Nlink < 2 {
		return "", false
	}
	same := identity{stat.Dev, stat.Ino}
	if first, linked = e.seen[same]; !linked {
		e.seen[same] = path
	}
	return first, linked
}

func (e *exporter) header(path string, kind byte, target string, stat *syscall.Stat_t) (bool, error) {
	header := &tar.Header{
		Typeflag: kind,
		Name:     path,
		Linkname: target,
		Mode:     int64(stat.Mode & 0o7777),
		ModTime:  time.Unix(stat.Mtim.Unix()),
		Format:   tar.FormatPAX,
	}
	if kind == tar.TypeReg {
		header.Size = stat.Size
	}
	err := e.tar.WriteHeader(header)
	return err == nil, err
}

// content copies exactly so many bytes.
func (e *exporter) content(fd int, path string, size int64) error {
	for size > 0 {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		n, err := at.ReadFull(fd, e.buffer[:min(size, int64(len(e.buffer)))])
		if err != nil {
			return failed("read", path, err)
		}
		if n == 0 {
			return refuse(FileChanged, path, "has shrunk while it was read")
		}
		if _, err := e.tar.Write(e.buffer[:n]); err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}
