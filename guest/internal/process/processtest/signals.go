package processtest

import (
	"os"
	"os/signal"
	"syscall"
)

// Commands begin with the signals that were ignored when the tests were started still ignored, as under nohup or in the
// background of a shell. A program that listens for a signal hands it on as it should be, as PID 1 does.
func init() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)
	go func() {
		<-signals
		os.Exit(2)
	}()
}
