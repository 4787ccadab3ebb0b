package progen

import (
	"encoding/binary"
	"math"
)

// edges are where arithmetic changes its mind.
var edges = []uint64{
	0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65,
	math.MaxInt8, math.MaxInt8 + 1, math.MaxUint8, math.MaxUint8 + 1,
	math.MaxInt16, math.MaxInt16 + 1, math.MaxUint16, math.MaxUint16 + 1,
	math.MaxInt32 - 1, math.MaxInt32, math.MaxInt32 + 1, math.MaxUint32 - 1, math.MaxUint32, math.MaxUint32 + 1,
	math.MaxInt64 - 1, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64 - 1, math.MaxUint64,
	0xffffffff_80000000, 0xffffffff_7fffffff, 0xffffffff_00000000, 0x80000000_00000001, 0x01234567_89abcdef,
}

// word gives a 64-bit number, an edge more often than not.
func (g *gen) word() uint64 {
	switch g.rand.IntN(8) {
	case 0:
		return g.rand.Uint64()
	case 1:
		return g.rand.Uint64() >> g.rand.IntN(64)
	case 2:
		return -pick(g, edges)
	}
	return pick(g, edges)
}

// imm gives an immediate, an edge more often than not.
func (g *gen) imm() int32 { return int32(g.word()) }

// bytes gives n bytes of words.
func (g *gen) bytes(n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, g.word())
	}
	return b[:n]
}

func pick[T any](g *gen, from []T) T { return from[g.rand.IntN(len(from))] }

// one reports true once in n times.
func (g *gen) one(n int) bool { return g.rand.IntN(n) == 0 }
