package patch

import (
	"bytes"
	"syscall"
)

// add works a section into the plan.
func (p *plan) add(index int) error {
	s := &p.patch.sections[index]
	switch s.action {
	case create:
		return p.create(s, index)
	case rename:
		return p.rename(s, index)
	case duplicate:
		return p.duplicate(s, index)
	}
	why := toChange
	if s.action == remove {
		why = toTake
	}
	f, err := p.find(s.old, why)
	if err != nil {
		return err
	}
	if f.now.kind == nothing && s.unsure {
		return p.create(s, index)
	}
	made, err := p.make(s, s.old, f.now)
	if err != nil {
		return err
	}
	if s.action == remove {
		if len(made.content) > 0 {
			return refused(s.old, "the patch deletes this file, but has not all of its lines")
		}
		return p.set(f, state{})
	}
	return p.set(f, made)
}

// findRoom finds the path for a new file. A directory gives way if nothing is left in it; that shows when it is done. A
// file must be renamed by a later section, as when two change places, and is put aside for that.
func (p *plan) findRoom(name string, index int) (*file, error) {
	f, err := p.find(name, toMake)
	if err != nil || f.now.kind == nothing || f.now.kind == directory {
		return f, err
	}
	if _, already := p.aside[f]; already || !f.now.patchable() || p.leaving[name] <= index {
		return nil, failed(name, syscall.EEXIST)
	}
	p.aside[f] = f.now
	return f, p.hold(name, len(f.now.content))
}

// create makes a file where there is none.
func (p *plan) create(s *section, index int) error {
	f, err := p.findRoom(s.new, index)
	if err != nil {
		return err
	}
	made := state{kind: regular, mode: 0o644}
	if s.newMode != 0 {
		made.mode = s.newMode & 0o777
	}
	if s.isLink() {
		made.kind = symlink
	}
	if made.content, err = p.edit(s, s.new, made); err != nil {
		return err
	}
	return p.set(f, made)
}

// rename moves a file.
func (p *plan) rename(s *section, index int) error {
	from, err := p.find(s.old, toTake)
	if err != nil {
		return err
	}
	base, wasAside := p.aside[from]
	if !wasAside {
		base = from.now
	}
	made, err := p.make(s, s.old, base)
	if err != nil {
		return err
	}
	if wasAside {
		delete(p.aside, from)
		p.total -= len(base.content)
	} else if err := p.set(from, state{}); err != nil {
		return err
	}
	to, err := p.findRoom(s.new, index)
	if err != nil {
		return err
	}
	return p.set(to, made)
}

// duplicate copies what a file was before the patch.
func (p *plan) duplicate(s *section, index int) error {
	from, err := p.find(s.old, toTake)
	if err != nil {
		return err
	}
	base, err := from.read(p.root)
	if err != nil {
		return err
	}
	made, err := p.make(s, s.old, base)
	if err != nil {
		return err
	}
	to, err := p.findRoom(s.new, index)
	if err != nil {
		return err
	}
	return p.set(to, made)
}

// make returns what a section makes of a state; path is how the section calls it.
func (p *plan) make(s *section, path string, base state) (state, error) {
	switch {
	case base.kind == nothing:
		return base, failed(path, syscall.ENOENT)
	case base.kind == directory:
		return base, refused(path, "this is a directory")
	case base.kind == other:
		return base, refused(path, "this is neither a file nor a link")
	case base.kind == symlink && !s.isLink() && (len(s.hunks) > 0 || s.action == remove || s.newMode != 0):
		return base, refused(path, "this is a symbolic link; the patch is for a file")
	case base.kind == regular && s.isLink():
		return base, refused(path, "this is a file; the patch is for a symbolic link")
	}
	made := base
	if base.kind == regular && s.newMode != s.oldMode && s.newMode != 0 {
		made.mode = executable(base.mode, s.newMode&0o111 != 0)
	}
	var err error
	made.content, err = p.edit(s, path, base)
	return made, err
}

// executable returns permissions with or without those to execute, for whoever may read.
func executable(mode uint32, yes bool) uint32 {
	if yes {
		return mode | mode&0o444>>2
	}
	return mode &^ 0o111
}

// edit returns what the hunks of a section make of a content. If all lines of the patch ended in CR LF, it is tried with
// the ends that the file has, then with the others.
func (p *plan) edit(s *section, path string, base state) ([]byte, error) {
	likeFile := p.patch.crlf && hasCarriageReturns(base.content)
	made, failure := edit(base.content, s.hunks, likeFile, &p.search)
	if failure != nil && p.patch.crlf && len(base.content) > 0 {
		if again, stillFailure := edit(base.content, s.hunks, !likeFile, &p.search); stillFailure == nil {
			made, failure = again, nil
		}
	}
	switch {
	case failure != nil:
		return nil, &ApplyError{File: path, Hunk: failure.hunk, Reason: failure.reason}
	case len(made) > MaxFile:
		return nil, refused(path, "the file would be larger than %d bytes", MaxFile)
	case base.kind == symlink && s.action != remove && !isTarget(made):
		return nil, refused(path, "this cannot be the target of a link")
	}
	return made, nil
}

func hasCarriageReturns(text []byte) bool {
	line, _, found := bytes.Cut(text, []byte("\n"))
	return found && bytes.HasSuffix(line, []byte("\r"))
}

func isTarget(content []byte) bool {
	return len(content) > 0 && len(content) < 4096 && bytes.IndexByte(content, 0) < 0
}
