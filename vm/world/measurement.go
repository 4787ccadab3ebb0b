package world

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/vm/exec"
)

// algorithms are the hashes that Linux measures files with, by their numbers there
// (HASH_ALGO_*), and how many bytes each has.
var algorithms = map[string]struct {
	number uint32
	size   int
}{
	"md5": {1, 16}, "sha1": {2, 20}, "sha256": {4, 32}, "sha384": {5, 48}, "sha512": {6, 64}, "sha224": {7, 28}, "sm3": {17, 32},
}

func measurements(texts map[uint64]string) (map[uint64]exec.Measurement, error) {
	all := make(map[uint64]exec.Measurement)
	for addr, text := range texts {
		m, err := measurement(text)
		if err != nil {
			return nil, fmt.Errorf("measurement of %#x: %w", addr, err)
		}
		all[addr] = m
	}
	return all, nil
}

func measurement(text string) (m exec.Measurement, err error) {
	name, digits, _ := strings.Cut(text, ":")
	algorithm, ok := algorithms[name]
	if !ok {
		return m, fmt.Errorf("%q: want an algorithm and a hash, such as sha256:9f86..%s", text, suggest.Name(name, slices.Sorted(maps.Keys(algorithms))))
	}
	m.Algorithm = algorithm.number
	if m.Digest, err = hex.DecodeString(digits); err != nil || len(m.Digest) != algorithm.size {
		return m, fmt.Errorf("%q: the hash of %s is %d hexadecimal digits", text, name, 2*algorithm.size)
	}
	return m, nil
}
