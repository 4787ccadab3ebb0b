package maps

import (
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/mem"
)

var hammerTime = flag.Duration("hammer", 200*time.Millisecond, "how long to hammer each map type")

// TestHammer runs programs and user space on one map at once. Every value that is
// ever written carries its key, so a lookup under contention that lands on
// another key's element shows.
func TestHammer(t *testing.T) {
	for _, typ := range []ebpf.MapType{
		ebpf.Array, ebpf.PerCPUArray, ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash, ebpf.LRUCPUHash,
		ebpf.LPMTrie, ebpf.Queue, ebpf.Stack, ebpf.BloomFilter,
	} {
		t.Run(typ.String(), func(t *testing.T) {
			spec := goodSpec(typ)
			spec.MaxEntries = 16
			if typ == ebpf.LPMTrie {
				spec.KeySize = 8
			}
			h := &hammer{m: newMap(t, spec), stop: make(chan struct{})}
			var wg sync.WaitGroup
			for cpu := range 2 {
				wg.Go(func() { h.program(t, cpu) })
				wg.Go(func() { h.user(t) })
			}
			time.Sleep(*hammerTime)
			close(h.stop)
			wg.Wait()
		})
	}
}

type hammer struct {
	m    Map
	stop chan struct{}
}

func (h *hammer) running() bool {
	select {
	case <-h.stop:
		return false
	default:
		return true
	}
}

// key is one of 24 keys, and the 8 bytes that its value is made of.
func (h *hammer) key(r *rand.Rand) (key, value []byte) {
	i := r.Uint32N(24)
	switch h.m.Info().KeySize {
	case 0:
		return nil, le64(uint64(i))
	case 8: // a prefix of full length, so that each lookup has one answer
		key = binary.BigEndian.AppendUint32(le32(32), i*0x01234567)
	default:
		key = le32(i)
	}
	return key, le64(uint64(i)<<32 | uint64(i))
}

func (h *hammer) program(t *testing.T, cpu int) {
	r := rand.New(rand.NewPCG(uint64(cpu), 0))
	q, keyless := h.m.(Keyless)
	for h.running() {
		for range 100 {
			key, value := h.key(r)
			switch n := r.IntN(4); {
			case keyless && n == 0:
				_ = q.Push(value, uint64(r.IntN(2))*UpdateExist)
			case keyless && n == 1:
				_ = q.Pop(make([]byte, 8))
			case keyless:
				_ = q.Peek(value)
			case n == 0:
				_ = h.m.Update(cpu, key, value, uint64(r.IntN(3)))
			case n == 1:
				_ = h.m.Delete(key)
			default:
				// The element may be given to another key at any moment, but then
				// the value is that key's: its halves are equal.
				if at := h.m.Lookup(cpu, key); at != 0 {
					if v := atomic.LoadUint64((*uint64)(mem.At(at))); uint32(v>>32) != uint32(v) {
						t.Errorf("value %#x", v)
					}
				}
			}
		}
	}
}

func (h *hammer) user(t *testing.T) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	info := h.m.Info()
	out := make([]byte, info.UserValueSize())
	next := make([]byte, info.KeySize)
	for h.running() {
		for range 100 {
			key, value := h.key(r)
			for len(value) < len(out) {
				value = append(value, value[:8]...)
			}
			switch r.IntN(5) {
			case 0:
				_ = h.m.UserUpdate(key, value, uint64(r.IntN(3)))
			case 1:
				_ = h.m.UserDelete(key)
			case 2:
				if h.m.LookupAndDelete(key, out, 0) == nil {
					h.check(t, key, out, value)
				}
			case 3:
				if h.m.UserLookup(key, out, 0) == nil {
					h.check(t, key, out, value)
				}
			case 4:
				_ = h.m.NextKey(key, next)
			}
		}
	}
}

// check holds what user space got against what was written for that key.
func (h *hammer) check(t *testing.T, key, got, want []byte) {
	if len(key) == 0 {
		return
	}
	for i := 0; i < len(got); i += 8 {
		n, m := binary.NativeEndian.Uint64(got[i:]), binary.NativeEndian.Uint64(want[i:])
		if n != m && n != 0 { // zero: another CPU's part of a program's new element
			t.Errorf("key %x has value %x", key, n)
		}
	}
}

// A key that is in the map all the time is found all the time, whatever happens
// to it and around it.
func TestAlwaysFound(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.Hash, ebpf.LPMTrie} {
		t.Run(typ.String(), func(t *testing.T) {
			spec := goodSpec(typ)
			spec.KeySize, spec.MaxEntries = 8, 4 // few buckets, long lists
			m := newMap(t, spec)
			key := func(i uint32) []byte { return binary.BigEndian.AppendUint32(le32(32), i*0x12345678) }
			must(t, m.Update(0, key(0), le64(0), 0))
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for cpu := range 2 {
				wg.Go(func() {
					for i := uint32(0); ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						other := key(1 + i%5)
						_ = m.Update(cpu, other, le64(1), 0)
						_ = m.Update(cpu, key(0), le64(0), UpdateExist)
						_ = m.Delete(other)
					}
				})
			}
			deadline, k := time.Now().Add(*hammerTime), key(0)
			for n := 0; time.Now().Before(deadline); n++ {
				if m.Lookup(0, k) == 0 {
					t.Errorf("lookup %d: the key is gone", n)
					break
				}
			}
			close(stop)
			wg.Wait()
		})
	}
}

// A program may keep the address of a value while other keys come and go.
func TestValueStaysInPlace(t *testing.T) {
	m := newMap(t, goodSpec(ebpf.Hash))
	must(t, m.Update(0, le32(1), le64(7), 0))
	at := m.Lookup(0, le32(1))
	must(t, m.Update(0, le32(2), le64(8), 0))
	must(t, m.Delete(le32(2)))
	if m.Lookup(1, le32(1)) != at || binary.NativeEndian.Uint64(mem.View(at, 8)) != 7 {
		t.Error("another key's coming and going moved a value")
	}
}
