// Package strictyaml reads files that people write, in YAML or JSON, into Go
// structs. What a struct has no field for is an error that says where it stands
// and which field may have been meant.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/skep-ebpf/skep/internal/suggest"
)

// Decode reads one document into the struct that to points to, whose fields have
// yaml tags. The name is the file's, for messages.
func Decode(name string, text []byte, to any) error {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s is empty", name)
	case err != nil:
		return fmt.Errorf("read %s: %s", name, sentence(err))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: it holds more than one document", name)
	}
	// The library refuses aliases that contain themselves, or grow without bound.
	if err := doc.Decode(to); err != nil {
		return fmt.Errorf("read %s: %s", name, sentence(err))
	}
	if err := check(doc.Content[0], reflect.TypeOf(to).Elem()); err != nil {
		return fmt.Errorf("%s:%w", name, err)
	}
	return nil
}

// check finds the first field that a type does not have.
func check(n *yaml.Node, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]()) {
		return nil // reads itself
	}
	switch {
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		known := fields(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			f, ok := known[key.Value]
			if !ok {
				return fmt.Errorf("%d: unknown field %s%s", key.Line, key.Value, suggest.Name(key.Value, slices.Collect(maps.Keys(known))))
			}
			if err := check(n.Content[i+1], f); err != nil {
				return err
			}
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Map:
		for i := 1; i < len(n.Content); i += 2 {
			if err := check(n.Content[i], t.Elem()); err != nil {
				return err
			}
		}
	case n.Kind == yaml.SequenceNode && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
		for _, e := range n.Content {
			if err := check(e, t.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

// fields are a struct's fields by their names in YAML, those of structs that it
// takes in included.
func fields(t reflect.Type) map[string]reflect.Type {
	known := make(map[string]reflect.Type)
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		switch {
		case option == "inline":
			maps.Copy(known, fields(t.Field(i).Type))
		case name != "" && name != "-":
			known[name] = t.Field(i).Type
		}
	}
	return known
}

// sentence is a YAML error on one line, without the library's name.
func sentence(err error) string {
	if many, ok := errors.AsType[*yaml.TypeError](err); ok {
		return many.Errors[0]
	}
	return strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "yaml: ")
}
