package vm_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm"
)

// wild reads where R0 leads, which nobody knows.
func wild() *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Name: "wild", Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.LoadImm(asm.R0, 0x1234, asm.DWord),
		asm.LoadMem(asm.R0, asm.R0, 0, asm.DWord),
		asm.Return(),
	}}
}

// TestNoWayRound loads a program that is refused in every way there is.
func TestNoWayRound(t *testing.T) {
	spec := func() *ebpf.CollectionSpec {
		return &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{"wild": wild()}}
	}
	var into struct {
		Wild *vm.Program `ebpf:"wild"`
	}
	for name, load := range map[string]func() error{
		"NewProgram":            func() error { _, err := vm.NewProgram(wild()); return err },
		"NewProgramWithOptions": func() error { _, err := vm.NewProgramWithOptions(wild(), vm.ProgramOptions{}); return err },
		"NewCollection":         func() error { _, err := vm.NewCollection(spec()); return err },
		"NewCollectionWithOptions": func() error {
			_, err := vm.NewCollectionWithOptions(spec(), vm.CollectionOptions{})
			return err
		},
		"LoadAndAssign": func() error { return vm.LoadAndAssign(spec(), &into, nil) },
	} {
		var refused *verifier.Error
		if err := load(); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOneWayIn demands that the code of programs is made in one place, which is
// behind the verifier.
func TestOneWayIn(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var makers []string
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			var verifies bool
			ast.Inspect(fn, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				switch f := call.Fun.(type) {
				case *ast.Ident:
					verifies = verifies || f.Name == "verify"
				case *ast.SelectorExpr:
					if x, ok := f.X.(*ast.Ident); ok && x.Name == "engine" && f.Sel.Name == "Compile" {
						makers = append(makers, fn.Name.Name)
						if !verifies {
							t.Errorf("%s makes a program that was not verified", fn.Name.Name)
						}
					}
				}
				return true
			})
		}
	}
	if len(makers) != 1 {
		t.Errorf("programs are made in %v, and should be in one place", makers)
	}
}

// A program is verified against the maps that it gets, not those that its spec
// describes: here constants that a map in their place does not hold.
func TestVerifiedWithItsMaps(t *testing.T) {
	const readOnlyForPrograms = 1 << 7
	constants := func(flags uint32, contents ...ebpf.MapKV) *ebpf.MapSpec {
		return &ebpf.MapSpec{
			Name: ".rodata", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
			Flags: flags, Contents: contents,
		}
	}
	zero := ebpf.MapKV{Key: uint32(0), Value: make([]byte, 8)}
	spec := &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{".rodata": constants(readOnlyForPrograms, zero)},
		Programs: map[string]*ebpf.ProgramSpec{"index": {Name: "index", Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
			asm.LoadMapValue(asm.R1, 0, 0).WithReference(".rodata"),
			asm.LoadMem(asm.R2, asm.R1, 0, asm.DWord), // 0, as far as the spec tells
			asm.Mov.Imm(asm.R3, 0),
			asm.StoreMem(asm.R10, -8, asm.R3, asm.DWord),
			asm.Add.Reg(asm.R2, asm.R10),
			asm.LoadMem(asm.R0, asm.R2, -8, asm.DWord),
			asm.Return(),
		}}},
	}
	coll, err := vm.NewCollection(spec)
	if err != nil {
		t.Fatal(err)
	}
	coll.Close()
	other := constants(readOnlyForPrograms)
	other.Name = "other" // not constant data, so nobody freezes it
	m, err := vm.NewMap(other)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	_, err = vm.NewCollectionWithOptions(spec, vm.CollectionOptions{MapReplacements: map[string]*vm.Map{".rodata": m}})
	var refused *verifier.Error
	if !errors.As(err, &refused) {
		t.Errorf("with a map that may hold anything: %v", err)
	}
}
