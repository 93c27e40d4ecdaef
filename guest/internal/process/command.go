package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Exit codes of commands that never ran, as shells and container engines use them.
const (
	codeNotExecutable = 126
	codeNotFound      = 127
	codeTimedOut      = 124
)

// Failure says why a command could not be started. It is an outcome of the command, not an error of the agent.
type Failure struct {
	ExitCode int
	Reason   string
}

func (f *Failure) Error() string { return f.Reason }

// NotFound tells that there was nothing to run; else it could not be executed.
func (f *Failure) NotFound() bool { return f.ExitCode == codeNotFound }

// Command is what to run.
type Command struct {
	Argv  []string
	Env   map[string]string
	Cwd   string
	Stdin bool // stream it; else it is /dev/null
	// Terminal gives the command a terminal of its own, as its controlling one and as all of stdin, stdout and stderr.
	Terminal *Terminal
}

var errNUL = errors.New("arguments, names and values cannot hold a NUL byte")

// Check tells what about the command could never be passed to the kernel.
func (c *Command) Check() error {
	if len(c.Argv) == 0 {
		return errors.New("argv is empty")
	}
	if !filepath.IsAbs(c.Cwd) {
		return fmt.Errorf("cwd %q is not absolute", c.Cwd)
	}
	if strings.ContainsRune(c.Cwd+strings.Join(c.Argv, ""), 0) {
		return errNUL
	}
	return CheckEnvironment(c.Env)
}

// CheckEnvironment tells which name or value cannot stand in an environment.
func CheckEnvironment(environment map[string]string) error {
	for name, value := range environment {
		if name == "" || strings.Contains(name, "=") {
			return fmt.Errorf("%q is no name for a variable", name)
		}
		if strings.ContainsRune(name+value, 0) {
			return errNUL
		}
	}
	return nil
}

// environment is what the command gets, being given that of the machine.
func (c *Command) environment(machine map[string]string) map[string]string {
	if c.Terminal != nil {
		return layered(defaults, terminalDefaults, machine, c.Env)
	}
	return layered(defaults, machine, c.Env)
}

// program finds the file to execute: argv[0] itself if it has a slash, else the first executable of that name along the
// command's own PATH. A relative path counts from the command's directory, as it would in a shell there.
func (c *Command) program(environment map[string]string) (string, error) {
	name := c.Argv[0]
	if name == "" {
		return "", &Failure{codeNotFound, "the command's name is empty"}
	}
	if strings.Contains(name, "/") {
		_, err := os.Stat(c.resolve(name))
		if missing(err) {
			return "", &Failure{codeNotFound, name + ": not found"}
		}
		return name, nil
	}
	denied := false
	for _, directory := range strings.Split(environment["PATH"], ":") {
		path := c.resolve(filepath.Join(directory, name))
		info, err := os.Stat(path)
		if err != nil || info.IsDir() {
			continue
		}
		if info.Mode()&0o111 != 0 {
			return path, nil
		}
		denied = true
	}
	if denied {
		return "", &Failure{codeNotExecutable, name + ": permission denied"}
	}
	return "", &Failure{codeNotFound, name + ": not found"}
}

func (c *Command) resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Cwd, path)
}

// checkDirectory is done before the program is started, because then a missing directory looks like a missing program.
func (c *Command) checkDirectory() error {
	info, err := os.Stat(c.Cwd)
	switch {
	case missing(err):
		return &Failure{codeNotExecutable, c.Cwd + ": no such directory"}
	case err != nil:
		return &Failure{codeNotExecutable, err.Error()}
	case !info.IsDir():
		return &Failure{codeNotExecutable, c.Cwd + ": not a directory"}
	}
	return nil
}

// refusal explains why the kernel did not execute a program that exists.
func (c *Command) refusal(err error) *Failure {
	reason := err.Error()
	if errors.Is(err, syscall.ENOENT) { // the file was there: what is missing is what should interpret it
		reason = "its interpreter was not found"
	}
	return &Failure{codeNotExecutable, c.Argv[0] + ": " + reason}
}

func missing(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
}
