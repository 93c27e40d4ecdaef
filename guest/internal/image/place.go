package image

import (
	"slices"
	"strings"
	"syscall"

	"pyro.local/guest/internal/at"
)

// place is a name below the top; nil is the top. Directories share theirs with all that lies in them, since a path can
// be far longer than what fits into memory once for every entry, or into a system call.
type place struct {
	above *place
	name  string
}

// components lists the names from the top down.
func (p *place) components() (names []string) {
	for ; p != nil; p = p.above {
		names = append(names, p.name)
	}
	slices.Reverse(names)
	return names
}

func (p *place) path() string { return "/" + strings.Join(p.components(), "/") }

// original is the first name under which something was made.
type original struct {
	directory *place
	name      string
}

// again makes another name for what has been made already. The first name is short enough to be given as one path in
// all but hostile trees; in those it is reached step by step.
func (c *copier) again(first original, d pair, name string) error {
	const maxPath = 4095
	path := (&place{first.directory, first.name}).path()[1:]
	if len(path) <= maxPath {
		return at.Link(c.top, path, d.to, name)
	}
	directory := c.top
	for _, component := range first.directory.components() {
		next, err := at.OpenName(directory, component, at.OPath|syscall.O_DIRECTORY, 0)
		if directory != c.top {
			syscall.Close(directory)
		}
		if err != nil {
			return err
		}
		directory = next
	}
	defer syscall.Close(directory)
	return at.Link(directory, first.name, d.to, name)
}
