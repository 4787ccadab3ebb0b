package vm

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// MapIterator walks a map. See [Map.Iterate].
type MapIterator struct {
	target *Map
	cursor []byte // the last key; nil before the first
	count  uint32
	done   bool
	err    error
}

// Iterate traverses a map. Keys that are added or removed meanwhile may be
// missed or seen twice, as in Linux.
func (m *Map) Iterate() *MapIterator { return &MapIterator{target: m} }

// Next decodes the next key and value. It returns false after the last one, and
// on an error; see Err.
func (it *MapIterator) Next(keyOut, valueOut any) bool {
	for !it.done && it.err == nil {
		if it.count > it.target.info.MaxEntries {
			it.err = fmt.Errorf("iterate map %s: %w", it.target.info.Name, ebpf.ErrIterationAborted)
			break
		}
		if it.advance(); it.done || it.err != nil {
			break
		}
		it.count++
		err := it.target.Lookup(it.cursor, valueOut)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue // deleted since, or an empty slot of an array of maps or programs
		}
		if err == nil {
			err = unmarshal(keyOut, it.cursor)
		}
		it.err = err
		return err == nil
	}
	return false
}

// advance moves the cursor to the next key.
func (it *MapIterator) advance() {
	var err error
	if it.cursor == nil {
		it.cursor = make([]byte, it.target.info.KeySize)
		err = it.target.nextKey(nil, it.cursor)
	} else {
		err = it.target.nextKey(it.cursor, it.cursor)
	}
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		it.done = true
	} else {
		it.err = err
	}
}

// Err is the error that ended the iteration, if one did.
func (it *MapIterator) Err() error { return it.err }
