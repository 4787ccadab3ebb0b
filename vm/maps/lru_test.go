package maps

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

func lruMap(t testing.TB, typ ebpf.MapType, n uint32) Map {
	spec := goodSpec(typ)
	spec.MaxEntries = n
	return newMap(t, spec)
}

// count reads the keys of a map.
func count(t testing.TB, m Map) int {
	t.Helper()
	n := 0
	var key []byte
	for {
		next := make([]byte, m.Info().KeySize)
		err := m.NextKey(key, next)
		if errnoOf(err) == errno.ENOENT {
			return n
		}
		must(t, err)
		key = next
		n++
	}
}

func TestLRUCapacity(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.LRUHash, ebpf.LRUCPUHash} {
		for _, n := range []uint32{1, 2, 7, 100} {
			m := lruMap(t, typ, n)
			for i := range 5 * n {
				must(t, m.Update(0, le32(i), le64(uint64(i)), 0))
				if got := value(t, m.Lookup(0, le32(i))); got != uint64(i) {
					t.Fatalf("key %d has value %d", i, got)
				}
				if got := count(t, m); got != int(min(i+1, n)) {
					t.Fatalf("%d keys after %d insertions into a map for %d", got, i+1, n)
				}
			}
		}
	}
}

func TestLRUKeepsWhatIsUsed(t *testing.T) {
	const n = 1000
	m := lruMap(t, ebpf.LRUHash, n)
	for i := range uint32(n) {
		must(t, m.Update(0, le32(i), le64(0), 0))
	}
	for round := range uint32(10) {
		for i := range uint32(n / 2) {
			if m.Lookup(0, le32(i)) == 0 {
				t.Fatalf("round %d: key %d was used and is gone", round, i)
			}
		}
		for i := range uint32(n / 4) {
			must(t, m.Update(0, le32(n+round*n+i), le64(0), 0))
		}
	}
}

// User space's lookups do not count as use.
func TestLRUUserLookup(t *testing.T) {
	m := lruMap(t, ebpf.LRUHash, 2)
	must(t, m.Update(0, le32(0), le64(0), 0))
	must(t, m.Update(0, le32(1), le64(0), 0))
	must(t, m.UserLookup(le32(0), make([]byte, 8), 0))
	m.Lookup(0, le32(1))
	must(t, m.Update(0, le32(2), le64(0), 0))
	wantErrno(t, m.UserLookup(le32(0), make([]byte, 8), 0), errno.ENOENT)
}

func TestLRUFlags(t *testing.T) {
	m := lruMap(t, ebpf.LRUHash, 1)
	must(t, m.Update(0, le32(0), le64(1), UpdateNoExist))
	wantErrno(t, m.Update(0, le32(0), le64(2), UpdateNoExist), errno.EEXIST)
	wantErrno(t, m.Update(0, le32(1), le64(2), UpdateExist), errno.ENOENT)
	must(t, m.Update(0, le32(0), le64(3), UpdateExist))
	if got := value(t, m.Lookup(0, le32(0))); got != 3 {
		t.Errorf("value %d", got)
	}
}

func TestNoCommonLRURounds(t *testing.T) {
	spec := goodSpec(ebpf.LRUHash)
	spec.MaxEntries, spec.Flags = 5, FlagNoCommonLRU
	if got := newMap(t, spec).Info().MaxEntries; got != 6 {
		t.Errorf("max_entries 5 for 2 CPUs became %d", got)
	}
}
