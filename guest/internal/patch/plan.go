package patch

import (
	"bytes"
	"cmp"
	"errors"
	"path"
	"slices"
	"strings"
	"syscall"
)

// place is where a file is, however its path leads there: a directory that exists, and the rest of the path from there.
// The rest has slashes where directories are yet to be made.
type place struct {
	device, inode uint64
	rest          string
}

// plan is the tree as the sections so far leave it: those files that they are about, over what is on disk.
type plan struct {
	root    descriptor
	patch   *Patch
	files   map[place]*file
	stands  map[string]place // of directories on disk, by path, with no rest
	through map[place]bool   // links that paths lead through
	leaving map[string]int   // which section, the last if several, renames a path to another; git may name it late
	removed map[string]bool  // paths that some section removes or renames
	aside   map[*file]state  // what another file has come in the place of, and is yet to be renamed itself
	total   int              // bytes in memory
	search  int              // bytes that may yet be searched for hunks
}

func newPlan(root descriptor, patch *Patch) (*plan, error) {
	p := &plan{
		root: root, patch: patch, files: map[place]*file{}, stands: map[string]place{}, through: map[place]bool{},
		leaving: map[string]int{}, removed: map[string]bool{}, aside: map[*file]state{}, search: maxSearch,
	}
	for i, section := range patch.sections {
		if section.action == rename {
			p.leaving[section.old] = i
		}
		if section.action == rename || section.action == remove {
			p.removed[section.old] = true
		}
	}
	_, err := p.standing(".")
	return p, err
}

// changed returns the files of which the patch makes something else, sorted by path.
func (p *plan) changed() ([]*file, error) {
	var files []*file
	for at, f := range p.files {
		if f.status() == "" {
			continue
		}
		if p.through[at] { // where those paths lead would depend on the order in which things are done
			return nil, refused(f.path, "the patch changes this link, and files that it leads to")
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b *file) int { return cmp.Compare(a.path, b.path) })
	return files, nil
}

// purpose is what a path is looked for.
type purpose int

const (
	toChange purpose = iota
	toTake           // it may lie below a directory that gives way to a file
	toMake           // it may lie below a file that gives way to a directory
)

// find returns the file at a path.
func (p *plan) find(name string, why purpose) (*file, error) {
	parent, base := path.Split(name)
	parent = path.Clean(parent)
	at, err := p.resolve(parent, why)
	if err != nil {
		return nil, failed(name, err)
	}
	at.rest = path.Join(at.rest, base)
	if known := p.files[at]; known != nil {
		return known, nil
	}
	f := &file{path: name, parent: parent, name: base}
	if at.rest == base {
		if f.before, err = p.lstat(parent, base); err != nil {
			return nil, failed(name, err)
		}
	}
	if f.now, err = f.read(p.root); err != nil {
		return nil, err
	}
	p.files[at] = f
	return f, p.hold(f.path, len(f.now.content))
}

// lstat returns a zero Mode for what is not there.
func (p *plan) lstat(parent, name string) (stat syscall.Stat_t, err error) {
	opened, err := p.root.directory(parent)
	if err != nil {
		return stat, err
	}
	defer opened.close()
	if stat, err = opened.lstat(name); err == syscall.ENOENT {
		return syscall.Stat_t{}, nil
	}
	return stat, err
}

// resolve finds the place of a directory, or where it is to be made.
func (p *plan) resolve(directory string, why purpose) (place, error) {
	at := p.stands["."]
	if directory == "." {
		return at, nil
	}
	var err error
	prefix := ""
	for name := range strings.SplitSeq(directory, "/") {
		prefix = path.Join(prefix, name)
		if at, err = p.enter(at, prefix, name, why); err != nil {
			return at, err
		}
	}
	return at, nil
}

// enter goes on from a place to what is called name there; prefix is the whole path to it.
func (p *plan) enter(at place, prefix, name string, why purpose) (place, error) {
	next := place{at.device, at.inode, path.Join(at.rest, name)}
	if f := p.files[next]; f != nil && f.now.isNew {
		switch {
		case f.now.kind == nothing:
			return next, nil // it is to be made again, as a directory
		case why != toTake || kindOf(f.before.Mode) != directory:
			return next, syscall.ENOTDIR
		}
	}
	if at.rest != "" {
		return next, nil
	}
	if known, found := p.stands[prefix]; found {
		return known, nil
	}
	stat, err := p.lstat(path.Dir(prefix), name)
	if err != nil || stat.Mode == 0 {
		return next, err
	}
	if p.removed[prefix] && kindOf(stat.Mode) != directory && why == toMake {
		return next, nil // a later section takes it away
	}
	p.through[next] = kindOf(stat.Mode) == symlink
	stands, err := p.standing(prefix)
	if errors.Is(err, syscall.ENOENT) {
		err = syscall.ENOTDIR // a link that leads nowhere
	}
	return stands, err
}

// standing returns the place of a directory that is on disk.
func (p *plan) standing(directory string) (place, error) {
	opened, err := p.root.directory(directory)
	if err != nil {
		return place{}, err
	}
	defer opened.close()
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(opened), &stat); err != nil {
		return place{}, err
	}
	p.stands[directory] = place{device: stat.Dev, inode: stat.Ino}
	return p.stands[directory], nil
}

// hold accounts for memory.
func (p *plan) hold(path string, bytes int) error {
	if p.total += bytes; p.total > MaxContent {
		return refused(path, "the files of this patch have more than %d bytes together", MaxContent)
	}
	return nil
}

// set makes a state the one that the patch leaves a file in, unless it is in that already.
func (p *plan) set(f *file, s state) error {
	if s.kind == f.now.kind && s.mode == f.now.mode && bytes.Equal(s.content, f.now.content) {
		return nil
	}
	s.isNew = true
	before := len(f.now.content)
	f.now = s
	return p.hold(f.path, len(s.content)-before)
}
