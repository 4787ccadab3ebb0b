package ir

// maxParts is how many loads are put together at most.
const maxParts = 8

// parts are loads that an Or puts together.
type parts struct {
	all   [maxParts]part
	n     int
	inner [4 * maxParts]int32 // all instructions that go with them
	m     int
}

// part is Width bytes at Off that are shifted by some bits.
type part struct {
	load    int32
	shift   uint8
	swapped bool // the first byte is the highest
}

// bytes makes an Or of values that were loaded from next to each other one load, with
// a Bswap behind it where the first is the highest.
func (c *combiner) bytes(k int32) {
	i, n := c.at(k), &c.nodes[k]
	p := &c.parts
	p.n, p.m = 0, 0
	if i.B == None || !c.gather(p, n.a, 0, int64(8*i.Size)) || !c.gather(p, n.b, 0, int64(8*i.Size)) {
		return
	}
	low, width, ok := c.tile(p, false)
	swap := !ok
	if swap {
		if low, width, ok = c.tile(p, true); !ok {
			return
		}
	}
	first, from := c.at(p.all[0].load), c.nodes[p.all[0].load]
	going := p.inner[:p.m]
	if !c.held(first.A, from.a, going...) || !c.held(first.B, from.b, going...) {
		return
	}
	load := *first
	load.Dst, load.Width, load.Off, load.At = i.Dst, width, low, i.At
	at := k
	if swap {
		if at = c.room(i.Dst, going); at == 0 {
			return
		}
	}
	c.retain(from.a)
	c.retain(from.b)
	if load.B == None {
		c.nodes[from.a].addresses++
	}
	c.release(n.a)
	c.release(n.b)
	before := c.nodes[at].before
	*c.at(at) = load
	c.nodes[at] = node{a: from.a, b: from.b, before: before, epoch: c.epoch, uses: n.uses, addresses: n.addresses}
	if swap {
		c.nodes[at].uses, c.nodes[at].addresses = 1, 0
		i.become(Bswap, 8, i.Dst, 0)
		i.Width = width
		n.a, n.b = at, 0
	}
}

// room gives an instruction that goes and could write v instead; 0: there is none.
func (c *combiner) room(v Var, going []int32) (at int32) {
	for _, g := range going {
		if g > at && c.at(g).Dst == v {
			at = g
		}
	}
	if at == 0 || c.read[v] > at || !c.held(v, at) {
		return 0
	}
	return at
}

// gather adds what instruction w gives, shifted, and reports whether that is nothing but
// loads that are not needed otherwise, and that can be done here as well.
func (c *combiner) gather(p *parts, w int32, shift, bits int64) bool {
	if !c.single(w) || p.m == len(p.inner) || p.n == maxParts {
		return false
	}
	p.inner[p.m] = w
	p.m++
	i, n := c.at(w), &c.nodes[w]
	switch i.Op {
	case Or:
		bits = min(bits, shift+8*int64(i.Size))
		return i.B != None && c.gather(p, n.a, shift, bits) && c.gather(p, n.b, shift, bits)
	case Shl:
		bits = min(bits, shift+8*int64(i.Size))
		return i.B == None && c.gather(p, n.a, shift+i.Imm, bits)
	case Bswap:
		before := p.n
		if !c.gather(p, n.a, shift, bits) || p.n != before+1 {
			return false
		}
		last := &p.all[before]
		last.swapped = true
		return c.at(last.load).Op == Load && last.load == n.a && c.at(n.a).Width == i.Width
	case Load:
		p.all[p.n] = part{load: w, shift: uint8(shift)}
		p.n++
		first := p.all[0].load
		f, fn := c.at(first), &c.nodes[first]
		return n.epoch == c.epoch && shift+8*int64(i.Width) <= bits &&
			i.A == f.A && n.a == fn.a && i.B == f.B && n.b == fn.b && i.N == f.N
	}
	return false
}

// tile reports whether the parts are a number of 2, 4 or 8 bytes in memory, in one
// order or the other, and gives its offset and width.
func (c *combiner) tile(p *parts, swapped bool) (low int32, width uint8, ok bool) {
	total, lowest := int64(0), int64(c.at(p.all[0].load).Off)
	for _, q := range p.all[:p.n] {
		i := c.at(q.load)
		total += int64(i.Width)
		lowest = min(lowest, int64(i.Off))
	}
	if total != 2 && total != 4 && total != 8 {
		return 0, 0, false
	}
	covered := uint64(0)
	for _, q := range p.all[:p.n] {
		i := c.at(q.load)
		at := int64(q.shift / 8) // where the part is in the number, from its lowest byte
		if swapped {
			at = total - at - int64(i.Width)
		}
		if q.shift%8 != 0 || at < 0 || at+int64(i.Width) > total || int64(i.Off)-lowest != at || i.Width > 1 && q.swapped != swapped {
			return 0, 0, false
		}
		covered |= (1<<i.Width - 1) << at
	}
	return int32(lowest), uint8(total), covered == 1<<total-1
}
