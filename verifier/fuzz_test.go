package verifier_test

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/edgegen"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// FuzzCheck gives the verifier any instructions: it accepts or refuses them.
func FuzzCheck(f *testing.F) {
	f.Add([]byte{0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0}, uint8(0))
	for seed := range uint64(40) {
		p := generated(seed, int(seed))
		f.Add(isa.Encode(p.Insns), uint8(seed))
	}
	maps := []*ebpf.MapSpec{
		{Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: 64, MaxEntries: 1},
		{Name: "hash", Type: ebpf.Hash, KeySize: 8, ValueSize: 32, MaxEntries: 4},
	}
	f.Fuzz(func(t *testing.T, b []byte, how uint8) {
		insns, err := isa.Decode(b[:len(b)/isa.Size*isa.Size])
		if err != nil {
			t.Fatal(err)
		}
		p := &edgegen.Program{Insns: insns, Maps: maps}
		for _, at := range isa.Functions(insns) {
			if at < 0 || at >= max(len(insns), 1) {
				return // loaders describe functions that are there
			}
		}
		opts := verifier.Options{Kernel: []string{"5.4", "6.12", "7.2"}[how%3], Budget: 2000}
		if how&0x80 != 0 {
			opts.Lacks = kernels.CapBPF | kernels.CapPerfmon | kernels.CapNetAdmin | kernels.CapSysAdmin
		}
		_, err = verifier.CheckImage(image(p), specs(p), &opts)
		var refusal *verifier.Error
		if err != nil && !errors.As(err, &refusal) {
			t.Fatal(err)
		}
	})
}
