package helper

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The window's limits, which the sockets of a kernel hardly reach.
func TestCongestion(t *testing.T) {
	for name, tt := range map[string]struct {
		from, want congestion
		do         func(c *congestion) uint32
		result     uint32
	}{
		"slow start ends at the threshold": {congestion{cwnd: 8, ssthresh: 10, clamp: 99}, congestion{cwnd: 10, ssthresh: 10, clamp: 99},
			func(c *congestion) uint32 { return c.slowStart(5) }, 3},
		"slow start under the clamp": {congestion{cwnd: 8, ssthresh: 20, clamp: 9}, congestion{cwnd: 9, ssthresh: 20, clamp: 9},
			func(c *congestion) uint32 { return c.slowStart(5) }, 0},
		"credit of a larger w": {congestion{cwnd: 5, count: 7, clamp: 99}, congestion{cwnd: 6, count: 2, clamp: 99},
			func(c *congestion) uint32 { return c.grow(5, 2) }, 0},
		"growth under the clamp": {congestion{cwnd: 5, clamp: 6}, congestion{cwnd: 6, count: 1, clamp: 6},
			func(c *congestion) uint32 { return c.grow(2, 9) }, 0},
		"not limited by the window": {congestion{cwnd: 8, ssthresh: 10, clamp: 99, flight: 4}, congestion{cwnd: 8, ssthresh: 10, clamp: 99, flight: 4},
			func(c *congestion) uint32 { return c.renoAvoid(0, 3) }, 0},
		"limited in slow start": {congestion{cwnd: 8, ssthresh: 10, clamp: 99, flight: 5}, congestion{cwnd: 10, count: 1, ssthresh: 10, clamp: 99, flight: 5},
			func(c *congestion) uint32 { return c.renoAvoid(0, 3) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := tt.from
			if result := tt.do(&got); result != tt.result {
				t.Errorf("result %d, want %d", result, tt.result)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(congestion{})); diff != "" {
				t.Errorf("socket (-want +got):\n%s", diff)
			}
		})
	}
	c := congestion{cwnd: 5, clamp: 9}
	if c.grow(0, 1); c.err == nil {
		t.Error("no error for a division by 0")
	}
}
