package vmlinux

import (
	"bytes"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/internal/verifiersuite"
	"github.com/skep-ebpf/skep/program/clang"
)

var all = flag.Bool("all", false, "compare all types of all kernels, not an eighth of the running one's")

// parts is into how many parts types are divided, as clang takes time by the square
// of their number.
const parts = 8

// roundTrip compares the layout of named types with what clang makes of their
// declarations: those of one part, or of all.
func roundTrip(t *testing.T, spec *btf.Spec) {
	t.Helper()
	cc, err := clang.Find()
	if err != nil {
		t.Skip(err)
	}
	if cc.Major < 15 {
		t.Skipf("%s writes no sign of enums, nor those of 64 bits: needs clang 15", cc.Path)
	}
	var header bytes.Buffer
	if err := Write(&header, spec); err != nil {
		t.Fatal(err)
	}
	n := newNames()
	var types, named []btf.Type
	for typ := range spec.All() {
		types = append(types, typ)
	}
	n.assign(types)
	for _, typ := range types {
		switch typ := typ.(type) {
		case *btf.Struct, *btf.Union, *btf.Typedef:
			if n.of[typ] != "" {
				named = append(named, typ)
			}
		case *btf.Enum:
			if len(typ.Values) > 0 {
				named = append(named, typ)
			}
		}
	}
	from, to := 0, parts
	if !*all && len(named) > 1000 {
		from = int(testenv.Seed(t) % parts)
		to = from + 1
	}
	for ; from < to; from++ {
		var part []btf.Type
		for i := from; i < len(named); i += parts {
			part = append(part, named[i])
		}
		compare(t, n, part, compiled(t, cc, header.Bytes(), n, part))
	}
}

// compiled has clang compile the header, and gives what it made of types, by name.
func compiled(t *testing.T, cc *clang.Compiler, header []byte, n *names, types []btf.Type) map[string][]btf.Type {
	t.Helper()
	c := bytes.NewBuffer(slices.Clone(header))
	c.WriteString("union compared_types {\n") // clang follows members, not pointers
	for i, typ := range types {
		if name, ok := typ.(*btf.Typedef); ok {
			fmt.Fprintf(c, "\t%s *use%d;\n", n.of[name], i)
		} else {
			fmt.Fprintf(c, "\t%s use%d;\n", n.tagged(typ), i)
		}
	}
	c.WriteString("} *compared_types;\n")
	object := filepath.Join(t.TempDir(), "types.o")
	cmd := exec.Command(cc.Path, "-target", "bpf", "-g", "-O2", "-Wall", "-Werror", "-Wno-pragma-clang-attribute", "-x", "c", "-c", "-", "-o", object)
	cmd.Stdin = c
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%.4000s", err, out)
	}
	back, err := btf.LoadSpec(object)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]btf.Type)
	for typ := range back.All() {
		found[typ.TypeName()] = append(found[typ.TypeName()], typ)
	}
	return found
}

func compare(t *testing.T, n *names, types []btf.Type, found map[string][]btf.Type) {
	t.Helper()
	c := comparison{n}
	differ := 0
	for _, typ := range types {
		if err := c.oneOf(typ, found[n.of[typ]]); err != nil {
			if differ++; differ <= 20 {
				t.Errorf("%v: %v", typ, err)
			}
		}
	}
	t.Logf("%d of %d types differ", differ, len(types))
}

type comparison struct{ names *names }

func (c comparison) oneOf(want btf.Type, found []btf.Type) error {
	err := fmt.Errorf("%d of this name, none of the same kind", len(found))
	for _, got := range found {
		if fmt.Sprintf("%T", got) == fmt.Sprintf("%T", want) {
			err = c.definition(want, got)
		}
	}
	return err
}

func (c comparison) definition(want, got btf.Type) error {
	switch want := want.(type) {
	case *btf.Struct:
		got := got.(*btf.Struct)
		return c.members(want.Size, got.Size, want.Members, got.Members)
	case *btf.Union:
		got := got.(*btf.Union)
		return c.members(want.Size, got.Size, want.Members, got.Members)
	case *btf.Typedef:
		return c.same(want.Type, got.(*btf.Typedef).Type)
	case *btf.Enum:
		got := got.(*btf.Enum)
		if want.Size != got.Size || len(want.Values) != len(got.Values) {
			return fmt.Errorf("%d bytes, %d values, want %d and %d", got.Size, len(got.Values), want.Size, len(want.Values))
		}
		for i, v := range got.Values {
			if v.Name != c.names.values[want][i] || v.Value != want.Values[i].Value {
				return fmt.Errorf("value %s = %#x, want %v", v.Name, v.Value, want.Values[i])
			}
		}
	}
	return nil
}

