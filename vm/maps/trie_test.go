package maps

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
)

// prefixOf is a key without the bits behind its prefix.
type prefixOf struct{ bits, data uint32 }

func (p prefixOf) covers(addr uint32) bool { return (p.data^addr)>>(32-p.bits) == 0 }

func (p prefixOf) key() []byte { return binary.BigEndian.AppendUint32(le32(p.bits), p.data) }

// TestTrieAgainstSearch holds tries with one, two and three tables of heads
// against a search through all prefixes.
func TestTrieAgainstSearch(t *testing.T) {
	for _, entries := range []uint32{100, 1 << 13, 1 << 19} {
		m := newMap(t, ebpf.MapSpec{Type: ebpf.LPMTrie, KeySize: 8, ValueSize: 8, MaxEntries: entries, Flags: FlagNoPrealloc})
		rng := rand.New(rand.NewPCG(uint64(entries), 1))
		live := map[prefixOf]uint64{}
		// Addresses are near each other, so that prefixes cover prefixes.
		address := func() uint32 {
			addr := uint32(0xa5a5a5a5)
			for range rng.IntN(4) {
				addr ^= 1 << rng.IntN(32)
			}
			return addr
		}
		for i := range uint64(6000) {
			p := prefixOf{bits: uint32(rng.IntN(33)), data: address()}
			p.data &= uint32(uint64(0xffffffff) << (32 - p.bits))
			if _, ok := live[p]; ok || len(live) == 100 {
				for p = range live {
					break
				}
				must(t, m.Delete(p.key()))
				delete(live, p)
			} else {
				must(t, m.Update(0, p.key(), le64(i), 0))
				live[p] = i
			}
			for range 4 {
				length, addr := uint32(rng.IntN(33)), address()
				want, best := uint64(0), -1
				for p, value := range live {
					if p.bits <= length && p.covers(addr) && int(p.bits) > best {
						want, best = value, int(p.bits)
					}
				}
				key := prefixOf{bits: length, data: addr}.key()
				at := m.Lookup(0, key)
				if (at != 0) != (best >= 0) || at != 0 && value(t, at) != want {
					t.Fatalf("%d entries, step %d: lookup of %08x/%d: address %#x, want the value of /%d", entries, i, addr, length, at, best)
				}
			}
		}
	}
}
