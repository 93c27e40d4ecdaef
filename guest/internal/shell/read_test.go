package shell_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pyro.local/guest/internal/shell"
)

// never is longer than any test.
const never = 24 * time.Hour

func TestIdleMeansSilenceAfterTheLastWord(t *testing.T) {
	o := newShells(t).open("a", "for i in 1 2 3 4 5; do echo $i; sleep 0.02; done; read line")
	data, state, err := o.Read(context.Background(), shell.Query{MaxBytes: 1000, Idle: 400 * time.Millisecond, Wait: never})
	if err != nil || string(data) != "1\r\n2\r\n3\r\n4\r\n5\r\n" || state.Quiet < 400*time.Millisecond || state.Exited {
		t.Errorf("%q %+v %v", data, state, err)
	}
	// It has been silent for so long by now: this answers at once.
	if data, _, err := o.Read(context.Background(), shell.Query{Cursor: state.End, MaxBytes: 1, Idle: time.Millisecond, Wait: never}); len(data) != 0 || err != nil {
		t.Errorf("%q %v", data, err)
	}
}

// TestWhoWritesWaitsForTheReaction has silence begin with what is written to the shell, not before: otherwise the answer
// to a question that is asked after a pause would never be waited for.
func TestWhoWritesWaitsForTheReaction(t *testing.T) {
	o := newShells(t).open("a", "stty -echo; printf up; read line; sleep 0.05; printf \"got $line\"; read line")
	o.until(0, "up")
	const idle = 400 * time.Millisecond
	_, state, err := o.Read(context.Background(), shell.Query{Idle: idle, MaxBytes: 1000, Wait: never})
	if err != nil || state.Quiet < idle {
		t.Fatal(state, err)
	}
	o.say("x\n")
	data, _, err := o.Read(context.Background(), shell.Query{Cursor: 2, MaxBytes: 1000, Idle: idle, Wait: never})
	if string(data) != "got x" || err != nil {
		t.Errorf("%q %v", data, err)
	}
}

// TestWaitingForSilenceEndsOtherwise has a shell that is never silent for long enough.
func TestWaitingForSilenceEndsOtherwise(t *testing.T) {
	s := newShells(t)
	noisy := s.open("noisy", "exec yes")
	began := time.Now()
	_, state, err := noisy.Read(context.Background(), shell.Query{MaxBytes: 1 << 40, Idle: never, Wait: 50 * time.Millisecond})
	if err != nil || state.Exited || time.Since(began) < 50*time.Millisecond {
		t.Errorf("%+v %v", state, err)
	}
	_, state, err = noisy.Read(context.Background(), shell.Query{Cursor: state.End, MaxBytes: 100_000, Idle: never, Wait: never})
	if err != nil || state.Next-state.Start != 100_000 {
		t.Errorf("%+v %v", state, err)
	}
	waiting := make(chan shell.State)
	short := s.open("short", "read line; exit 3")
	go func() {
		_, state, _ := short.Read(context.Background(), shell.Query{MaxBytes: 1000, Idle: never, Wait: never})
		waiting <- state
	}()
	short.say("\n")
	if state := <-waiting; !state.Exited || state.ExitCode != 3 {
		t.Errorf("%+v", state)
	}
}

