package vm

import (
	"fmt"
	"reflect"
	"slices"
)

// Assign fills the fields of the struct that to points to with the maps,
// programs and variables that their ebpf tags name, and takes them out of the
// collection, as [ebpf.Collection.Assign] does. Structs inside it are followed.
func (c *Collection) Assign(to any) error {
	v := reflect.ValueOf(to)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("assign: %T is not a pointer to a struct", to)
	}
	var fields []field
	if err := taggedFields(v.Elem(), &fields, nil); err != nil {
		return fmt.Errorf("assign: %w", err)
	}
	type object struct {
		typ  reflect.Type
		name string
	}
	taken := make(map[object]string)
	for _, f := range fields {
		o := object{f.value.Type(), f.tag}
		if other, ok := taken[o]; ok {
			return fmt.Errorf("assign: field %s: %s is field %s already", f.name, f.tag, other)
		}
		taken[o] = f.name
		if err := c.find(f); err != nil {
			return fmt.Errorf("assign: field %s: %w", f.name, err)
		}
	}
	for _, f := range fields {
		switch f.value.Interface().(type) {
		case *Program:
			delete(c.Programs, f.tag)
		case *Map:
			delete(c.Maps, f.tag)
		}
	}
	return nil
}

// field is a struct field with an ebpf tag.
type field struct {
	name, tag string
	value     reflect.Value
}

// taggedFields adds the tagged fields of v and of the structs in it. within are
// the types of the structs around it.
func taggedFields(v reflect.Value, fields *[]field, within []reflect.Type) error {
	if slices.Contains(within, v.Type()) {
		return fmt.Errorf("struct %s contains itself", v.Type())
	}
	within = append(within, v.Type())
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		tag := f.Tag.Get("ebpf")
		if tag != "" {
			if !value.CanSet() {
				return fmt.Errorf("field %s is not exported", f.Name)
			}
			*fields = append(*fields, field{f.Name, tag, value})
			continue
		}
		if value.Kind() == reflect.Pointer && value.Type().Elem().Kind() == reflect.Struct && !value.IsNil() {
			value = value.Elem()
		}
		if value.Kind() == reflect.Struct {
			if err := taggedFields(value, fields, within); err != nil {
				return err
			}
		}
	}
	return nil
}

// find sets a field to what its tag names.
func (c *Collection) find(f field) error {
	var found reflect.Value
	switch f.value.Interface().(type) {
	case *Program:
		found = reflect.ValueOf(c.Programs[f.tag])
	case *Map:
		found = reflect.ValueOf(c.Maps[f.tag])
	case *Variable:
		found = reflect.ValueOf(c.Variables[f.tag])
	default:
		return fmt.Errorf("has type %s, which is not *vm.Program, *vm.Map or *vm.Variable", f.value.Type())
	}
	if found.IsNil() {
		return fmt.Errorf("the collection has no %s named %q", f.value.Type(), f.tag)
	}
	f.value.Set(found)
	return nil
}
