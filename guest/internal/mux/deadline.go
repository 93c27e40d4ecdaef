package mux

import (
	"sync"
	"time"
)

// deadline is a moment from which waiting is over. It is guarded by the lock of the Mux.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

// set moves the deadline to t (never, if zero) and wakes the waiters, now and at t, to look at it again.
func (d *deadline) set(t time.Time, waiters *sync.Cond) {
	d.clear()
	d.at = t
	waiters.Broadcast()
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			waiters.L.Lock() // else the signal could fall between a waiter's look and its sleep
			defer waiters.L.Unlock()
			waiters.Broadcast()
		})
	}
}

func (d *deadline) clear() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = time.Time{}
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }
