package maps

import (
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/mem"
)

var hammerTime = flag.Duration("hammer", time.Second, "how long to hammer all map types")

// hammered are all types: every value of the carrying ones, which a program or
// user space writes, carries its key.
var hammered = []struct {
	typ     ebpf.MapType
	carries bool
}{
	{ebpf.Array, true}, {ebpf.PerCPUArray, true}, {ebpf.Hash, true}, {ebpf.PerCPUHash, true},
	{ebpf.LRUHash, true}, {ebpf.LRUCPUHash, true}, {ebpf.LPMTrie, true},
	{ebpf.CGroupStorage, true}, {ebpf.PerCPUCGroupStorage, true},
	{ebpf.SkStorage, true}, {ebpf.TaskStorage, true}, {ebpf.InodeStorage, true}, {ebpf.CgroupStorage, true},
	{ebpf.Queue, false}, {ebpf.Stack, false}, {ebpf.BloomFilter, false}, {ebpf.ProgramArray, false},
	{ebpf.PerfEventArray, false}, {ebpf.RingBuf, false}, {ebpf.UserRingbuf, false}, {ebpf.StackTrace, false},
	{ebpf.CGroupArray, false}, {ebpf.SockMap, false}, {ebpf.SockHash, false}, {ebpf.ReusePortSockArray, false},
	{ebpf.DevMap, false}, {ebpf.DevMapHash, false}, {ebpf.CPUMap, false}, {ebpf.XSKMap, false},
	{ebpf.ArrayOfMaps, false}, {ebpf.HashOfMaps, false}, {ebpf.StructOpsMap, false},
}

// TestHammer runs programs and user space on one map at once: a lookup under
// contention that lands on another key's element shows.
func TestHammer(t *testing.T) {
	for _, tt := range hammered {
		t.Run(tt.typ.String(), func(t *testing.T) {
			spec := goodSpec(tt.typ)
			if spec.MaxEntries == 8 {
				spec.MaxEntries = 16
			}
			switch tt.typ {
			case ebpf.LPMTrie:
				spec.KeySize = 8
			case ebpf.StructOpsMap:
				spec.MaxEntries = 1
			case ebpf.ArrayOfMaps, ebpf.HashOfMaps:
				inner := goodSpec(ebpf.Array)
				spec.InnerMap = &inner
			}
			h := &hammer{m: newMap(t, spec), carries: tt.carries, stop: make(chan struct{})}
			if spec.InnerMap != nil {
				h.inner = uint32(newMap(t, *spec.InnerMap).Info().Handle)
			}
			var wg sync.WaitGroup
			for cpu := range max(2, runtime.NumCPU()) {
				wg.Go(func() { h.program(t, cpu%2) })
				wg.Go(func() { h.user(t) })
			}
			time.Sleep(*hammerTime / time.Duration(len(hammered)))
			close(h.stop)
			wg.Wait()
		})
	}
}

type hammer struct {
	m       Map
	carries bool
	inner   uint32 // a map to put into maps of maps
	stop    chan struct{}
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
	value = le64(uint64(i)<<32 | uint64(i))
	switch h.m.Info().KeySize {
	case 0:
		return nil, le64(uint64(i))
	case 8: // a prefix of full length, so that each lookup has one answer
		key = binary.BigEndian.AppendUint32(le32(32), i*0x01234567)
	case cgroupKey:
		key = append(le64(uint64(i)), make([]byte, 8)...)
	default:
		key = le32(i)
	}
	if h.inner != 0 {
		value = le64(uint64(h.inner))
	}
	return key, value
}

func (h *hammer) program(t *testing.T, cpu int) {
	r := rand.New(rand.NewPCG(uint64(cpu), 0))
	for h.running() {
		for range 100 {
			key, value := h.key(r)
			h.act(t, r, cpu, key, value)
		}
	}
}

// act does what a program does with a map of its type.
func (h *hammer) act(t *testing.T, r *rand.Rand, cpu int, key, value []byte) {
	n := r.IntN(4)
	switch m := h.m.(type) {
	case Keyless:
		switch n {
		case 0:
			_ = m.Push(value, uint64(r.IntN(2))*UpdateExist)
		case 1:
			_ = m.Pop(make([]byte, 8))
		default:
			_ = m.Peek(value)
		}
	case *Storage:
		if n == 1 {
			_ = m.Drop(u32(key))
		} else {
			h.look(t, m.Get(cpu, u32(key), value, n == 0))
		}
	case *CgroupStorage:
		h.look(t, m.Get(cpu, binary.NativeEndian.Uint64(key), 0))
	case *StackTrace:
		_, _ = m.Put([]uint64{r.Uint64N(64), 1, 2}, uint64(n&1)*StackReuse)
	case *Ringbuf:
		if at := m.Reserve(16); at != 0 && n == 0 {
			m.Discard(at, 0)
		} else if at != 0 {
			copy(mem.View(at, 16), append(value, value...))
			m.Submit(at, 0)
		}
	case *UserRingbuf:
		_, _ = m.Drain(0, func(at uintptr, size uint32) bool {
			if b := mem.View(at, int(size)); string(b[:8]) != string(b[8:16]) {
				t.Errorf("record %x", b)
			}
			return n != 0
		})
	case *PerfEventArray:
		_ = m.Output(cpu, PerfCurrentCPU, value, nil)
	case SockMap:
		if n == 0 {
			_ = m.SetSocket(key, 1+r.Uint32N(9), uint64(r.IntN(3)))
		} else if n == 1 {
			_ = m.Delete(key)
		} else {
			m.Socket(key)
		}
	default:
		h.access(t, r, cpu, key, value)
	}
}

// access does what programs do with most maps.
func (h *hammer) access(t *testing.T, r *rand.Rand, cpu int, key, value []byte) {
	switch r.IntN(4) {
	case 0:
		_ = h.m.Update(cpu, key, value[:h.m.Info().ValueSize], uint64(r.IntN(3)))
	case 1:
		_ = h.m.Delete(key)
	default:
		at := h.m.Lookup(cpu, key)
		if h.carries {
			h.look(t, at)
		}
	}
}

// look reads a value. Its element may be given to another key at any moment, but
// then the value is that key's: its halves are equal.
func (h *hammer) look(t *testing.T, at uintptr) {
	if at == 0 {
		return
	}
	if v := atomic.LoadUint64((*uint64)(mem.At(at))); uint32(v>>32) != uint32(v) {
		t.Errorf("value %#x", v)
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
			value = value[:len(out)]
			switch r.IntN(6) {
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
			case 5:
				h.ring(t, r)
			}
		}
	}
}

// ring does what user space does with a ring buffer.
func (h *hammer) ring(t *testing.T, r *rand.Rand) {
	switch m := h.m.(type) {
	case *Ringbuf:
		if b, _, ok := m.Next(nil); ok && string(b[:8]) != string(b[8:]) {
			t.Errorf("record %x", b)
		}
	case *UserRingbuf:
		b, err := m.Reserve(16 + r.IntN(40))
		if err != nil {
			return
		}
		copy(b[copy(b, le64(r.Uint64())):], b[:8])
		if r.IntN(4) == 0 {
			m.Discard(b)
		} else {
			m.Submit(b)
		}
	}
}

// check holds what user space got against what was written for that key.
func (h *hammer) check(t *testing.T, key, got, want []byte) {
	if !h.carries {
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
			deadline, k := time.Now().Add(*hammerTime/10), key(0)
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
