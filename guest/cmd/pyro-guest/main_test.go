package main

import "testing"

func TestOnAHostItOnlyAnswersQuestions(t *testing.T) {
	if err := command([]string{"version"}); err != nil {
		t.Error(err)
	}
	for _, arguments := range [][]string{nil, {"serve"}, {"tsc", "now"}, {"host"}, {"host", "3"}} {
		if command(arguments) == nil {
			t.Errorf("%q was taken", arguments)
		}
	}
}
