package vm

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/maps"
)

// MapBatchCursor is where a batch lookup goes on. The zero value is the start.
type MapBatchCursor struct {
	m    *Map
	last []byte // the last key that was read; nil before the first
}

// BatchLookup reads many elements: keysOut and valuesOut are slices of equal
// length, in a per-CPU map valuesOut has an element a key and CPU, or with
// [maps.FlagCPU] in opts.ElemFlags an element a key. It gives the
// number of elements read, and an error that is [ebpf.ErrKeyNotExist] once the
// end is reached, also together with the last elements. Any room is enough:
// Linux reads hash maps by the bucket and gives ENOSPC where one does not fit.
func (m *Map) BatchLookup(cursor *MapBatchCursor, keysOut, valuesOut any, opts *ebpf.BatchOptions) (int, error) {
	n, err := m.batchLookup(cursor, keysOut, valuesOut, opts, false)
	return n, wrap("batch lookup", err)
}

// BatchLookupAndDelete is BatchLookup that deletes what it has read.
func (m *Map) BatchLookupAndDelete(cursor *MapBatchCursor, keysOut, valuesOut any, opts *ebpf.BatchOptions) (int, error) {
	n, err := m.batchLookup(cursor, keysOut, valuesOut, opts, true)
	return n, wrap("batch lookup and delete", err)
}

func (m *Map) batchLookup(cursor *MapBatchCursor, keysOut, valuesOut any, opts *ebpf.BatchOptions, remove bool) (int, error) {
	if cursor.m != nil && cursor.m != m {
		return 0, errors.New("a cursor may not be used with another map")
	}
	cursor.m = m
	what := batchLookup
	if remove {
		what = batchTake
	}
	flags, err := m.batchFlags(what, opts)
	if err != nil {
		return 0, err
	}
	count, err := m.batchCount(keysOut, valuesOut, flags)
	if err != nil {
		return 0, err
	}
	keySize, valueSize := int(m.info.KeySize), m.info.ValueSizeUnder(flags)
	keys, values := make([]byte, 0, count*keySize), make([]byte, 0, count*valueSize)
	n, next, value := 0, make([]byte, keySize), make([]byte, valueSize)
	var end error
	for n < count {
		if end = m.obj.NextKey(cursor.last, next); end != nil {
			break
		}
		// The cursor is the key before a deleted one, from which it can go on.
		if !remove {
			cursor.last = append(cursor.last[:0], next...)
		}
		if err := m.obj.UserLookup(next, value, flags); err != nil {
			continue // deleted since
		}
		if remove {
			if err := m.obj.UserDelete(next); err != nil {
				return n, err
			}
		}
		keys, values = append(keys, next...), append(values, value...)
		n++
	}
	if err := m.batchOut(keysOut, valuesOut, keys, values, n, flags); err != nil {
		return 0, err
	}
	if n == count && n > 0 && m.endsAtOnce() {
		end = m.obj.NextKey(cursor.last, next)
	}
	return n, end
}

// endsAtOnce reports whether a batch that takes the last element says so. Linux's
// hash maps look into the remaining buckets; its other maps find out at the next
// batch.
func (m *Map) endsAtOnce() bool {
	switch m.info.Type {
	case ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash, ebpf.LRUCPUHash, ebpf.HashOfMaps:
		return true
	}
	return false
}

// batchOut decodes n keys and values into the front of the caller's slices.
func (m *Map) batchOut(keysOut, valuesOut any, keys, values []byte, n int, flags uint64) error {
	if n == 0 {
		return nil
	}
	if err := unmarshal(front(keysOut, n), keys); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if !m.info.AllCPUs(flags) {
		if err := unmarshal(front(valuesOut, n), values); err != nil {
			return fmt.Errorf("values: %w", err)
		}
		return nil
	}
	cpus, size := m.info.CPUs, m.info.UserValueSize()
	for i := range n {
		one := reflect.ValueOf(valuesOut).Slice(i*cpus, (i+1)*cpus).Interface()
		if err := unmarshalPerCPU(one, values[i*size:(i+1)*size], int(m.info.ValueSize), cpus); err != nil {
			return fmt.Errorf("values of element %d: %w", i, err)
		}
	}
	return nil
}

