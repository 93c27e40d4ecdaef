package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// signal sends a signal to each process that is in the group now: what a program starts because of it, such as the
// commands of its handler, does not get it. Without cgroups it goes to the leader's process group.
func (g *group) signal(leader int, number syscall.Signal) error {
	if g.path == "" {
		return unlessGone(syscall.Kill(-leader, number))
	}
	there, err := g.members()
	if err != nil {
		return err
	}
	for _, pid := range there {
		if err := g.signalMember(pid, number); err != nil {
			return err
		}
	}
	return nil
}

// members returns the processes in the cgroup and in those that the command has made below it.
func (g *group) members() ([]int, error) {
	var members []int
	err := filepath.WalkDir(g.path, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // ended meanwhile
			return nil
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		}
		listed, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil && path == g.path && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENODEV) {
			return err
		}
		for _, field := range strings.Fields(string(listed)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				members = append(members, pid)
			}
		}
		return nil
	})
	return members, err
}

// signalMember sends a signal to the process of that number, if it is one of the group.
func (g *group) signalMember(pid int, number syscall.Signal) error {
	fd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(pid), 0, 0)
	if errno != 0 {
		return unlessGone(errno)
	}
	defer syscall.Close(int(fd))
	// Looked at only now that the descriptor is held: the number may have been given away since it was listed.
	where, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil || !strings.Contains(string(where), "/"+filepath.Base(g.path)) {
		return nil
	}
	_, _, errno = syscall.Syscall6(sysPidfdSendSignal, fd, uintptr(number), 0, 0, 0, 0)
	if errno != 0 {
		return unlessGone(errno)
	}
	return nil
}

// unlessGone drops the error of a signal to what has ended.
func unlessGone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}
