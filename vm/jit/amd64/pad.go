package amd64

import "github.com/skep-ebpf/skep/vm/jit/internal/pad"

// padding is where instructions that do nothing go; 0: nowhere.
type padding struct{ state uint64 }

// nops are instructions of 1 to 4 bytes that do nothing.
var nops = [...]uint64{0x90, 0x9066, 0x001f0f, 0x00401f0f}

// between pads the code between two instructions.
func (p *padding) between(a *asm) {
	if n := pad.Next(&p.state); n > 0 {
		a.put(nops[n-1], n)
	}
}
