package tree

import (
	"errors"
	"strings"
	"syscall"

	"pyro.local/guest/internal/at"
)

const (
	maxLinks = 40     // symbolic links on the way of one path, as in the kernel
	maxSteps = 10_000 // components that they and the path lead over
	alias    = "workspace"
)

// place is where a path leads: a name in a directory.
type place struct {
	directory string // its path, on which there is no link; whoever opens it again may find another there
	parent    int    // a descriptor of it, O_PATH
	name      string // "." for the root itself
	stat      syscall.Stat_t
	missing   []string // the components that do not exist, beginning with name; nil if all do
}

func (p *place) close() { syscall.Close(p.parent) }

// path is that of what was found, or would be.
func (p *place) path() string {
	switch {
	case p.missing != nil:
		return join(p.directory, strings.Join(p.missing, "/"))
	case p.name == ".":
		return p.directory
	}
	return join(p.directory, p.name)
}

func (p *place) kind() Kind { return kindOf(p.stat.Mode) }

// finder takes the components of one path one after the other.
type finder struct {
	root    *Root
	path    string   // as asked for
	done    []string // directories gone through, none of them a link
	pending []string
	links   int
	last    *place // the final component, if that is a link; without a descriptor
}

// find goes along a path and over the links on it, a final one too, as long as they stay inside: relative ones do by
// counting, absolute ones when they begin with /workspace. Where components are missing, it says which.
func (r *Root) find(path string) (*place, error) {
	found, _, err := r.findLink(path)
	return found, err
}

// findThing is find for those who want something that exists, even if only a link that leads nowhere.
func (r *Root) findThing(path string) (*place, error) {
	found, link, err := r.findLink(path)
	if err != nil || found.missing == nil {
		return found, err
	}
	found.close()
	return r.linkItself(link, path)
}

// findEntry is findThing for those who take links as such: one that leads out is one, too.
func (r *Root) findEntry(path string) (*place, error) {
	found, link, err := r.findLink(path)
	if err == nil && found.missing == nil {
		return found, nil
	}
	if err == nil {
		found.close()
	} else if known, ok := errors.AsType[*Error](err); !ok || known.Code != PathOutside || link == nil {
		return nil, err
	}
	return r.linkItself(link, path)
}

// linkItself opens the place of a link that findLink has found at the end of path.
func (r *Root) linkItself(link *place, path string) (_ *place, err error) {
	if link == nil {
		return nil, refuse(PathNotFound, path, "does not exist")
	}
	if link.parent, err = openAt(r.fd, link.directory, asPath, 0); err != nil {
		return nil, failed("open", path, err)
	}
	return link, nil
}

func (r *Root) findLink(path string) (found, link *place, err error) {
	switch {
	case strings.HasPrefix(path, "/"):
		return nil, nil, refuse(PathOutside, path, "is absolute")
	case len(path) >= maxPath:
		return nil, nil, refuse(PathNotFound, path, "is not shorter than %d bytes", maxPath)
	case strings.IndexByte(path, 0) >= 0:
		return nil, nil, refuse(PathNotFound, path, "holds a NUL byte")
	}
	for range resolveTries {
		f := &finder{root: r, path: path, pending: split(path)}
		found, err = f.run()
		if err == nil || !raced(err) {
			return found, f.last, err
		}
	}
	return nil, nil, refuse(FileChanged, path, "its directories keep changing")
}

// errRaced says that a directory just gone through is no longer there.
type errRaced struct{ error }

func raced(err error) bool {
	_, ok := err.(errRaced)
	return ok
}

func (f *finder) run() (*place, error) {
	for range maxSteps {
		if len(f.pending) == 0 {
			return f.here()
		}
		name := f.pending[0]
		if name == ".." {
			if len(f.done) == 0 {
				return nil, refuse(PathOutside, f.path, "leads out of the workspace")
			}
			f.done, f.pending = f.done[:len(f.done)-1], f.pending[1:]
			continue
		}
		if len(f.done) == 0 && strings.HasPrefix(name, StagingPrefix) {
			return nil, refuse(PathNotFound, f.path, "names beginning with %s are reserved", StagingPrefix)
		}
		if found, err := f.next(name); found != nil || err != nil {
			return found, err
		}
	}
	return nil, refuse(PathNotFound, f.path, "leads over too many links")
}

// next looks at the first pending component. It returns a place if that is where the path ends.
func (f *finder) next(name string) (*place, error) {
	found := &place{directory: strings.Join(f.done, "/"), name: name}
	parent, err := openAt(f.root.fd, found.directory, asPath, 0)
	if err != nil {
		return nil, f.lost(err)
	}
	found.parent = parent
	rest := f.pending[1:]
	switch err := at.Lstat(parent, name, &found.stat); {
	case err == syscall.ENOENT:
		found.missing = f.pending
		for _, name := range rest {
			if name == ".." {
				found.close()
				return nil, refuse(PathNotFound, f.path, "does not exist")
			}
		}
		return found, nil
	case err != nil:
		found.close()
		return nil, failed("stat", f.path, err)
	case found.kind() == Symlink:
		defer found.close()
		return nil, f.follow(found, rest)
	case len(rest) == 0:
		return found, nil
	case found.kind() != Directory:
		found.close()
		return nil, refuse(NotADirectory, f.path, "%q is no directory", found.path())
	}
	found.close()
	f.done, f.pending = append(f.done, name), rest
	return nil, nil
}

// follow puts the text of a link in its place.
func (f *finder) follow(link *place, rest []string) error {
	if f.links++; f.links > maxLinks {
		return refuse(PathNotFound, f.path, "leads over too many links")
	}
	target, err := at.Readlink(link.parent, link.name)
	if err != nil {
		return f.lost(err)
	}
	if len(rest) == 0 && f.last == nil {
		f.last = &place{directory: link.directory, name: link.name, stat: link.stat}
	}
	names := split(target)
	if strings.HasPrefix(target, "/") {
		if len(names) == 0 || names[0] != alias {
			return refuse(PathOutside, f.path, "the link %q leads out of the workspace", link.path())
		}
		names, f.done = names[1:], nil
	}
	f.pending = append(names, rest...)
	return nil
}

// here returns the directory that was gone through last.
func (f *finder) here() (*place, error) {
	found := &place{name: "."}
	if n := len(f.done); n > 0 {
		found.directory, found.name = strings.Join(f.done[:n-1], "/"), f.done[n-1]
	}
	var err error
	if found.parent, err = openAt(f.root.fd, found.directory, asPath, 0); err != nil {
		return nil, f.lost(err)
	}
	if err := at.Lstat(found.parent, found.name, &found.stat); err != nil {
		found.close()
		return nil, f.lost(err)
	}
	return found, nil
}

// lost tells a race from what a second try would not change.
func (f *finder) lost(err error) error {
	if gone(err) || err == syscall.EINVAL {
		return errRaced{err}
	}
	if err == syscall.EXDEV {
		return refuse(PathOutside, f.path, "leads into another file system")
	}
	return failed("open", f.path, err)
}
