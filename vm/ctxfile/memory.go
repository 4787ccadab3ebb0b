package ctxfile

import (
	"encoding/hex"
	"fmt"

	"github.com/skep-ebpf/skep/internal/strictyaml"
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
			return fmt.Errorf("unknown field %s%s", name, strictyaml.Suggest(name, keys))
		}
	}
	return nil
}

// declare makes room for a named object.
func (r *reader) declare(fields map[string]any) (entry, error) {
	if err := known(fields, "name", "type", "value"); err != nil {
		return entry{}, err
	}
	name, _ := object(fields, "name").(string)
	typ, _ := object(fields, "type").(string)
	if name == "" || typ == "" {
		return entry{}, fmt.Errorf("an object has a name and a type")
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
	user, _ := object(fields, "user").(bool)
	var b []byte
	if text, ok := object(fields, "string").(string); ok {
		b = append([]byte(text), 0)
	}
	if text, ok := object(fields, "bytes").(string); ok {
		if b, err = hex.DecodeString(text); err != nil {
			return fmt.Errorf("bytes: %w", err)
		}
	}
	if n, ok := object(fields, "size").(int64); ok {
		if n < 0 || n > maxRegion {
			return fmt.Errorf("size: %d is not between 0 and %d", n, maxRegion)
		}
		b = append(b, make([]byte, max(int(n)-len(b), 0))...)
	}
	if len(b) == 0 {
		return fmt.Errorf("memory at %#x has neither string, bytes nor size", addr)
	}
	r.memory.Region(addr, b, user)
	return nil
}

// maxRegion is the largest size of a region, in bytes.
const maxRegion = 64 << 20
