package tree

import (
	"context"
	"strings"
	"syscall"

	"pyro.local/guest/internal/at"
)

// Entry is one line of a listing.
type Entry struct {
	Path   string
	Type   Kind
	Size   int64  // bytes, of files
	Target string // text of symbolic links
}

// List emits what lies in the directory at path, all that lies below it if recursive, sorted by the bytes of the paths.
// The paths begin with the one given. Links below are not followed. Of anything but a directory there is one entry.
func (r *Root) List(ctx context.Context, path string, recursive bool, emit func(Entry) error) error {
	at, err := r.findThing(path)
	if err != nil {
		return err
	}
	defer at.close()
	prefix := clean(path)
	if at.kind() != Directory {
		entry, err := describe(at.parent, prefix, named{at.name, at.kind()})
		if err != nil {
			return failed("stat", prefix, err)
		}
		return emit(entry)
	}
	fd, err := openAt(at.parent, at.name, asReader, 0)
	if err != nil {
		return failed("open", prefix, err)
	}
	defer syscall.Close(fd)
	w, err := r.newWalk(ctx, fd, recursive)
	if err != nil {
		return err
	}
	w.visit = func(directory int, path string, found named) error {
		entry, err := describe(directory, path, found)
		if gone(err) {
			return nil
		} else if err != nil {
			return failed("stat", path, err)
		}
		return emit(entry)
	}
	return w.below(fd, prefix, 0)
}

// describe looks closer at a name where its kind alone does not say all.
func describe(directory int, path string, found named) (entry Entry, err error) {
	for range resolveTries {
		entry = Entry{Path: path, Type: found.kind}
		switch found.kind {
		case File:
			var stat syscall.Stat_t
			err = at.Lstat(directory, found.name, &stat)
			found.kind = kindOf(stat.Mode)
			entry.Size = stat.Size
		case Symlink:
			if entry.Target, err = at.Readlink(directory, found.name); err == syscall.EINVAL {
				found.kind, err = File, nil // or something else by now: lstat will tell
			}
		}
		if err != nil || found.kind == entry.Type {
			return entry, err
		}
	}
	return entry, syscall.ENOENT // whatever it is, it is gone again
}

// Usage counts the entries below the root and adds up the sizes of the files, each name of a hard link by itself.
func (r *Root) Usage(ctx context.Context) (entries, bytes int64, err error) {
	fd, err := openAt(r.fd, "", asReader, 0) // a descriptor of its own, for the position in it
	if err != nil {
		return 0, 0, failed("open", "", err)
	}
	defer syscall.Close(fd)
	w, err := r.newWalk(ctx, fd, true)
	if err != nil {
		return 0, 0, err
	}
	w.visit = func(directory int, path string, found named) error {
		entries++
		if found.kind != File {
			return nil
		}
		var stat syscall.Stat_t
		if err := at.Lstat(directory, found.name, &stat); err == nil {
			bytes += stat.Size
		} else if !gone(err) {
			return failed("stat", path, err)
		}
		return nil
	}
	err = w.below(fd, "", 0)
	return entries, bytes, err
}

// clean writes a path without empty components and ".".
func clean(path string) string { return strings.Join(split(path), "/") }
