package verifier

import (
	"errors"
	"testing"

	"github.com/skep-ebpf/skep/isa"
)

func TestStackDepth(t *testing.T) {
	// The main program calls a function, which calls another.
	chain := []isa.Instruction{insCall(1), insExit, insCall(1), insExit, insZero, insExit}
	for _, tc := range []struct {
		name      string
		stack     [3]int
		tailCalls bool // the first function has one
		want      string
	}{
		{name: "fits", stack: [3]int{256, 128, 128}},
		{name: "rounded", stack: [3]int{256, 241, 1}, want: "combined stack size of 3 calls is 528. Too large"},
		{name: "too much together", stack: [3]int{256, 256, 16}, want: "combined stack size of 3 calls is 528. Too large"},
		{name: "tail call", stack: [3]int{240, 16, 16}, tailCalls: true},
		{name: "tail call over much stack", stack: [3]int{256, 16, 16}, tailCalls: true,
			want: "tail_calls are not allowed when call stack of previous frames is 256 bytes. Too large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := structureOf(t, 0, chain...)
			if err != nil {
				t.Fatal(err)
			}
			for n, bytes := range tc.stack {
				c.funcs[n].stack = bytes
			}
			c.funcs[1].tailCalls = tc.tailCalls
			var refusal *Error
			got := ""
			if errors.As(c.checkStack(), &refusal) {
				got = refusal.Kernel
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestManyWays shows that functions which many chains of calls lead to are not checked
// for each of them.
func TestManyWays(t *testing.T) {
	var insns []isa.Instruction
	const levels = 200
	for n := range levels {
		next := insCall(2) // both calls lead to the next function
		if n == levels-1 {
			insns = append(insns, insZero, insZero, insExit)
			continue
		}
		insns = append(insns, next, insCall(1), insExit)
	}
	c, err := structureOf(t, 0, insns...)
	if err != nil {
		t.Fatal(err)
	}
	for n := range c.funcs {
		c.funcs[n].global = true
	}
	if err := c.checkStack(); err != nil {
		t.Error(err)
	}
}
