package arm64

// padding decides at random where instructions that do nothing go, so that nobody
// can tell where code of theirs comes to lie.
type padding struct{ state uint64 } // 0: nowhere

// between pads the code between two instructions: one time in eight.
func (p *padding) between(a *assembler) {
	if p.state == 0 {
		return
	}
	p.state ^= p.state << 13 // Marsaglia's xorshift
	p.state ^= p.state >> 7
	p.state ^= p.state << 17
	if p.state>>60&7 == 0 {
		for range 1 + p.state>>58&3 {
			a.emit(nop)
		}
	}
}