func front(slice any, n int) any { return reflect.ValueOf(slice).Slice(0, n).Interface() }

// BatchUpdate writes many elements and gives the number written.
func (m *Map) BatchUpdate(keys, values any, opts *ebpf.BatchOptions) (int, error) {
	flags, err := m.batchFlags(batchUpdate, opts)
	if err != nil {
		return 0, wrap("batch update", err)
	}
	count, err := m.batchCount(keys, values, flags)
	if err != nil {
		return 0, wrap("batch update", err)
	}
	k, v := reflect.ValueOf(keys), reflect.ValueOf(values)
	for i := range count {
		value := any(nil)
		if m.info.AllCPUs(flags) {
			value = v.Slice(i*m.info.CPUs, (i+1)*m.info.CPUs).Interface()
		} else {
			value = v.Index(i).Interface()
		}
		if err := m.Update(k.Index(i).Interface(), value, ebpf.MapUpdateFlags(flags)); err != nil {
			return i, fmt.Errorf("batch element %d: %w", i, err)
		}
	}
	return count, nil
}

// BatchDelete deletes many elements and gives the number deleted.
func (m *Map) BatchDelete(keys any, opts *ebpf.BatchOptions) (int, error) {
	k := reflect.ValueOf(keys)
	if k.Kind() != reflect.Slice {
		return 0, fmt.Errorf("batch delete: keys: %T is not a slice", keys)
	}
	if _, err := m.batchFlags(batchDelete, opts); err != nil {
		return 0, wrap("batch delete", err)
	}
	for i := range k.Len() {
		if err := m.Delete(k.Index(i).Interface()); err != nil {
			return i, fmt.Errorf("batch element %d: %w", i, err)
		}
	}
	return k.Len(), nil
}

// batchOp is one of the operations on many elements.
type batchOp uint8

const (
	batchLookup batchOp = 1 << iota
	batchTake
	batchUpdate
	batchDelete
)

// batchFlags gives the flags for each element: ENOTSUPP where the map's type has
// no such operation, EINVAL for flags that the operation does not take.
func (m *Map) batchFlags(op batchOp, opts *ebpf.BatchOptions) (uint64, error) {
	var has batchOp
	switch m.info.Type {
	case ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash, ebpf.LRUCPUHash, ebpf.HashOfMaps:
		has = batchLookup | batchTake | batchUpdate | batchDelete
	case ebpf.LPMTrie:
		has = batchLookup | batchUpdate | batchDelete
	case ebpf.Array, ebpf.PerCPUArray, ebpf.ArrayOfMaps:
		has = batchLookup | batchUpdate
	}
	var flags uint64
	if opts != nil {
		flags = opts.ElemFlags
	}
	if has&op == 0 {
		return 0, errno.ENOTSUPP
	}
	allowed := uint64(maps.FlagLock)
	switch op {
	case batchLookup:
		allowed |= maps.FlagCPU
	case batchUpdate:
		allowed |= maps.FlagCPU | maps.FlagAllCPUs
	}
	return flags, m.info.CheckFlags(flags, allowed)
}

// batchCount is the number of elements that keys and values have room for.
func (m *Map) batchCount(keys, values any, flags uint64) (int, error) {
	k, v := reflect.ValueOf(keys), reflect.ValueOf(values)
	if k.Kind() != reflect.Slice {
		return 0, fmt.Errorf("keys: %T is not a slice", keys)
	}
	if v.Kind() != reflect.Slice {
		return 0, fmt.Errorf("values: %T is not a slice", values)
	}
	want := k.Len()
	if m.info.AllCPUs(flags) {
		want *= m.info.CPUs
	}
	if v.Len() != want {
		return 0, fmt.Errorf("%d keys need %d values, not %d", k.Len(), want, v.Len())
	}
	return k.Len(), nil
}