func (c comparison) members(wantSize, gotSize uint32, want, got []btf.Member) error {
	if hole := len(got) - 1; len(got) == len(want)+1 && got[hole].Name == "" {
		got = got[:hole] // what makes a union larger
	}
	if wantSize != gotSize || len(want) != len(got) {
		return fmt.Errorf("%d bytes, %d members, want %d and %d", gotSize, len(got), wantSize, len(want))
	}
	for i, m := range got {
		if w := want[i]; m.Offset != w.Offset || m.BitfieldSize != w.BitfieldSize || w.Name != "" && m.Name != member(w.Name) {
			return fmt.Errorf("member %s at bit %d, %d bits, want %s at %d, %d", m.Name, m.Offset, m.BitfieldSize, w.Name, w.Offset, w.BitfieldSize)
		}
		if err := c.same(want[i].Type, m.Type); err != nil {
			return fmt.Errorf("member %s: %w", m.Name, err)
		}
	}
	return nil
}

// same compares types down to those with names, which are compared by themselves.
func (c comparison) same(want, got btf.Type) error {
	want, got = ctype.Unqualified(want), ctype.Unqualified(got)
	if _, pruned := got.(*btf.Fwd); pruned { // clang does not follow each pointer
		if kind := fmt.Sprintf("%T", want); kind != "*btf.Struct" && kind != "*btf.Union" && kind != "*btf.Fwd" {
			return fmt.Errorf("%v, want %v", got, want)
		}
		return nil
	}
	if f, ok := want.(*btf.Fwd); ok {
		want = c.names.definition(f)
	}
	if wantKind, gotKind := fmt.Sprintf("%T", want), fmt.Sprintf("%T", got); wantKind != gotKind {
		return fmt.Errorf("%s, want %s", gotKind, wantKind)
	}
	switch want := want.(type) {
	case *btf.Pointer:
		return c.same(want.Target, got.(*btf.Pointer).Target)
	case *btf.Array:
		got := got.(*btf.Array)
		if got.Nelems != want.Nelems {
			return fmt.Errorf("%d elements, want %d", got.Nelems, want.Nelems)
		}
		return c.same(want.Type, got.Type)
	case *btf.FuncProto:
		got := got.(*btf.FuncProto)
		if len(got.Params) != len(want.Params) {
			return fmt.Errorf("%d parameters, want %d", len(got.Params), len(want.Params))
		}
		for i, p := range want.Params {
			if err := c.same(p.Type, got.Params[i].Type); err != nil {
				return err
			}
		}
		return c.same(want.Return, got.Return)
	case *btf.Int:
		got := got.(*btf.Int)
		if got.Size != want.Size || got.Size > 1 && got.Encoding&btf.Signed != want.Encoding&btf.Signed {
			return fmt.Errorf("%v, want %v", got, want)
		}
	case *btf.Typedef, *btf.Enum:
		if name := c.names.of[want]; name != got.TypeName() {
			return fmt.Errorf("%s, want %s", got.TypeName(), name)
		}
	case *btf.Struct, *btf.Union:
		if got.TypeName() == "" { // or a member without a name, of a type with one
			return c.definition(want, got)
		}
		if name := c.names.of[want]; name != got.TypeName() {
			return fmt.Errorf("%s, want %s", got.TypeName(), name)
		}
	}
	return nil
}

// TestKernels compares the layout of types of the running kernel, and of those
// whose types the external data has, with what clang makes of vmlinux.h.
func TestKernels(t *testing.T) {
	t.Run("running", func(t *testing.T) {
		spec, err := btf.LoadKernelSpec()
		if err != nil {
			t.Skipf("no types of the running kernel: %v", err)
		}
		roundTrip(t, spec)
	})
	if !*all {
		return
	}
	for _, kernel := range []string{"5.10", "6.1", "6.12", "7.2", "7.2-arm64"} {
		t.Run(strings.ReplaceAll(kernel, ".", "_"), func(t *testing.T) {
			roundTrip(t, verifiersuite.KernelTypes(t, kernel))
		})
	}
}
