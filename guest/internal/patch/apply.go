package patch

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// Status says what has become of a path.
type Status string

const (
	Added    Status = "added"
	Modified Status = "modified"
	Deleted  Status = "deleted"
)

// Change is what a patch has done to one path.
type Change struct {
	Path   string
	Status Status
}

// ApplyError says which file of a patch cannot be patched, and why. The tree is then as it was before.
type ApplyError struct {
	File   string
	Hunk   int // from 1, within the section of the file; 0 if it is about the whole file
	Reason string
	Err    error // what the system said, if that is the reason
}

func (e *ApplyError) Error() string {
	if e.Hunk == 0 {
		return fmt.Sprintf("%q: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%q, hunk %d: %s", e.File, e.Hunk, e.Reason)
}

func (e *ApplyError) Unwrap() error { return e.Err }

// reasons has words for what the system says about paths.
var reasons = []struct {
	err    error
	reason string
}{
	{syscall.ENOENT, "there is no such file"},
	{syscall.ENOTDIR, "the path leads through something that is no directory"},
	{syscall.EXDEV, "the path leads out of the workspace or into something mounted there"},
	{syscall.ELOOP, "the path leads through too many links"},
	{syscall.ENAMETOOLONG, "the path is too long"},
	{syscall.EEXIST, "there is something at this path already"},
	{syscall.ENOSPC, "there is no space left"},
}

func failed(path string, err error) error {
	for _, known := range reasons {
		if errors.Is(err, known.err) {
			return &ApplyError{File: path, Reason: known.reason, Err: err}
		}
	}
	return &ApplyError{File: path, Reason: err.Error(), Err: err}
}

func refused(path, format string, arguments ...any) error {
	return &ApplyError{File: path, Reason: fmt.Sprintf(format, arguments...)}
}

// Apply applies the patch to the tree beneath root, and returns what has changed, sorted by path. After an error, which
// is an *ApplyError where it is about a file, the tree is as it was.
func (p *Patch) Apply(ctx context.Context, root string) ([]Change, error) {
	tree, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	defer tree.close()
	plan, err := newPlan(tree, p)
	if err != nil {
		return nil, err
	}
	for i := range p.sections {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := plan.add(i); err != nil {
			return nil, err
		}
	}
	files, err := plan.changed()
	if err != nil || len(files) == 0 {
		return nil, err
	}
	if err := commit(ctx, tree, files); err != nil {
		return nil, err
	}
	changes := make([]Change, len(files))
	for i, file := range files {
		changes[i] = Change{file.path, file.status()}
	}
	return changes, nil
}
