package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"pyro.local/guest/internal/at"
	"pyro.local/guest/internal/diff"
	"pyro.local/guest/internal/image"
	"pyro.local/guest/internal/patch"
	"pyro.local/guest/internal/tree"
	"pyro.local/guest/internal/wire"
)

// maxText bounds what is written in one piece.
const maxText = 1 << 20

// maxPatches bounds the unified diffs in one comparison; what changed is told of all files all the same.
const maxPatches = 8 << 20

// workspace is the tree that is worked on, opened.
type workspace struct {
	*tree.Root
	at      Workspace
	freezer Freezer

	// links are the baseline's hard links, which a comparison has to look at whatever was changed.
	links func() ([]string, error)
	// whole is the machine's root, opened when it is asked for.
	whole func() (*tree.Root, error)
	// changing is held by what changes many files at once: two of these would each undo half of the other.
	changing sync.Mutex
}

// openWorkspace takes up a mounted workspace. What a machine that died has left unfinished in it is undone.
func openWorkspace(mounted *Workspace) (*workspace, error) {
	root, err := tree.Open(mounted.Merged)
	if err != nil {
		return nil, err
	}
	if _, err := root.Recover(); err != nil {
		root.Close()
		return nil, fmt.Errorf("recover: %w", err)
	}
	links := sync.OnceValues(func() ([]string, error) { return diff.HardLinks(mounted.Lower) })
	whole := sync.OnceValues(func() (*tree.Root, error) { return tree.Open("/") })
	return &workspace{Root: root, at: *mounted, freezer: mounted.Freezer, links: links, whole: whole}, nil
}

// operations are what can be asked for at /v1/workspace/NAME.
var operations = map[string]operation{
	"list":   list,
	"read":   read,
	"write":  write,
	"push":   push,
	"export": export,
	"diff":   compare,
	"patch":  apply,
	"image":  copyWhole,
}

func list(ctx context.Context, w *work) (any, error) {
	root, err := w.root()
	if err != nil {
		return nil, err
	}
	err = root.List(ctx, w.path(), w.parameter.Recursive, func(entry tree.Entry) error {
		line := wire.Entry{Type: string(entry.Type), Size: entry.Size}
		line.Path, line.RawPath = named(entry.Path)
		if entry.Type == tree.Symlink {
			line.Target, line.RawTarget = named(entry.Target)
		}
		return w.line(line)
	})
	return wire.Listed{Path: w.parameter.Path}, err
}

func read(_ context.Context, w *work) (any, error) {
	root, err := w.root()
	if err != nil {
		return nil, err
	}
	data, size, err := root.Read(w.path(), min(max(w.parameter.MaxBytes, 0), maxText))
	if err != nil {
		return nil, err
	}
	_, err = w.out.Write(data)
	return wire.ReadFile{Size: size}, err
}

func write(_ context.Context, w *work) (any, error) {
	data, err := w.sent(maxText)
	if err != nil {
		return nil, err
	}
	created, err := w.tree.Write(w.path(), data)
	return wire.Written{Size: int64(len(data)), Created: created}, err
}

func push(ctx context.Context, w *work) (any, error) {
	w.tree.changing.Lock()
	defer w.tree.changing.Unlock()
	result, err := w.tree.Push(ctx, w.path(), w.in)
	return carried(result), err
}

func export(ctx context.Context, w *work) (any, error) {
	result, err := w.tree.Export(ctx, w.path(), w.out)
	return carried(result), err
}

// compare tells every change since the baseline.
func compare(ctx context.Context, w *work) (any, error) {
	at := w.tree.at
	roots := diff.Roots{Lower: at.Lower, Upper: at.Upper, Merged: at.Merged}
	if w.parameter.HardLinks {
		links, err := w.tree.links()
		if err != nil {
			return nil, err
		}
		roots.LowerHardLinks = links
	}
	options := diff.Options{
		Patches:       w.parameter.Patches,
		Skip:          func(name string) bool { return strings.HasPrefix(name, tree.StagingPrefix) },
		MaxPatchBytes: maxPatches,
	}
	whole := true
	count, err := diff.Compare(ctx, roots, options, func(entry diff.Entry) error {
		whole = whole && !entry.Cut
		line := wire.Change{Status: string(entry.Status), Type: string(entry.Type), Patch: entry.Patch, Binary: entry.Binary}
		line.Path, line.RawPath = named(entry.Path)
		return w.line(line)
	})
	return wire.Compared{Entries: int64(count), Truncated: !whole}, err
}

