package mux_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pyro.local/guest/internal/mux"
	"pyro.local/guest/internal/mux/muxtest"
)

func TestBytesTravelBothWaysUntilBothSidesFinish(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		host := port.Connect()
		theirs := host.Open()
		theirs.Write([]byte("question"))
		theirs.CloseWrite()
		ours := accept(t, m)
		if question, err := io.ReadAll(ours); string(question) != "question" || err != nil {
			t.Fatalf("read %q, %v", question, err)
		}
		ours.Write([]byte("answer"))
		ours.Close()
		if answer, err := io.ReadAll(theirs); string(answer) != "answer" || err != nil {
			t.Fatalf("read %q, %v", answer, err)
		}
		if over(ours) {
			t.Error("a stream that both sides finished counts as ended early")
		}
	})
}

func TestASlowReaderStopsTheWriterAtItsCredit(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		host := port.Connect()
		theirs := host.Open()
		ours := accept(t, m)
		written := make(chan int)
		go func() {
			n, _ := ours.Write(make([]byte, 2*mux.Credit))
			written <- n
		}()
		got := 0
		for got < mux.Credit {
			f, err := host.Next()
			if err != nil || f.Kind != muxtest.Data {
				t.Fatal(f.Kind, err)
			}
			got += len(f.Payload)
		}
		synctest.Wait()
		if got != mux.Credit {
			t.Fatalf("%d bytes were sent on a credit of %d", got, mux.Credit)
		}
		theirs.Grant(mux.Credit)
		for got < 2*mux.Credit {
			f, _ := host.Next()
			got += len(f.Payload)
		}
		if n := <-written; n != 2*mux.Credit {
			t.Errorf("Write says %d", n)
		}
	})
}

func TestTheHostMaySendMoreAsTheReaderConsumes(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		theirs := port.Connect().Open()
		ours := accept(t, m)
		go io.Copy(io.Discard, ours)
		if n, err := theirs.Write(make([]byte, 10*mux.Credit)); err != nil {
			t.Fatal(n, err)
		}
	})
}

func TestOversteppingTheCreditResetsTheStream(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		host := port.Connect()
		theirs := host.Open()
		ours := accept(t, m)
		theirs.Write(make([]byte, mux.Credit))
		host.Send(theirs.Number, muxtest.Data, []byte{0})
		if !over(ours) {
			t.Fatal("the stream lives")
		}
		if f, err := host.Next(); f.Kind != muxtest.Reset || f.Stream != theirs.Number {
			t.Errorf("the host got %v, %v", f, err)
		}
		if _, err := ours.Read(make([]byte, 1)); err == nil {
			t.Error("unread data outlived the reset")
		}
	})
}

func TestAWindowBeyondAllMeaningResetsTheStream(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		host := port.Connect()
		theirs := host.Open()
		ours := accept(t, m)
		host.Send(theirs.Number, muxtest.Window, []byte{0xff, 0xff, 0xff, 0xff})
		if !over(ours) {
			t.Fatal("the stream lives")
		}
	})
}

func TestResetEndsReadersAndWriters(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		theirs := port.Connect().Open()
		ours := accept(t, m)
		failures := make(chan error, 2)
		go func() { _, err := ours.Read(make([]byte, 1)); failures <- err }()
		go func() { _, err := ours.Write(make([]byte, 2*mux.Credit)); failures <- err }()
		synctest.Wait()
		theirs.Reset()
		for range 2 {
			if err := <-failures; err == nil {
				t.Error("it went on")
			}
		}
		if !over(ours) {
			t.Error("its work is not cancelled")
		}
	})
}

func TestAFinAloneCancelsNothing(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		theirs := port.Connect().Open()
		ours := accept(t, m)
		theirs.CloseWrite()
		if over(ours) {
			t.Fatal("a complete request was taken for an aborted one")
		}
		go ours.Write([]byte("answer"))
		expect(t, theirs, "answer")
	})
}

func TestReadDeadlinesWakeReadersAndCanBeLifted(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		theirs := port.Connect().Open()
		ours := accept(t, m)
		ours.SetReadDeadline(time.Now().Add(time.Minute))
		_, err := ours.Read(make([]byte, 1))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		failed := make(chan error)
		ours.SetReadDeadline(time.Time{})
		go func() { _, err := ours.Read(make([]byte, 1)); failed <- err }()
		synctest.Wait()
		ours.SetReadDeadline(time.Unix(1, 0)) // as net/http aborts its background read
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		ours.SetReadDeadline(time.Time{})
		theirs.Write([]byte("ok"))
		expect(t, ours, "ok")
	})
}

func TestAWriteDeadlineTellsHowMuchWasTaken(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		host := port.Connect()
		host.Open()
		ours := accept(t, m)
		ours.SetDeadline(time.Now().Add(time.Minute))
		go func() {
			for {
				if _, err := host.Next(); err != nil {
					return
				}
			}
		}()
		n, err := ours.Write(make([]byte, 2*mux.Credit))
		if n != mux.Credit || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(n, err)
		}
	})
}

func TestCloseDropsWhatArrivesLaterAndSendsFin(t *testing.T) {
	onPort(t, func(t *testing.T, port *muxtest.Port, m *mux.Mux) {
		theirs := port.Connect().Open()
		ours := accept(t, m)
		failed := make(chan error)
		go func() { _, err := ours.Read(make([]byte, 1)); failed <- err }()
		synctest.Wait()
		ours.Close()
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		theirs.Write(make([]byte, mux.Credit))
		if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		if _, err := ours.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}
