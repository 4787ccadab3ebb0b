package amd64

// padding decides at random where instructions that do nothing go, so that nobody
// can tell where code of theirs comes to lie.
type padding struct{ state uint64 } // 0: nowhere

// nops are instructions of 1 to 4 bytes that do nothing.
var nops = [...]uint64{0x90, 0x9066, 0x001f0f, 0x00401f0f}

// between pads the code between two instructions: one time in eight.
func (p *padding) between(a *asm) {
	if p.state == 0 {
		return
	}
	p.state ^= p.state >> 12 // xorshift*
	p.state ^= p.state << 25
	p.state ^= p.state >> 27
	r := p.state * 0x2545f4914f6cdd1d
	if r>>61 == 0 {
		n := r >> 59 & 3
		a.put(nops[n], int(n)+1)
	}
}
