package kernel

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMerge gives the times of records in rounds, as CPUs had written them, and wants them
// in order.
func TestMerge(t *testing.T) {
	for _, tc := range []struct {
		name   string
		rounds [][]int64
		after  [][]int64 // what is given after each round
	}{
		{"nothing", [][]int64{{}}, [][]int64{nil}},
		{"waits for another round", [][]int64{{1, 3, 2}, {}}, [][]int64{nil, {1, 2, 3}}},
		{"one that was late", [][]int64{{1, 4}, {3, 6}, {5}, {}}, [][]int64{nil, {1, 3, 4}, {5, 6}, nil}},
		{"an idle machine", [][]int64{{5}, {}, {7}, {}}, [][]int64{nil, {5}, nil, {7}}},
		{"the last round", [][]int64{{2}, {1, 4, 3}}, [][]int64{nil, {1, 2, 3, 4}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var m merger
			for i, round := range tc.rounds {
				m.begin()
				for _, time := range round {
					binary.NativeEndian.PutUint64(m.room(time, 0, 8), uint64(time))
				}
				m.end(tc.name == "the last round" && i == len(tc.rounds)-1)
				var got []int64
				for r := new(Record); m.take(r); {
					got = append(got, int64(binary.NativeEndian.Uint64(r.Data)))
				}
				if diff := cmp.Diff(tc.after[i], got); diff != "" {
					t.Errorf("after round %d (-want +got):\n%s", i+1, diff)
				}
				if m.waits() && slices.Equal(round, []int64{}) {
					t.Errorf("records wait after round %d, which brought none", i+1)
				}
			}
		})
	}
}