func TestAReadThatIsLeftEnds(t *testing.T) {
	o := newShells(t).open("a", "read line")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := o.Read(ctx, shell.Query{MaxBytes: 1, Idle: never, Wait: never}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := o.Attach(ctx, 0, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if o.State().Exited {
		t.Error("the shell has ended, too")
	}
}

func TestWithoutIdleAReadAnswersAtOnce(t *testing.T) {
	o := newShells(t).open("a", "printf abc; read line")
	o.until(0, "abc")
	for _, c := range []struct {
		query shell.Query
		want  string
	}{
		{shell.Query{MaxBytes: 1000, Wait: never}, "abc"},
		{shell.Query{MaxBytes: 0, Idle: never, Wait: never}, ""},
		{shell.Query{Cursor: 1, MaxBytes: 1}, "b"},
		{shell.Query{Cursor: 3, MaxBytes: 1}, ""},
		{shell.Query{Cursor: 3, MaxBytes: 1, Idle: never}, ""},
	} {
		data, state, err := o.Read(context.Background(), c.query)
		if string(data) != c.want || state.Start != c.query.Cursor || state.Next != state.Start+int64(len(data)) || err != nil {
			t.Errorf("%+v: %q %+v %v", c.query, data, state, err)
		}
	}
}

// TestManyReadTheSame attaches several while others read, and all at their own pace.
func TestManyReadTheSame(t *testing.T) {
	const lines = 20_000
	o := newShells(t).open("a", "stty -opost -echo; printf up; read line; seq "+strconv.Itoa(lines))
	o.until(0, "up")
	var want strings.Builder
	want.WriteString("up")
	for i := range lines {
		want.WriteString(strconv.Itoa(i+1) + "\n")
	}
	said := make([]string, 8)
	var all sync.WaitGroup
	for i := range said {
		all.Go(func() {
			if i%2 == 0 {
				_, _ = o.Attach(context.Background(), 0, func(data []byte) error {
					said[i] += string(data)
					return nil
				})
				return
			}
			for state := (shell.State{}); !state.Exited || state.Next < state.End; {
				var data []byte
				data, state, _ = o.Read(context.Background(), shell.Query{
					Cursor: state.Next, MaxBytes: int64(1000 * i), Idle: never, Wait: time.Millisecond,
				})
				said[i] += string(data)
			}
		})
	}
	o.say("\n")
	all.Wait()
	for i, text := range said {
		if text != want.String() {
			t.Errorf("reader %d has got %d bytes: %q", i, len(text), text[:min(20, len(text))])
		}
	}
}

// TestASlowAttacherIsToldWhereItMissesSomething takes nothing until the shell has ended.
func TestASlowAttacherIsToldWhereItMissesSomething(t *testing.T) {
	o := newShells(t).open("a", "stty -opost -echo; printf begin; read line; seq 400000")
	var said []string
	state, err := o.Attach(context.Background(), 0, func(data []byte) error {
		if said = append(said, string(data)); len(said) == 1 {
			o.say("\n")
			_, _ = o.over()
		}
		return nil
	})
	text := strings.Join(said[1:], "")
	if err != nil || said[0] != "begin" || state.Start != 0 || state.Next != state.End || len(text) != shell.RingSize {
		t.Fatalf("%q, %d bytes, %+v %v", said[0], len(text), state, err)
	}
	if marks := slices.Index(said, ""); marks != 1 || slices.Contains(said[2:], "") {
		t.Errorf("the mark is at %d, or there are more", marks)
	}
	if lost := state.Next - state.Start - int64(len(said[0])+len(text)); lost <= 0 {
		t.Errorf("%d bytes are lost", lost)
	}
	var all strings.Builder
	for i := range 400_000 {
		all.WriteString(strconv.Itoa(i+1) + "\n")
	}
	if !strings.HasSuffix(all.String(), text) {
		t.Errorf("it goes on with %q", text[:20])
	}
}

func TestAnAttacherIsToldWhereTheBeginningIsMissing(t *testing.T) {
	const all = shell.RingSize + 1000
	o := newShells(t).open("a", fmt.Sprintf("stty -opost; head -c %d /dev/zero | tr '\\0' x", all))
	_, _ = o.over()
	for cursor, missing := range map[int64]bool{0: true, 999: true, 1000: false, 1001: false, all: false} {
		var sizes []int
		state, err := o.Attach(context.Background(), cursor, func(data []byte) error {
			sizes = append(sizes, len(data))
			return nil
		})
		if marked := len(sizes) > 0 && sizes[0] == 0; err != nil || state.Start != max(cursor, 1000) || marked != missing {
			t.Errorf("from %d: %+v, %v, %v", cursor, state, sizes, err)
		}
		if slices.Contains(sizes[min(1, len(sizes)):], 0) {
			t.Errorf("from %d there are gaps: %v", cursor, sizes)
		}
	}
}
