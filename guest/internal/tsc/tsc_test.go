package tsc

import "testing"

func TestTwoMeasurementsAgree(t *testing.T) {
	first, err := KHz()
	if err != nil {
		t.Fatal(err)
	}
	second, err := KHz()
	if err != nil {
		t.Fatal(err)
	}
	// The kernel's own calibration is content with 1 percent; so is a guest clock that is set again at 100 ms of skew.
	if ratio := float64(first) / float64(second); ratio < 0.99 || ratio > 1.01 {
		t.Errorf("%d and %d kHz", first, second)
	}
}
