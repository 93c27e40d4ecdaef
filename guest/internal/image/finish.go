package image

import (
	"bytes"
	"strconv"
	"strings"
	"syscall"

	"pyro.local/guest/internal/at"
)

// finish gives what was made the attributes, owner, mode and times of what is open as from. It comes last: writing and
// a new owner take away the setuid bit and capabilities, and a directory hands down its group and its access list.
func (c *copier) finish(from, to int, stat *syscall.Stat_t, at *place) error {
	if err := c.chown(to, "", stat); err != nil {
		return failed("change owner of", at, err)
	}
	if err := c.attributes(opened(from), opened(to), at); err != nil {
		return err
	}
	return c.settleMode(to, stat, at)
}

// settle is finish without attributes, for a mount point whose own are out of sight.
func (c *copier) settle(to int, stat *syscall.Stat_t, at *place) error {
	if err := c.chown(to, "", stat); err != nil {
		return failed("change owner of", at, err)
	}
	return c.settleMode(to, stat, at)
}

func (c *copier) settleMode(to int, stat *syscall.Stat_t, at *place) error {
	if err := syscall.Fchmod(to, stat.Mode&0o7777); err != nil {
		return failed("change mode of", at, err)
	}
	if err := setTimes(to, "", stat); err != nil {
		return failed("change times of", at, err)
	}
	return nil
}

// finishName is finish for what cannot or should not be opened: links, FIFOs and devices.
func (c *copier) finishName(d pair, name string, stat *syscall.Stat_t) error {
	at := &place{d.at, name}
	if err := c.chown(d.to, name, stat); err != nil {
		return failed("change owner of", at, err)
	}
	if err := c.attributes(named(d.from, name), named(d.to, name), at); err != nil {
		return err
	}
	if stat.Mode&syscall.S_IFMT != syscall.S_IFLNK {
		if err := syscall.Fchmodat(d.to, name, stat.Mode&0o7777, 0); err != nil {
			return failed("change mode of", at, err)
		}
	}
	if err := setTimes(d.to, name, stat); err != nil {
		return failed("change times of", at, err)
	}
	return nil
}

// chown gives an owner to a name, or with none to what the descriptor is of, unless it has it from being made.
func (c *copier) chown(fd int, name string, stat *syscall.Stat_t) error {
	if stat.Uid == c.uid && stat.Gid == c.gid {
		return nil
	}
	if name == "" {
		return syscall.Fchown(fd, int(stat.Uid), int(stat.Gid))
	}
	return syscall.Fchownat(fd, name, int(stat.Uid), int(stat.Gid), at.NoFollow)
}

// bearer is what has extended attributes: what a descriptor is of, or a name that is not followed.
type bearer struct {
	fd   int
	path *byte // nil for a descriptor
}

func opened(fd int) bearer { return bearer{fd: fd} }

// named takes the way over /proc because the calls for attributes know no directories, and names hold no NUL.
func named(directory int, name string) bearer {
	path := append([]byte("/proc/self/fd/"+strconv.Itoa(directory)+"/"+name), 0)
	return bearer{path: &path[0]}
}

// attributes copies the extended attributes.
func (c *copier) attributes(from, to bearer, at *place) error {
	n, err := listAttributes(from, c.list)
	if err == syscall.EOPNOTSUPP {
		return nil
	} else if err != nil {
		return failed("list attributes of", at, err)
	}
	for rest := c.list[:n]; len(rest) > 0; {
		end := bytes.IndexByte(rest, 0) + 1
		name := rest[:end]
		rest = rest[end:]
		if strings.HasPrefix(string(name), "trusted.overlay.") {
			continue
		}
		size, err := getAttribute(from, name, c.value)
		if err == nil {
			err = setAttribute(to, name, c.value[:size])
		}
		if err != nil {
			return failed("copy attribute "+strconv.Quote(string(name[:end-1]))+" of", at, err)
		}
	}
	return nil
}
