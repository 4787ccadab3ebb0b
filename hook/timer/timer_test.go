package timer_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/hook/timer"
)

// Runs come on time, also after one that took long, and end with the timer.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		takes := map[int]time.Duration{1: 3 * time.Millisecond, 2: 25 * time.Millisecond}
		var at []time.Duration
		tm := timer.Start(10*time.Millisecond, func() error {
			at = append(at, time.Since(start))
			time.Sleep(takes[len(at)-1])
			return nil
		})
		time.Sleep(75 * time.Millisecond)
		if err := tm.Close(); err != nil {
			t.Error(err)
		}
		var want []time.Duration
		for _, ms := range []int{10, 20, 30, 60, 70} {
			want = append(want, time.Duration(ms)*time.Millisecond)
		}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("it ran at (-want +got):\n%s", diff)
		}
		time.Sleep(time.Second)
		if len(at) != len(want) {
			t.Errorf("it ran %d times more when it was closed", len(at)-len(want))
		}
	})
}

// A run that fails is the last, and closing gives its error, also a second time.
func TestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed, runs := errors.New("failed"), 0
		tm := timer.Start(time.Second, func() error { runs++; return failed })
		time.Sleep(time.Minute)
		if err := errors.Join(tm.Close(), tm.Close()); !errors.Is(err, failed) || runs != 1 {
			t.Errorf("%v after %d runs, want 1", err, runs)
		}
	})
}

func TestPeriod(t *testing.T) {
	for text, want := range map[string]time.Duration{"timer/10ms": 10 * time.Millisecond, "timer:1s": time.Second, "timer/1m30s": 90 * time.Second} {
		at, err := hook.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := timer.Period(at); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"timer/10", "timer/0s", "timer/-1s", "timer/often"} {
		at, err := hook.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := timer.Period(at); err == nil || !strings.Contains(err.Error(), "want how often, as 10ms, such as timer/10ms") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
