package ctxfile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/vm/memory"
)

// readMemory reads the list under memory: objects with a name, a type and a value,
// and regions at an address.
func (r *reader) readMemory(top *entries) error {
	e, ok := top.take("memory")
	if !ok {
		return nil
	}
	list, ok := e.value.([]any)
	if !ok {
		return e.errorf("want a list of objects and regions")
	}
	var named []entry // with their values
	for _, item := range list {
		at := item.(memory.At)
		e := entry{name: "memory", line: at.Line}
		fields, ok := at.Value.(map[string]any)
		if !ok {
			return e.errorf("want a name, a type and a value, or an address (at) and bytes")
		}
		var err error
		if _, ok := fields["at"]; ok {
			err = r.region(fields)
		} else {
			var o entry
			o, err = r.declare(fields)
			named = append(named, o)
		}
		if err != nil {
			return e.errorf("%w", err)
		}
	}
	for _, o := range named {
		if err := r.memory.Define(o.name, o.value); err != nil {
			return fmt.Errorf("object %s: %w", o.name, err)
		}
	}
	return nil
}

// object is the value of a key, without its line.
func object(fields map[string]any, key string) any {
	at, _ := fields[key].(memory.At)
	return at.Value
}

// known refuses keys that are none of some.
func known(fields map[string]any, keys ...string) error {
	for name := range fields {
		found := false
		for _, k := range keys {
			found = found || k == name
		}
		if !found {
			return fmt.Errorf("unknown field %s%s", name, suggest.Name(name, keys))
		}
	}
	return nil
}

// declare makes room for a named object.
func (r *reader) declare(fields map[string]any) (entry, error) {
	if err := known(fields, "name", "type", "value"); err != nil {
		return entry{}, err
	}
	name, err := optional[string](fields, "name", "a name")
	if err != nil {
		return entry{}, err
	}
	typ, err := optional[string](fields, "type", "the name of a type")
	if err != nil {
		return entry{}, err
	}
	if name == "" || typ == "" {
		return entry{}, errors.New("an object has a name and a type")
	}
	value := fields["value"]
	return entry{name: name, value: value}, r.memory.Declare(name, typ, value)
}

// region adds memory at an address.
func (r *reader) region(fields map[string]any) error {
	if err := known(fields, "at", "user", "string", "bytes", "size"); err != nil {
		return err
	}
	addr, err := memory.Number(object(fields, "at"), 8, false)
	if err != nil {
		return fmt.Errorf("at: %w", err)
	}
	user, err := optional[bool](fields, "user", "true or false")
	if err != nil {
		return err
	}
	text, err := optional[string](fields, "string", "a text")
	if err != nil {
		return err
	}
	digits, err := optional[string](fields, "bytes", "hex digits in quotes")
	if err != nil {
		return err
	}
	size, err := optional[int64](fields, "size", "a number")
	if err != nil {
		return err
	}
	b, err := hexBytes(digits)
	switch {
	case err != nil:
		return fmt.Errorf("bytes: %w", err)
	case size < 0 || size > maxRegion:
		return fmt.Errorf("size: %d is not between 0 and %d", size, maxRegion)
	}
	if text != "" {
		b = append([]byte(text), 0)
	}
	b = append(b, make([]byte, max(int(size)-len(b), 0))...)
	if len(b) == 0 {
		return fmt.Errorf("memory at %#x has neither string, bytes nor size", addr)
	}
	r.memory.Region(addr, b, user)
	return nil
}

// optional is the value of a key, the zero value where it is not there.
func optional[T any](fields map[string]any, key, want string) (value T, err error) {
	v := object(fields, key)
	if v == nil {
		return value, nil
	}
	value, ok := v.(T)
	if !ok {
		return value, fmt.Errorf("%s: %v is not %s", key, v, want)
	}
	return value, nil
}

// hexBytes reads hex digits with or without spaces between.
func hexBytes(digits string) ([]byte, error) {
	return hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", ":", "").Replace(digits))
}

// maxRegion is the largest size of a region, in bytes.
const maxRegion = 64 << 20
