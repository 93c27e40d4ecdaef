package service

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pyro.local/guest/internal/process"
)

// TestMuchOutputIsKeptAsFarAsPromised writes 13.3 MB to each output, in lines of 7 bytes.
func TestMuchOutputIsKeptAsFarAsPromised(t *testing.T) {
	b := newBench(t)
	const last = 1_999_999
	b.run("loud", `seq -w 100000 `+strconv.Itoa(last)+` & seq -w 100000 `+strconv.Itoa(last)+` >&2; wait`)
	text, cut := b.view("loud", View{MaxBytes: 1 << 30})
	for i, text := range text {
		if len(text) < 4<<20 || len(text) > 8<<20 || !cut[i] {
			t.Errorf("%d bytes, %v", len(text), cut)
		}
		next := last + 1 - strings.Count(text, "\n")
		for line := range strings.Lines(text) {
			if number, err := strconv.Atoi(strings.TrimSuffix(line, "\n")); err != nil || number != next {
				t.Fatalf("%q instead of %d", line, next)
			}
			next++
		}
	}
	if text, cut := b.view("loud", View{TailLines: 2, MaxBytes: 8 << 20}); text[0] != "1999998\n1999999\n" || !cut[0] {
		t.Errorf("%q %v", text, cut)
	}
}

func TestLogsAreFollowedToTheEndOfTheService(t *testing.T) {
	b := newBench(t)
	// Where the shell sees its sleep die first, it says "Terminated": not to the log.
	b.start("web", `trap 'echo bye; kill $! 2> /dev/null; exit' TERM; echo one; echo two; echo err >&2; touch ready
		while :; do sleep 1000 & wait; done 2> /dev/null`)
	b.awaitSaid("web", "one\ntwo\n", "err\n")
	var out, err string
	stopped := make(chan State, 1)
	cut, failed := b.Logs(context.Background(), "web", View{TailLines: 1, MaxBytes: 1000, Follow: true}, func(stream process.Output, data []byte) error {
		text := string(data)
		if text == "" {
			text = gap
		}
		if stream == process.Stderr {
			err += text
			return nil
		}
		if out == "" {
			go func() {
				state, _ := b.Stop("web", patience)
				stopped <- state
			}()
		}
		out += text
		return nil
	})
	if state := <-stopped; state.Phase != Ended {
		t.Errorf("%+v", state)
	}
	if failed != nil || out != gap+"two\nbye\n" || err != "err\n" || cut != [2]bool{true, false} {
		t.Errorf("%q, %q, %v, %v", out, err, cut, failed)
	}
}

// awaitSaid returns once the logs hold so much: what a service has written is there a moment later.
func (b *bench) awaitSaid(name, out, err string) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	var said [2]string
	b.Logs(ctx, name, View{MaxBytes: 1 << 20, Follow: true}, func(stream process.Output, data []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if said[stream] += string(data); said == [2]string{out, err} {
			cancel()
		}
		return nil
	})
	if said != [2]string{out, err} {
		b.t.Fatalf("%q", said)
	}
}

func TestAFollowerWhoLeavesIsNothingToTheService(t *testing.T) {
	b := newBench(t)
	state := b.start("web", `echo up; touch ready; exec sleep 1000`)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := b.Logs(ctx, "web", View{MaxBytes: 10, Follow: true}, func(process.Output, []byte) error {
		cancel()
		return nil
	})
	if err != context.Canceled || !alive(state.PID) {
		t.Error(err)
	}
}

func TestLogsOutliveTheMachine(t *testing.T) {
	b := newBench(t)
	b.run("web", `echo out; echo err >&2; exit 1`)
	later := &bench{Registry: NewRegistry(b.runner, b.directory), t: t, logs: b.logs, cwd: b.cwd}
	if _, err := later.Status("web"); failure(t, err).Code != "not-found" {
		t.Error(err)
	}
	if out, err := later.said("web"); out != "out\n" || err != "err\n" {
		t.Errorf("%q, %q", out, err)
	}
	later.run("web", `echo new`)
	if out, err := later.said("web"); out != "new\n" || err != "" {
		t.Errorf("%q, %q", out, err)
	}
	if text, cut := b.view("web", View{MaxBytes: 10, Follow: true}); text[0] != "" || !cut[0] || cut[1] != true {
		t.Errorf("%q %v", text, cut)
	}
}
