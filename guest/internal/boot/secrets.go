package boot

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"pyro.local/guest/internal/at"
)

const (
	// SecretsDir is where commands find secrets.
	SecretsDir = "/run/pyro-secrets"
	// draft is a file that is not complete yet; no secret has such a name.
	draft = ".draft"

	tmpfsMagic = 0x01021994
)

// Secrets keeps values as files in memory, for commands to read.
type Secrets struct {
	path string

	mu     sync.Mutex
	fd     int // the top of the file system; paths may come to lead elsewhere, and onto a disk
	opened bool
}

// NewSecrets will keep them in a file system of its own, mounted at the path when the first one comes.
func NewSecrets(path string) *Secrets { return &Secrets{path: path} }

// Put makes the value what the name stands for, in one step. The name is checked by the caller: it becomes a file's.
func (s *Secrets) Put(name string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	_ = at.Unlink(s.fd, draft) // of a time that failed
	if err := s.write(draft, value); err != nil {
		_ = at.Unlink(s.fd, draft)
		return fmt.Errorf("write a secret: %w", err)
	}
	return os.NewSyscallError("renameat2", at.Rename(s.fd, draft, s.fd, name, 0))
}

func (s *Secrets) write(name string, value []byte) error {
	fd, err := at.OpenName(s.fd, name, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	return errors.Join(at.WriteAll(fd, value, 0), syscall.Close(fd))
}

// open mounts the file system, unless it has been.
func (s *Secrets) open() error {
	if s.opened {
		return nil
	}
	if info, err := os.Lstat(s.path); err == nil && !info.IsDir() { // a link would lead the mount elsewhere
		if err := os.Remove(s.path); err != nil {
			return err
		}
	}
	m := mount{"tmpfs", s.path, "tmpfs", noExec, "size=16m,mode=0700", 0o700}
	if err := m.mount(); err != nil {
		return err
	}
	fd, err := syscall.Open(s.path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: s.path, Err: err}
	}
	var kind syscall.Statfs_t
	if err := syscall.Fstatfs(fd, &kind); err != nil || kind.Type != tmpfsMagic {
		syscall.Close(fd)
		return errors.Join(errors.New("secrets would not stay in memory"), err)
	}
	s.fd, s.opened = fd, true
	return nil
}
