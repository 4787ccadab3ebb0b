package verifier_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// What the firewall needs is what it is refused for by the kernel before.
func TestNeeds(t *testing.T) {
	p, err := program.Open(filepath.Join(testenv.Root(t), "examples", "firewall", "firewall.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := program.Link(p.Spec, "firewall", nil)
	if err != nil {
		t.Fatal(err)
	}
	needs, err := verifier.Needs(img, p.Spec.Maps)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []verifier.Need{
		{What: "map drops of type ringbuf", Since: kernels.V(5, 8), Insn: -1},
	} {
		if !slices.Contains(needs, want) {
			t.Errorf("%+v is not among %+v", want, needs)
		}
	}
	if !slices.ContainsFunc(needs, func(n verifier.Need) bool {
		return n.What == "helper bpf_ringbuf_submit" && n.Since == kernels.V(5, 8) && img.Insns[n.Insn].Imm == 132
	}) {
		t.Errorf("the call of bpf_ringbuf_submit is not among %+v", needs)
	}
	newest := slices.MaxFunc(needs, func(a, b verifier.Need) int { return int(a.Since) - int(b.Since) })
	if newest.Since != kernels.V(5, 12) {
		t.Errorf("the newest need is %+v, want atomic operations, of Linux 5.12", newest)
	}
}
