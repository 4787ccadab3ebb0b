package maps

import (
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
)

// TestHashAgainstMap fills a hash map until some buckets have more elements than
// slots, and holds it against Go's map.
func TestHashAgainstMap(t *testing.T) {
	const entries = 2 * smallEntries
	m := newMap(t, ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: entries, Flags: FlagZeroSeed})
	rng := rand.New(rand.NewPCG(1, 2))
	live := map[uint32]uint64{}
	for k := range uint32(entries) {
		must(t, m.Update(0, le32(k), le64(uint64(k)), 0))
		live[k] = uint64(k)
	}
	for i := range uint64(60_000) {
		k := rng.Uint32N(entries * 5 / 4)
		_, there := live[k]
		switch at := m.Lookup(0, le32(k)); {
		case there != (at != 0) || there && value(t, at) != live[k]:
			t.Fatalf("step %d: key %d is in the map: %v", i, k, there)
		case there && rng.IntN(8) == 0:
			must(t, m.Delete(le32(k)))
			delete(live, k)
		case there || len(live) < entries:
			must(t, m.Update(0, le32(k), le64(i), 0))
			live[k] = i
		}
	}
	if rest := restLinks(m.(*hash).table); rest == 0 {
		t.Error("no bucket has more elements than slots")
	}
	if got := count(t, m); got != len(live) {
		t.Errorf("%d keys follow one another, and %d are in the map", got, len(live))
	}
}

// restLinks counts the buckets that have elements without a slot.
func restLinks(table *table) (n int) {
	for b := range table.mask + 1 {
		if loadU32(table.bucket(b)+offRest) != 0 {
			n++
		}
	}
	return n
}
