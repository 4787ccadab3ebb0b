//go:build amd64 || arm64

package jit

import "testing"

func BenchmarkEnter(b *testing.B) {
	p := handProgram(b, hand.first, nil)
	m, err := machineOf(newState(b))
	if err != nil {
		b.Fatal(err)
	}
	m.c.Func, m.c.SP = p.main.addr, m.top
	for b.Loop() {
		enter(m.c, p.enter)
	}
}
