package pad

import "testing"

func TestNext(t *testing.T) {
	var counts [5]int
	state := uint64(1)
	for range 100_000 {
		counts[Next(&state)]++
	}
	for n, c := range counts {
		want := 100_000 / 8 / 4
		if n == 0 {
			want = 100_000 * 7 / 8
		}
		if c < want*9/10 || c > want*11/10 {
			t.Errorf("%d come %d times, not some %d", n, c, want)
		}
	}
	state = 0
	if n := Next(&state); n != 0 || state != 0 {
		t.Errorf("a state of 0 gives %d and becomes %d", n, state)
	}
}
