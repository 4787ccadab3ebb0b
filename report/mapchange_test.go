package report

import (
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
)

func TestMapChanges(t *testing.T) {
	u64 := &btf.Int{Name: "__u64", Size: 8}
	addr := &btf.Struct{Name: "in_addr", Size: 4}
	counter := &btf.Struct{Name: "counter", Size: 24, Members: []btf.Member{
		{Name: "packets", Type: u64}, {Name: "bytes", Type: u64, Offset: 64}, {Name: "last", Type: addr, Offset: 128},
	}}
	number := func(n byte) []byte { return []byte{n, 0, 0, 0, 0, 0, 0, 0} }
	value := func(packets, bytes, last byte) []byte {
		return append(append(append(number(packets), number(bytes)...), 10, 0, 0, last), 0, 0, 0, 0)
	}
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	hosts := func(entries ...Entry) *Map {
		return &Map{Name: "hosts", Kind: "Hash", KeyType: addr, ValueType: counter, Entries: entries}
	}
	sums := func(a, b byte) *Map {
		return &Map{Name: "sums", Kind: "PerCPUArray", Indexed: true, PerCPU: true, ValueType: u64, MaxEntries: 1,
			Entries: []Entry{{Key: []byte{0, 0, 0, 0}, Values: [][]byte{number(a), number(b)}}}}
	}
	last := func(a, b byte) *Map {
		return &Map{Name: "last", Kind: "PerCPUArray", Indexed: true, PerCPU: true, ValueType: addr, MaxEntries: 1,
			Entries: []Entry{{Key: []byte{0, 0, 0, 0}, Values: [][]byte{{10, 0, 0, a}, {10, 0, 0, b}}}}}
	}
	one := func(key byte, values ...[]byte) Entry { return Entry{Key: []byte{192, 0, 2, key}, Values: values} }
	both(t, "changes", func(w *Writer) error {
		for _, looks := range [][2]*Map{
			{hosts(one(1, value(1, 60, 1)), one(2, value(2, 99, 1)), one(3, value(9, 9, 9))),
				hosts(one(1, value(3, 180, 1)), one(2, value(1, 99, 2)), one(4, value(7, 70, 7)))},
			{sums(1, 2), sums(1, 7)},
			{sums(1, 7), sums(1, 7)},
			{last(1, 1), last(1, 2)},
		} {
			for _, c := range looks[1].Changes(looks[0], now) {
				if err := w.MapChange(c); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
