package maps

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// bloom is BPF_MAP_TYPE_BLOOM_FILTER: a bit set in which every value that was
// pushed has its bits, one for each hash function, set.
type bloom struct {
	common
	mask   uint32 // number of bits - 1
	hashes int
	seed   uint64
}

func newBloom(info Info) (Map, error) {
	b := &bloom{hashes: int(info.Extra & 15)}
	if b.hashes == 0 {
		b.hashes = 5
	}
	// The rate of false positives is lowest with hashes * n / ln 2 bits; 7/5 is
	// near enough to 1/ln 2.
	n := uint64(info.MaxEntries) * uint64(b.hashes) * 7 / 5
	n = min(uint64(1)<<bits.Len64(max(n, 64)-1), 1<<32)
	b.mask = uint32(n - 1)
	if info.Flags&FlagZeroSeed == 0 {
		b.seed = rand.Uint64()
	}
	b.init(info, b)
	return b, b.reserve(n / 8)
}

// bit is the number of a value's bit for one of the hash functions: two halves
// of one hash make all of them.
func (b *bloom) bit(hash uint64, i int) uint32 {
	return (uint32(hash) + uint32(i)*(uint32(hash>>32)|1)) & b.mask
}

func (b *bloom) word(bit uint32) *uint32 {
	return (*uint32)(mem.At(b.mem.Addr() + uintptr(bit/32)*4))
}

// Push implements Keyless.
func (b *bloom) Push(value []byte, flags uint64) error {
	if flags != UpdateAny {
		return errno.EINVAL
	}
	hash := hashOf(value, b.seed)
	for i := range b.hashes {
		bit := b.bit(hash, i)
		atomic.OrUint32(b.word(bit), 1<<(bit%32))
	}
	return nil
}

// Peek implements Keyless.
func (b *bloom) Peek(value []byte) error {
	hash := hashOf(value, b.seed)
	for i := range b.hashes {
		bit := b.bit(hash, i)
		if atomic.LoadUint32(b.word(bit))&(1<<(bit%32)) == 0 {
			return errno.ENOENT
		}
	}
	return nil
}

// Pop implements Keyless: nothing can be taken out.
func (b *bloom) Pop([]byte) error { return errno.EOPNOTSUPP }

// Update implements Map: programs push instead.
func (b *bloom) Update(int, []byte, []byte, uint64) error { return errno.EINVAL }

// userLookup reads value, which says what is asked for.
func (b *bloom) userLookup(_, value []byte, _ uint64) error { return b.Peek(value) }

func (b *bloom) userUpdate(_, value []byte, flags uint64) error { return b.Push(value, flags) }

func (b *bloom) userDelete([]byte) error { return errno.EOPNOTSUPP }

func (b *bloom) nextKey([]byte, []byte) error { return errno.EOPNOTSUPP }
