package mux_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"pyro.local/guest/internal/mux"
	"pyro.local/guest/internal/mux/muxtest"
)

// onPort runs a test in a bubble of its own time with a mux at work; waiting costs nothing there and a wedge is an error.
func onPort(t *testing.T, test func(t *testing.T, port *muxtest.Port, m *mux.Mux)) {
	synctest.Test(t, func(t *testing.T) {
		port := muxtest.NewPort()
		m := mux.New(port)
		go m.Run()
		test(t, port, m)
		port.Close()
		synctest.Wait()
	})
}

func accept(t *testing.T, m *mux.Mux) *mux.Stream {
	t.Helper()
	conn, err := m.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*mux.Stream)
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func over(s *mux.Stream) bool {
	synctest.Wait()
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}

func TestStreamsOverTheLimitAreRefused(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		host := port.Connect()
		for range mux.MaxStreams {
			host.Open()
			accept(t, m)
		}
		if _, err := host.Open().Read(make([]byte, 1)); !errors.Is(err, muxtest.ErrReset) {
			t.Fatal(err)
		}
	})
}

func TestANumberIsUsedOnce(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		host := port.Connect()
		theirs := host.Open()
		ours := accept(t, m)
		host.Send(theirs.Number, muxtest.Open, nil)
		if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, muxtest.ErrReset) {
			t.Error(err)
		}
		if !over(ours) {
			t.Error("the two ends disagree whether the stream is over")
		}
	})
}

func TestFramesForStreamsThatAreOverAreIgnored(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		host := port.Connect()
		theirs := host.Open()
		accept(t, m)
		theirs.Reset()
		for _, kind := range []byte{muxtest.Fin, muxtest.Reset} {
			host.Send(theirs.Number, kind, nil)
			host.Send(99, kind, nil)
		}
		host.Send(theirs.Number, muxtest.Data, []byte("late"))
		second := host.Open()
		second.Write([]byte("well"))
		expect(t, accept(t, m), "well")
	})
}

func TestANewSessionEndsTheOldOneAndItsWork(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		old := port.Connect()
		old.Open()
		ours := accept(t, m)
		failed := make(chan error)
		go func() { _, err := ours.Write(make([]byte, 2*mux.Credit)); failed <- err }()
		synctest.Wait() // the writer has filled what the port holds for a host that does not read

		host := port.Connect()
		if err := <-failed; err == nil {
			t.Error("a writer of the old session was not stopped")
		}
		if !over(ours) {
			t.Error("the work of the old session is not cancelled")
		}
		if _, err := ours.Write([]byte("x")); err == nil {
			t.Error("a dead session writes")
		}
		theirs := host.Open()
		go accept(t, m).Write([]byte("fresh"))
		expect(t, theirs, "fresh")
	})
}

func TestASessionOfAnotherClientIsNotListenedTo(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		old := port.Connect()
		host := port.Connect()
		old.Send(1, muxtest.Open, nil)
		old.Send(1, muxtest.Data, []byte("stale"))
		host.Open().Write([]byte("right"))
		expect(t, accept(t, m), "right")
	})
}

func TestAHostThatStaysAwayEndsTheSession(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		host := port.Connect()
		host.Open()
		ours := accept(t, m)
		host.Die()
		if over(ours) {
			t.Fatal("the session ended before anyone could come back")
		}
		time.Sleep(2 * time.Second)
		if !over(ours) {
			t.Fatal("the session outlived its host")
		}
		theirs := port.Connect().Open()
		go accept(t, m).Write([]byte("again"))
		expect(t, theirs, "again")
	})
}

func TestLateNewsOfAHangUpDoesNotEndTheNextSession(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		port.Connect().Die()
		host := port.Connect()
		port.ReportLate()
		synctest.Wait()
		time.Sleep(time.Minute)
		theirs := host.Open()
		go accept(t, m).Write([]byte("alive"))
		expect(t, theirs, "alive")
	})
}

func TestAPortThatFailsEndsAcceptAndStreams(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		port.Connect().Open()
		ours := accept(t, m)
		port.Close()
		if _, err := m.Accept(); !errors.Is(err, muxtest.ErrClosed) {
			t.Error(err)
		}
		if !over(ours) {
			t.Error("a stream outlived its port")
		}
	})
}

func TestAHostThatSendsAndNeverReadsIsOwedLittle(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		host := port.Connect()
		host.Open()
		accept(t, m)
		again := muxtest.Frame{Session: host.Session, Stream: 1, Kind: muxtest.Open}.Bytes()
		host.Write(bytes.Repeat(again, 50_000)) // each is answered with a RESET, which nobody reads
		synctest.Wait()
		host.Open()
		go accept(t, m).Write([]byte("still here"))
		resets := 0
		for f, err := host.Next(); f.Kind != muxtest.Data; f, err = host.Next() {
			if err != nil {
				t.Fatal(err)
			}
			resets++
		}
		if resets > 10_000 {
			t.Errorf("%d answers were kept for it", resets)
		}
	})
}
