package verifier

import (
	"slices"

	"github.com/skep-ebpf/skep/isa"
)

// checkReach demands that each instruction can be reached, and of loaders without
// CAP_BPF that none is reached again.
func (c *checker) checkReach() error {
	const (
		unseen = iota
		open
		done
	)
	var (
		state = make([]uint8, len(c.insns))
		stack [][]int // the ways yet to go from each open instruction
		path  []int   // the open instructions
		buf   [2]int
	)
	enter := func(i int) {
		state[i] = open
		next := slices.Clone(c.successors(i, &buf))
		if ins := &c.insns[i]; ins.IsCall(isa.CallLocal) || isFuncLoad(ins) {
			next = append(next, callee(i, ins))
		}
		path, stack = append(path, i), append(stack, next)
	}
	for _, root := range []int{0, c.exception} {
		if state[root] != unseen {
			continue
		}
		enter(root)
		for len(path) > 0 {
			top := len(path) - 1
			if len(stack[top]) == 0 {
				state[path[top]] = done
				path, stack = path[:top], stack[:top]
				continue
			}
			to := stack[top][0]
			stack[top] = stack[top][1:]
			c.insn = path[top]
			switch {
			case to >= len(c.insns):
				return c.fail(CauseControlFlow, "jump out of range from insn %d to %d", c.insn, to)
			case state[to] == unseen:
				enter(to)
			case state[to] == open && !c.capable:
				return c.fail(CauseLoop, "back-edge from insn %d to %d", c.insn, to)
			}
		}
	}
	for i := 0; i < len(c.insns); i++ {
		c.insn = i
		if state[i] != done {
			return c.fail(CauseControlFlow, "unreachable insn %d", i)
		}
		if c.insns[i].IsWide() {
			i++
			if state[i] != unseen {
				return c.fail(CauseControlFlow, "jump into the middle of ldimm64 insn %d", c.insn)
			}
		}
	}
	return nil
}

// orderFunctions puts callees before their callers into c.order, refuses
// recursion, and gives to each function what its callees may do.
func (c *checker) orderFunctions() error {
	const (
		unseen = iota
		open
		done
	)
	state := make([]uint8, len(c.funcs))
	var visit func(n int) error
	visit = func(n int) error {
		state[n] = open
		f := &c.funcs[n]
		for i := f.Start; i < f.end; i++ {
			ins := &c.insns[i]
			if !ins.IsCall(isa.CallLocal) && !isFuncLoad(ins) {
				c.noteEffects(f, i)
				continue
			}
			to := c.funcAt(callee(i, ins))
			switch state[to] {
			case unseen:
				if err := visit(to); err != nil {
					return err
				}
			case open:
				if isFuncLoad(ins) || !c.since(7, 1) { // then it has too many frames
					continue
				}
				c.insn = i
				return c.fail(CauseControlFlow, "recursive call from %s() to %s()", f.Name, c.funcs[to].Name)
			}
			f.effects |= c.funcs[to].effects
		}
		state[n] = done
		c.order = append(c.order, n)
		return nil
	}
	for n := range c.funcs {
		if state[n] == unseen {
			if err := visit(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// findLoops numbers the loops of the functions: aux.loop is 0 for instructions that no
// way leads back to. A call of callbacks is one of its own.
func (c *checker) findLoops() {
	part, n := c.parts(make([]bool, len(c.insns)))
	for i := range c.aux {
		if part[i] == 0 && c.aux[i].callsCallback {
			n++
			part[i] = n
		}
		c.aux[i].loop = part[i]
	}
}

// parts numbers the strongly connected parts of what is left of the functions without
// some instructions, from 1 to n; 0 is for instructions that no way leads back to. The
// algorithm is Tarjan's.
func (c *checker) parts(without []bool) (part []int32, n int32) {
	const off = 1<<31 - 1 // not on the stack (any more)
	var (
		pre, low = make([]int32, len(c.insns)), make([]int32, len(c.insns))
		stack    []int
		path     []int
		number   int32
		buf      [2]int
	)
	part = make([]int32, len(c.insns))
	for i := range without {
		if without[i] {
			pre[i], low[i] = off, off
		}
	}
	visit := func(i int) bool { // whether all that follows was visited
		if pre[i] == 0 {
			number++
			pre[i], low[i] = number, number
			stack = append(stack, i)
		}
		for _, s := range c.successors(i, &buf) {
			if pre[s] == 0 {
				path = append(path, s)
				return false
			}
			low[i] = min(low[i], low[s])
		}
		return true
	}
	for root := range c.insns {
		if pre[root] != 0 {
			continue
		}
		path = append(path[:0], root)
		for len(path) > 0 {
			i := path[len(path)-1]
			if !visit(i) {
				continue
			}
			path = path[:len(path)-1]
			if low[i] < pre[i] {
				continue
			}
			loop := stack[len(stack)-1] != i || slices.Contains(c.successors(i, &buf), i)
			if loop {
				n++
			}
			for {
				t := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				low[t] = off
				if loop {
					part[t] = n
				}
				if t == i {
					break
				}
			}
		}
	}
	return part, n
}
