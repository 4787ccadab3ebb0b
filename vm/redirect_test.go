package vm_test

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
)

// TestRedirects: each mode's programs send packets where the checked one's do, also
// where a helper was called before that sent them elsewhere.
func TestRedirects(t *testing.T) {
	call := func(fn asm.BuiltinFunc, first asm.Instruction, args ...int64) asm.Instructions {
		insns := asm.Instructions{first}
		for i, arg := range args {
			insns = append(insns, asm.LoadImm(asm.R2+asm.Register(i), arg, asm.DWord))
		}
		return append(insns, fn.Call())
	}
	to := func(ifindex, flags int64) asm.Instructions {
		return call(asm.FnRedirect, asm.LoadImm(asm.R1, ifindex, asm.DWord), flags)
	}
	toMap := func(key, flags int64) asm.Instructions {
		return call(asm.FnRedirectMap, asm.LoadMapPtr(asm.R1, 0).WithReference("devices"), key, flags)
	}
	programs := map[ebpf.ProgramType][]asm.Instructions{
		ebpf.XDP: {
			to(3, 0), to(1<<32|3, 0), to(3, 1), append(to(3, 0), to(4, 7)...), append(to(3, 0), toMap(1, 0)...),
			toMap(0, 0), toMap(1, 2), toMap(2, 1), toMap(3, 2), toMap(7, 3), toMap(8, 1), toMap(-1, 0), toMap(1<<32|1, 0),
			toMap(1, 4), toMap(1, 8), toMap(5, 8), toMap(1, 16), toMap(5, 24), append(toMap(1, 0), toMap(2, 2)...),
			append(toMap(1, 0), append(call(asm.FnKtimeGetNs, asm.Mov.Imm(asm.R1, 0)), to(9, 0)...)...),
			append(append(toMap(1, 2), call(asm.FnKtimeGetNs, asm.Mov.Imm(asm.R1, 0))...), asm.Mov.Imm(asm.R0, 4)),
		},
		ebpf.SchedCLS: {to(3, 0), to(3, 1), to(3, 2), to(1<<32|3, 1), append(to(3, 1), to(4, 0)...), to(3, 1<<32)},
	}
	for typ, all := range programs {
		for i, insns := range all {
			for _, valueSize := range []uint32{4, 8} {
				t.Run(fmt.Sprintf("%s/%d/%d", typ, i, valueSize), func(t *testing.T) {
					spec := &ebpf.CollectionSpec{
						Maps: map[string]*ebpf.MapSpec{"devices": {
							Name: "devices", Type: ebpf.DevMap, KeySize: 4, ValueSize: valueSize, MaxEntries: 8,
							Contents: []ebpf.MapKV{
								{Key: uint32(1), Value: append([]byte{5}, make([]byte, valueSize-1)...)},
								{Key: uint32(7), Value: append([]byte{6, 1}, make([]byte, valueSize-2)...)},
							},
						}},
						Programs: map[string]*ebpf.ProgramSpec{"send": {
							Name: "send", Type: typ, License: "GPL", Instructions: append(insns[:len(insns):len(insns)], asm.Return()),
						}},
					}
					var want vm.Output
					for i, mode := range engine.Modes() {
						coll, err := vm.NewCollectionWithOptions(spec, vm.CollectionOptions{Programs: vm.ProgramOptions{Mode: mode}})
						if err != nil {
							t.Fatal(err)
						}
						defer coll.Close()
						var got vm.Output
						if err := coll.Programs["send"].Exec(t.Context(), &vm.Input{Data: make([]byte, 64)}, &got); err != nil {
							t.Fatal(err)
						}
						if i == 0 {
							want = got
						}
						ignored := cmpopts.IgnoreFields(exec.Redirect{}, "Map", "Nexthop")
						if diff := cmp.Diff(want.Redirect, got.Redirect, ignored); got.Ret != want.Ret || diff != "" {
							t.Errorf("%s returns %d, %s %d; redirects differ (-want +got):\n%s", mode, got.Ret, engine.Checked, want.Ret, diff)
						}
						if got.Redirect.Kind == exec.RedirectMap && got.Redirect.Map != coll.Maps["devices"].Unwrap().Info().Handle {
							t.Errorf("%s: the packet goes by map %d", mode, got.Redirect.Map)
						}
					}
				})
			}
		}
	}
}
