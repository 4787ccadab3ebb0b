//go:build amd64 || arm64

package jit

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

func TestSymbols(t *testing.T) {
	p := handProgram(t, hand.first, nil)
	code := &ir.Code{Bytes: make([]byte, 0x90), Entries: []uint32{0x40, 0x70}}
	got := string(symbolsOf(p, code, []*ir.Func{{Name: "callback", Entry: 5}, {Name: "hand+0"}}))
	at := p.code.Addr()
	want := fmt.Sprintf("%x 40 bpf_prog_hand[stubs]\n%x 30 bpf_prog_callback\n%x 20 bpf_prog_hand\n", at, at+0x40, at+0x70)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names for perf (-want +got):\n%s", diff)
	}
}
