// Package apart is for tests that need namespaces of their own.
package apart

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Run runs the test again in a process with new namespaces, of the kinds that flags name as for unshare(2), where it
// returns true. It skips the test where that is refused, or where the test skips itself in there.
func Run(t *testing.T, flags uintptr) bool {
	t.Helper()
	const inside = "PYRO_TEST_APART"
	if os.Getenv(inside) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may make namespaces")
	}
	command := exec.Command("/proc/self/exe", "-test.v", "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), inside+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: flags}
	out, err := command.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM):
		t.Skip("a namespace is refused here: ", err)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	}
	return false
}
