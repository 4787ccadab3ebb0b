package optest

import (
	"fmt"
	"math/bits"

	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

func mask(width uint8) uint64 { return ^uint64(0) >> (64 - 8*width) }

func extend(v uint64, width uint8) uint64 {
	n := 64 - 8*width
	return uint64(int64(v<<n) >> n)
}

// arithmetic is what an operation on numbers gives.
func arithmetic(i *ir.Ins, x, y uint64) uint64 {
	x, y = x&mask(i.Size), y&mask(i.Size)
	sx, sy := int64(extend(x, i.Size)), int64(extend(y, i.Size))
	n := y & uint64(8*i.Size-1)
	switch i.Op {
	case ir.Add:
		return x + y
	case ir.Sub:
		return x - y
	case ir.Mul:
		return x * y
	case ir.And:
		return x & y
	case ir.Or:
		return x | y
	case ir.Xor:
		return x ^ y
	case ir.Shl:
		return x << n
	case ir.Shr:
		return x >> n
	case ir.Sar:
		return uint64(sx >> n)
	case ir.Rol:
		return x<<n | x>>(uint64(8*i.Size)-n)
	case ir.MulHi:
		hi, _ := bits.Mul64(x, y)
		return hi
	case ir.Neg:
		return -x
	case ir.Mov:
		return x
	case ir.Const:
		return uint64(i.Imm)
	case ir.Zext:
		return x & mask(i.Width)
	case ir.Sext:
		return extend(x, i.Width)
	case ir.Bswap:
		return bits.ReverseBytes64(x) >> (64 - 8*i.Width)
	}
	switch { // the divisions
	case y == 0 && (i.Op == ir.Mod || i.Op == ir.Smod):
		return x
	case y == 0:
		return 0
	case i.Op == ir.Div:
		return x / y
	case i.Op == ir.Mod:
		return x % y
	case i.Op == ir.Sdiv:
		return uint64(sx / sy) // Go, too, gives the least number for it divided by -1
	case i.Op == ir.Smod:
		return uint64(sx % sy)
	}
	panic(fmt.Sprintf("unreachable: operation %d is not on numbers", i.Op))
}

func holds(c ir.Cond, size uint8, x, y uint64) bool {
	x, y = x&mask(size), y&mask(size)
	sx, sy := int64(extend(x, size)), int64(extend(y, size))
	is := [...]bool{x == y, x < y, x <= y, sx < sy, sx <= sy, x&y != 0}[c/2]
	return is == (c%2 == 0)
}

// evaluate does an instruction on a state.
func (s *state) evaluate(i *ir.Ins) {
	value := func(v ir.Var) uint64 {
		switch v {
		case ir.None:
			return 0
		case ir.Frame:
			return s.frame
		}
		return s.vars[v]
	}
	x, y, z := value(i.A), value(i.B), value(i.C)
	addr := x + uint64(int64(i.Off))
	if i.Op <= ir.Store && i.B != ir.None {
		addr += y << i.N
	}
	if i.B == ir.None {
		y = uint64(i.Imm)
	}
	var d uint64
	switch i.Op {
	case ir.Branch:
		if s.went = 1; !holds(i.Cond, i.Size, x, y) {
			s.went = 2
		}
	case ir.Lea:
		d = addr
	case ir.Load, ir.LoadAcquire:
		d = s.load(addr, i.Width)
	case ir.LoadSext:
		d = extend(s.load(addr, i.Width), i.Width)
	case ir.Store:
		if i.C == ir.None {
			z = uint64(i.Imm)
		}
		s.store(addr, i.Width, z)
	case ir.AtomicAdd, ir.AtomicAnd, ir.AtomicOr, ir.AtomicXor, ir.Xchg, ir.StoreRelease:
		d = s.load(addr, i.Width)
		s.store(addr, i.Width, map[ir.Op]uint64{
			ir.AtomicAdd: d + z, ir.AtomicAnd: d & z, ir.AtomicOr: d | z, ir.AtomicXor: d ^ z,
			ir.Xchg: z, ir.StoreRelease: z,
		}[i.Op])
	case ir.Cmpxchg:
		if d = s.load(addr, i.Width); d == y&mask(i.Width) {
			s.store(addr, i.Width, z)
		}
	default:
		if i.Leaves() {
			d = s.leave(i)
		} else {
			d = arithmetic(i, x, y)
		}
	}
	if i.Size == 4 {
		d &= mask(4)
	}
	if i.Dst != ir.None {
		s.vars[i.Dst] = d
	}
}

// leave does a call or an exit.
func (s *state) leave(i *ir.Ins) uint64 {
	regs := func(vars ...ir.Var) (args []any) {
		for _, v := range vars {
			if v == ir.None {
				args = append(args, nil)
			} else {
				args = append(args, s.vars[v])
			}
		}
		return args
	}
	named := []ir.Var{1, 2, 3, 4, 5}
	switch i.Op {
	case ir.Call:
		if i.Imm == leaver {
			return s.exit(abi.ExitHelper, leaverHelper, regs(named...))
		}
		return sum(s.vars[1:6])
	case ir.Helper:
		return s.exit(abi.ExitHelper, uint64(i.Imm), regs(named[:i.N]...))
	case ir.CallX:
		return s.exit(abi.ExitCallX, s.vars[i.A], regs(named...))
	case ir.TailCall:
		return s.exit(abi.ExitTailCall, uint64(i.At), regs(named[:3]...))
	case ir.Slow:
		return s.exit(abi.ExitSlow, uint64(i.At), regs(i.A, i.C, i.B))
	case ir.Packet:
		return s.exit(abi.ExitPacket, uint64(i.At), regs(i.A, i.B))
	case ir.Fuel:
		if s.budget -= i.Imm; s.budget < 0 {
			s.exit(abi.ExitFuel, uint64(i.At), nil)
			s.budget += refill
		}
	}
	return 0
}

// exit notes an exit, and gives what Go answers.
func (s *state) exit(code uint32, arg uint64, args []any) uint64 {
	s.exits = append(s.exits, exit{code, arg, args})
	return s.reply.r0
}
