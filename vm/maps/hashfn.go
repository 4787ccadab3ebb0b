package maps

import (
	"encoding/binary"
	"math/bits"
)

// Odd constants with about as many ones as zeroes.
const (
	mix0 = 0x9e3779b97f4a7c15
	mix1 = 0xd1b54a32d192ed03
	mix2 = 0x8cb92ba72f3d8dd7
)

// fold multiplies to 128 bits and folds the halves together.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hashOf mixes a key of any length. Keys of 4 and 8 bytes, the most frequent
// ones, go a short way.
func hashOf(key []byte, seed uint64) uint64 {
	switch len(key) {
	case 4:
		return fold(uint64(binary.LittleEndian.Uint32(key))^seed^mix0, mix1)
	case 8:
		return fold(binary.LittleEndian.Uint64(key)^seed^mix0, mix1)
	}
	h := seed ^ uint64(len(key))*mix0
	for len(key) > 16 {
		h = fold(binary.LittleEndian.Uint64(key)^mix1, binary.LittleEndian.Uint64(key[8:])^h)
		key = key[16:]
	}
	a, b := tail(key)
	return fold(fold(a^mix1, b^h), mix2)
}

// tail reads the last 1 to 16 bytes as two numbers that may overlap.
func tail(b []byte) (uint64, uint64) {
	switch n := len(b); {
	case n >= 8:
		return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		return uint64(b[0]) | uint64(b[n/2])<<8 | uint64(b[n-1])<<16, 0
	}
	return 0, 0
}
