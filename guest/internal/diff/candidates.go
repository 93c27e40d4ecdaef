package diff

import (
	"slices"
	"strings"
	"syscall"

	"pyro.local/guest/internal/at"
)

// maxNames is how many names of one directory are looked at before ErrTooManyEntries.
const maxNames = 1 << 20

// What the kernel writes on directories of an upper layer that are more than the place of the lower one's changes.
const (
	opaqueAttribute   = "trusted.overlay.opaque"
	redirectAttribute = "trusted.overlay.redirect"
)

// names returns those names in a directory under which something may differ, and whether the upper layer could tell:
// else they are all.
func (c *comparison) names(path string, lower, merged descriptor, candidates bool) (map[string]bool, bool, error) {
	names := map[string]bool{}
	if candidates {
		upper, pure, err := c.openUpper(path)
		if err != nil {
			return nil, false, err
		}
		defer upper.close()
		if pure {
			c.linksIn(path, names)
			return names, true, addNames(upper, path, names)
		}
	}
	if err := addNames(lower, path, names); err != nil {
		return nil, false, err
	}
	return names, false, addNames(merged, path, names)
}

// openUpper opens a directory of the upper layer. It is pure if it, or its absence, means that the merged directory is
// the lower one of the same name with the changes that the upper layer names.
func (c *comparison) openUpper(path string) (upper descriptor, pure bool, err error) {
	upper, err = c.upper.open(path, syscall.O_DIRECTORY)
	switch {
	case err == syscall.ENOENT:
		return absent, true, nil
	case isGone(err): // a whiteout, or what hides the lower directory
		return absent, false, nil
	case err != nil:
		return absent, false, pathError("open", path, err)
	}
	return upper, !upper.hasAttribute(opaqueAttribute) && !upper.hasAttribute(redirectAttribute), nil
}

// linksIn adds the names in a directory that are, or lead to, a lower file with several names.
func (c *comparison) linksIn(path string, names map[string]bool) {
	prefix := path
	if path != "" {
		prefix += "/"
	}
	from, _ := slices.BinarySearch(c.links, prefix)
	for _, link := range c.links[from:] {
		rest, inside := strings.CutPrefix(link, prefix)
		if !inside {
			break
		}
		name, _, _ := strings.Cut(rest, "/")
		names[name] = true
	}
}

// addNames adds the names in an open directory. One that is removed meanwhile has none.
func addNames(directory descriptor, path string, names map[string]bool) error {
	if directory == absent {
		return nil
	}
	buffer := make([]byte, 64<<10)
	var batch []string
	for {
		n, err := at.Retry(func() (int, error) { return syscall.ReadDirent(int(directory), buffer) })
		if err != nil && err != syscall.ENOENT {
			return pathError("getdents", path, err)
		}
		if err != nil || n == 0 {
			return nil
		}
		_, _, batch = syscall.ParseDirent(buffer[:n], -1, batch[:0])
		for _, name := range batch {
			names[name] = true
		}
		if len(names) > maxNames {
			return ErrTooManyEntries
		}
	}
}

// HardLinks returns the paths in a tree that are names of files with several names, sorted: Roots.LowerHardLinks.
func HardLinks(lower string) ([]string, error) {
	tree, err := openTree(lower)
	if err != nil {
		return nil, err
	}
	defer tree.close()
	var links []string
	waiting := []string{""}
	for len(waiting) > 0 {
		path := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		linked, directories, err := hardLinksIn(tree, path)
		if err != nil {
			return nil, err
		}
		links = append(links, linked...)
		waiting = append(waiting, directories...)
	}
	slices.Sort(links)
	return links, nil
}

// hardLinksIn returns the paths of the files with several names, and of the directories, in one directory.
func hardLinksIn(tree descriptor, path string) (links, directories []string, err error) {
	directory, err := tree.openBeneath(path, syscall.O_DIRECTORY)
	if err != nil {
		return nil, nil, err
	}
	defer directory.close()
	names := map[string]bool{}
	if err := addNames(directory, path, names); err != nil {
		return nil, nil, err
	}
	for name := range names {
		stat, err := directory.lstat(name)
		switch {
		case err != nil:
			return nil, nil, err
		case stat.isDirectory():
			directories = append(directories, join(path, name))
		case stat.links > 1:
			links = append(links, join(path, name))
		}
	}
	return links, directories, nil
}
