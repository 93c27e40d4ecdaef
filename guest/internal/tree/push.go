package tree

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"

	"pyro.local/guest/internal/at"
)

// Push unpacks a tar stream into the directory at dest, which is made with those above it if there is none. All of it
// appears or nothing: it is unpacked aside, checked, and then laid over what is there. Directories that are on both
// sides are joined and get the mode and the time of the archive's; any other entry that has a new one's name is
// replaced. If that fails, or the machine dies, everything is put back as it was, here or by Recover; only what programs
// have themselves changed in the same places meanwhile is left to them. A member "." speaks of the directory at dest.
func (r *Root) Push(ctx context.Context, dest string, in io.Reader) (result Result, err error) {
	result.Path, result.Type = clean(dest), Directory
	at, err := r.find(dest)
	if err != nil {
		return result, err
	}
	defer at.close()
	p := &push{root: r, path: at.path(), prefix: ""}
	if at.missing != nil {
		p.path, p.prefix = at.directory, strings.Join(at.missing, "/")
	} else if at.kind() != Directory {
		return result, refuse(NotADirectory, dest, "is of type %s", at.kind())
	}
	if p.base, err = openAt(r.fd, p.path, asReader, 0); err != nil {
		return result, failed("open", dest, err)
	}
	defer syscall.Close(p.base)
	return result, p.run(ctx, in, &result)
}

// push is one that is under way.
type push struct {
	root   *Root
	path   string // of an existing directory
	base   int    // descriptor of it
	prefix string // path of the destination below it
}

func (p *push) run(ctx context.Context, in io.Reader, result *Result) error {
	stage, err := p.root.newStaging()
	if err != nil {
		return err
	}
	top := p.path == "" && p.prefix == ""
	implied, err := stage.unpack(ctx, p.prefix, newArchive(in, top, result.Path+"/"), result)
	if err != nil {
		stage.discard()
		return err
	}
	p.root.changing.Lock()
	defer p.root.changing.Unlock()
	changes, err := stage.planMerge(p.base, implied)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && len(changes) > 0 {
		err = stage.writeJournal(p.path, changes)
	}
	if err != nil {
		stage.discard()
		return err
	}
	return p.apply(stage, changes)
}

// apply makes the changes, or none.
func (p *push) apply(stage *staging, changes []change) error {
	m := stage.newMerge(p.base, changes)
	defer m.close()
	err := m.run()
	if err == nil {
		err = p.commit(stage, changes)
	}
	if err == nil {
		m.tidy(m.aside)
		stage.discard()
		return nil
	}
	if undone := m.undo(); undone != nil {
		stage.leave()
		return failed("undo", p.path, errors.Join(err, undone))
	}
	stage.discard()
	return err
}

// commit says that all is done, by one rename: no death finds half of it.
func (p *push) commit(stage *staging, changes []change) error {
	if err := p.root.step("commit"); err != nil {
		return err
	}
	var mtime *syscall.Timespec // of the top directory, if it is told
	if last := len(changes) - 1; p.path == "" && last >= 0 && changes[last].path == "" && changes[last].set {
		mtime = &changes[last].new.mtime
	}
	touched := p.path == "" && atTop(changes)
	text := formatTime(stage.before)
	if mtime != nil {
		text = formatTime(*mtime)
	} else if touched {
		text = ""
	}
	name := doneName(text, stage.id)
	if err := at.Rename(p.root.fd, stage.name, p.root.fd, name, at.RenameNoReplace); err != nil {
		return failed("commit", p.path, err)
	}
	stage.name = name
	if mtime != nil || touched {
		p.root.changeTop(mtime)
	}
	return nil
}
