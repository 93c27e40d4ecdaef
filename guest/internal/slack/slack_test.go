package slack

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyWhatIsStartedWithoutSlackHasNone(t *testing.T) {
	if got := slackOfAChild(t); got != "50000" {
		t.Skipf("this program was started with %s ns of slack", got)
	}
	if err := Take(); err != nil {
		if os.Getuid() != 0 {
			t.Skip("an ordinary user may not change threads: ", err)
		}
		t.Fatal(err)
	}
	// On every thread: those that were there, those that come now.
	for range 50 {
		done := make(chan string)
		go func() { done <- slackOfAChild(t) }()
		if got := <-done; got != "1000000" {
			t.Errorf("with the program's own slack a child has %s ns", got)
		}
		Without(func() {
			if got := slackOfAChild(t); got != "50000" {
				t.Errorf("without slack a child has %s ns", got)
			}
		})
	}
}

// slackOfAChild is what a program started by this goroutine's thread has.
func slackOfAChild(t *testing.T) string {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	reading, writing := os.NewFile(uintptr(ends[0]), "reading"), os.NewFile(uintptr(ends[1]), "writing")
	defer reading.Close()
	pid, err := syscall.ForkExec("/bin/cat", []string{"cat", "/proc/self/timerslack_ns"}, &syscall.ProcAttr{
		Files: []uintptr{0, writing.Fd(), 2},
	})
	writing.Close()
	if err != nil {
		t.Fatal(err)
	}
	var said [32]byte
	n, err := reading.Read(said[:])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(said[:n]))
}
