package diff

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
)

// comparison is one run over the trees. It holds descriptors of one directory at a time, however deep that is.
type comparison struct {
	ctx     context.Context
	options Options
	emit    func(Entry) error
	links   []string // lower files with several names, sorted

	lower, upper, merged descriptor
	contents             comparer

	count     int
	patchRoom int // bytes of patches that may still come
}

func newComparison(ctx context.Context, roots Roots, options Options, emit func(Entry) error) (*comparison, error) {
	c := &comparison{ctx: ctx, options: options, emit: emit, lower: absent, upper: absent, merged: absent}
	if c.options.MaxEntries == 0 {
		c.options.MaxEntries = DefaultMaxEntries
	}
	c.patchRoom = options.MaxPatchBytes
	if c.patchRoom == 0 {
		c.patchRoom = DefaultMaxPatchBytes
	}
	c.links = roots.LowerHardLinks
	if !slices.IsSorted(c.links) {
		c.links = slices.Sorted(slices.Values(c.links))
	}
	var err error
	if c.lower, err = openTree(roots.Lower); err != nil {
		return nil, err
	}
	if c.merged, err = openTree(roots.Merged); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *comparison) close() {
	c.lower.close()
	c.upper.close()
	c.merged.close()
}

// child is what a directory holds under one name.
type child struct {
	pair
	name string
	// candidates tells that what is below can be told by the upper layer: both sides are directories, and so were all
	// above, each merged with the lower one of the same name.
	candidates bool
}

// step is one thing to do with a child: report it, or go below it.
type step struct {
	key   string
	child *child
	below bool
}

// directory compares what is in a directory of both trees: all of it, or where the upper layer says what can differ,
// those candidates.
func (c *comparison) directory(path string, candidates bool) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	children, err := c.look(path, candidates)
	if err != nil {
		return err
	}
	for _, step := range order(children) {
		below := join(path, step.child.name)
		if step.below {
			err = c.directory(below, step.child.candidates)
		} else {
			err = c.report(below, step.child.pair)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// order sorts by path: "a" comes before "a-b", and that before "a/b".
func order(children []*child) []step {
	steps := make([]step, 0, len(children))
	for _, child := range children {
		if child.status() != "" {
			steps = append(steps, step{child.name, child, false})
		}
		if child.lower.isDirectory() || child.merged.isDirectory() {
			steps = append(steps, step{child.name + "/", child, true})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return strings.Compare(a.key, b.key) })
	return steps
}

// look finds out which names in a directory have changed, or are directories below which something may have.
func (c *comparison) look(path string, candidates bool) ([]*child, error) {
	lower, err := c.lower.openBeneath(path, syscall.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer lower.close()
	merged, err := c.merged.openBeneath(path, syscall.O_DIRECTORY)
	if errors.Is(err, syscall.EXDEV) {
		return nil, nil // mounted over: nobody can tell what is beneath
	}
	if err != nil {
		return nil, err
	}
	defer merged.close()
	names, candidates, err := c.names(path, lower, merged, candidates)
	if err != nil {
		return nil, err
	}
	var children []*child
	for name := range names {
		if path == "" && c.options.Skip != nil && c.options.Skip(name) {
			continue
		}
		child, err := c.lookAt(lower, merged, name)
		if err != nil {
			return nil, err
		}
		if child != nil {
			child.candidates = candidates && child.lower.isDirectory() && child.merged.isDirectory()
			children = append(children, child)
		}
	}
	return children, nil
}

// lookAt returns nil for a name that needs no step.
func (c *comparison) lookAt(lower, merged descriptor, name string) (*child, error) {
	found := child{name: name}
	var err error
	if found.lower, err = lower.lstat(name); err != nil {
		return nil, err
	}
	if found.merged, err = merged.lstat(name); err != nil {
		return nil, err
	}
	if err := c.contents.compare(c.ctx, lower, merged, name, &found.pair); err != nil {
		return nil, err
	}
	if found.status() == "" && !found.lower.isDirectory() && !found.merged.isDirectory() {
		return nil, nil
	}
	return &found, nil
}

func join(directory, name string) string {
	if directory == "" {
		return name
	}
	return directory + "/" + name
}