// apply changes files as a unified diff says.
func apply(ctx context.Context, w *work) (any, error) {
	text, err := w.sent(patch.MaxText)
	if err != nil {
		return nil, err
	}
	parsed, err := patch.Parse(text)
	if err != nil {
		return nil, err
	}
	w.tree.changing.Lock()
	defer w.tree.changing.Unlock()
	changes, err := parsed.Apply(ctx, w.tree.at.Merged)
	if err != nil {
		return nil, err
	}
	for _, change := range changes {
		line := wire.Change{Status: string(change.Status)}
		line.Path, line.RawPath = named(change.Path)
		if err := w.line(line); err != nil {
			return nil, err
		}
	}
	return wire.Patched{Files: int64(len(changes))}, nil
}

func carried(result tree.Result) wire.Carried {
	skipped := make([]string, 0, len(result.Skipped))
	for _, path := range result.Skipped {
		skipped = append(skipped, shown(path))
	}
	return wire.Carried{
		Type:         string(result.Type),
		Entries:      int64(result.Entries),
		Bytes:        result.Bytes,
		Skipped:      skipped,
		SkippedCount: int64(result.SkippedCount),
	}
}

// copyWhole makes a disk hold everything that the machine's root shows, merged.
func copyWhole(ctx context.Context, w *work) (any, error) {
	target, unmount, err := w.machine.MountImage(w.parameter.Device)
	if err != nil {
		return nil, err
	}
	copied, err := image.Copy(ctx, "/", target)
	if err == nil {
		err = synced(target)
	}
	result := tree.Result{
		Type:         tree.Directory,
		Entries:      copied.Entries,
		Bytes:        copied.Bytes,
		Skipped:      copied.Skipped,
		SkippedCount: copied.SkippedCount,
	}
	return carried(result), errors.Join(err, unmount())
}

// synced writes a file system to its disk. Only now it shows whether all that was written found room there.
func synced(path string) error {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if err := at.Syncfs(fd); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// root is the tree that the parameters are about: the workspace, or the whole machine without it.
func (w *work) root() (*tree.Root, error) {
	if !w.parameter.Whole {
		return w.tree.Root, nil
	}
	return w.tree.whole()
}

// path is the parameter as tree takes it.
func (w *work) path() string {
	if w.parameter.Path == "." {
		return ""
	}
	return w.parameter.Path
}

// sent reads all that the host sends along.
func (w *work) sent(limit int64) ([]byte, error) { return readSent(w.in, limit) }

func readSent(in io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(data)) > limit {
		details := map[string]any{"size": int64(len(data)), "limit": limit}
		err = &tree.Error{Code: "file-too-large", Text: "more was sent than is allowed", Details: details}
	}
	return data, err
}

// line writes an object of the answer.
func (w *work) line(message any) error {
	_, err := w.out.Write(append(wire.Encode(message), '\n'))
	return err
}

// named returns a name as text, or, where it is not UTF-8, as base64 in raw. The top of the tree is ".".
func named(name string) (text, raw *string) {
	if name == "" {
		name = "."
	}
	if utf8.ValidString(name) {
		return &name, nil
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(name))
	return nil, &encoded
}

// shown returns a name as text for people: bytes that are not UTF-8 become \xNN.
func shown(name string) string {
	text := make([]byte, 0, len(name))
	for rest := name; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		if r == utf8.RuneError && size == 1 {
			text = fmt.Appendf(text, "\\x%02x", rest[0])
		} else {
			text = append(text, rest[:size]...)
		}
		rest = rest[size:]
	}
	return string(text)
}
