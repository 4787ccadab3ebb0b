package helper

import (
	"math"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/object"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Connections that netfilter tracks. Programs know them as struct nf_conn.

const asksConntrack = "tracked connections"

func init() {
	types := []ebpf.ProgramType{ebpf.XDP, ebpf.SchedCLS}
	tuple := []Arg{ArgPtrToCtx, ArgPtrToMem, ArgConstSizeOrZero, ArgPtrToMem, ArgConstSizeOrZero}
	find := func(name string, f Func) *Helper {
		return &Helper{Name: name, Func: f, Flags: Acquire | RetNull, Ret: RetPtrToObject, Args: tuple, Asks: asksConntrack}
	}
	change := func(name string, f Func) *Helper {
		return &Helper{Name: name, Func: f, Args: []Arg{ArgPtrToObject, ArgAnything}, Asks: asksConntrack}
	}
	registerKfuncs("5.18", only(types,
		find("bpf_xdp_ct_lookup", ctLookup), find("bpf_skb_ct_lookup", ctLookup),
		&Helper{Name: "bpf_ct_release", Func: ctRelease, Flags: Release, Ret: RetVoid, Args: []Arg{ArgPtrToOwned}, Asks: asksConntrack},
	)...)
	registerKfuncs("6.0", only(types,
		find("bpf_xdp_ct_alloc", ctAlloc), find("bpf_skb_ct_alloc", ctAlloc),
		&Helper{Name: "bpf_ct_insert_entry", Func: ctInsert, Flags: Acquire | Release | RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToOwned}, Asks: asksConntrack},
		change("bpf_ct_set_timeout", ctSetTimeout), change("bpf_ct_change_timeout", ctChangeTimeout),
		change("bpf_ct_set_status", ctChangeStatus), change("bpf_ct_change_status", ctChangeStatus),
	)...)
	registerKfuncs("6.1", only(types,
		&Helper{Name: "bpf_ct_set_nat_info", Func: ctSetNAT, FixedSize: 16, Asks: asksConntrack,
			Args: []Arg{ArgPtrToObject, ArgPtrToFixedMem, ArgAnything, ArgAnything}},
	)...)
}

// now32 is the time that connections' own are held against.
func now32(s *exec.State) uint32 { return uint32(jiffies(s, 0, 0, 0, 0, 0)) }

// ctQuery is what a struct bpf_sock_tuple and a struct bpf_ct_opts ask for.
type ctQuery struct {
	tuple exec.ConnTuple
	netns uint64
	zone  exec.ConnZone
}

// Where struct bpf_ct_opts has its fields.
const (
	ctOptNetNS    = 0
	ctOptError    = 4
	ctOptProto    = 8
	ctOptDir      = 9
	ctOptZone     = 10
	ctOptZoneDir  = 12
	ctOptReserved = 13
	ctOptsSize    = 16
	ctOptsShort   = 12 // without the zone's direction, and then without a zone
)

// ctAsk reads a question, and writes into the options which zone it is about. Looking
// for a connection and making one hold it against Linux's rules in another order.
func ctAsk(s *exec.State, tuple, opts []byte, makes bool) (q ctQuery, err errno.Errno) {
	const bothWays = 3
	long := len(opts) == ctOptsSize
	if !long && len(opts) != ctOptsShort {
		return q, errno.EINVAL
	}
	netns, proto := int32(le.Uint32(opts[ctOptNetNS:])), opts[ctOptProto]
	q.zone = exec.ConnZone{ID: le.Uint16(opts[ctOptZone:]), Dir: bothWays}
	unknown := proto != exec.ProtoTCP && proto != exec.ProtoUDP
	var ok bool
	switch q.tuple, ok = ctTuple(proto, tuple); {
	case long && [3]byte(opts[ctOptReserved:]) != [3]byte{}, !long && q.zone.ID != 0:
		return q, errno.EINVAL
	case unknown && !makes:
		return q, errno.EPROTO
	case netns < -1:
		return q, errno.EINVAL
	case unknown:
		return q, errno.EPROTO
	case !ok:
		return q, errno.EAFNOSUPPORT
	case netns >= 0 && !s.Env.Conntrack.HasNetNS(uint64(netns)):
		return q, errno.ENONET
	}
	if q.netns = uint64(netns); netns < 0 {
		q.netns = progtype.NetNS(s)
	}
	if long && opts[ctOptZoneDir] == 0 {
		opts[ctOptZoneDir] = bothWays
	}
	if long {
		q.zone.Dir = opts[ctOptZoneDir]
	}
	return q, 0
}

// ctTuple reads a struct bpf_sock_tuple.
func ctTuple(proto uint8, b []byte) (t exec.ConnTuple, ok bool) {
	src, dst, ok := sockTuple(b)
	return exec.ConnTuple{Proto: proto, Src: src, Dst: dst}, ok
}

// ctFail writes an error into the options, if they have room for it.
func ctFail(opts []byte, err errno.Errno) uint64 {
	if len(opts) >= ctOptError+4 {
		le.PutUint32(opts[ctOptError:], uint32(err.Ret()))
	}
	return 0
}

func ctLookup(s *exec.State, _, r2, r3, r4, r5 uint64) (addr uint64) {
	opts := view(r4, uint64(uint32(r5)))
	q, err := ctAsk(s, view(r2, uint64(uint32(r3))), opts, false)
	switch {
	case r2 == 0:
		return ctFail(opts, errno.EINVAL)
	case err != 0:
		return ctFail(opts, err)
	}
	table := s.Env.Conntrack
	table.Do(func() {
		c, dir := table.Find(q.tuple, q.netns, q.zone, now32(s), func(c *exec.Conn) { ctDrop(table, c) })
		if c == nil || c.Addr == 0 && !connLayoutOf(s.Env.Types).place(table, c) {
			ctFail(opts, errno.ENOENT)
			return
		}
		opts[ctOptDir] = dir
		object.Acquire(uintptr(c.Addr))
		addr = gives(s, uintptr(c.Addr))
	})
	return addr
}

// ctDrop gives a reference of a connection's back.
func ctDrop(t *exec.Conntrack, c *exec.Conn) {
	addr := uintptr(c.Addr)
	if addr == 0 {
		return
	}
	object.Drop(addr)
	if _, lives := object.Find(addr); !lives {
		t.Forget(c.Addr)
	}
}

func ctRelease(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	ctWith(s, r1, func(c *exec.Conn) uint64 {
		ctDrop(s.Env.Conntrack, c)
		return 0
	})
	return 0
}

// ctWith calls f with the connection at an address, while nobody else changes it.
func ctWith(s *exec.State, addr uint64, f func(c *exec.Conn) uint64) (result uint64) {
	table := s.Env.Conntrack
	table.Do(func() {
		if c := table.At(addr); c != nil {
			result = f(c)
		}
	})
	return result
}

// ctAlloc makes a connection, which lives for ten seconds once it is inserted.
func ctAlloc(s *exec.State, _, r2, r3, r4, r5 uint64) (addr uint64) {
	const ticks = 10 * hz
	opts := view(r4, uint64(uint32(r5)))
	q, err := ctAsk(s, view(r2, uint64(uint32(r3))), opts, true)
	if err != 0 {
		return ctFail(opts, err)
	}
	c := &exec.Conn{Tuples: [2]exec.ConnTuple{q.tuple, q.tuple.Reverse()}, NetNS: q.netns, Zone: q.zone, Timeout: ticks}
	table := s.Env.Conntrack
	table.Do(func() {
		if !connLayoutOf(s.Env.Types).place(table, c) {
			ctFail(opts, errno.ENOMEM)
			return
		}
		addr = gives(s, uintptr(c.Addr))
	})
	return addr
}

// ctInsert makes a connection one that others find, and gives it; NULL where there
// is one like it, and then it is no more.
func ctInsert(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	return ctWith(s, r1, func(c *exec.Conn) uint64 {
		c.Confirm(now32(s))
		if !s.Env.Conntrack.Insert(c) {
			ctDrop(s.Env.Conntrack, c)
			return 0
		}
		connLayoutOf(s.Env.Types).show(c)
		object.Acquire(uintptr(c.Addr)) // the table's own
		return gives(s, uintptr(c.Addr))
	})
}

// ctTicks makes ticks of milliseconds. What would be negative is for ever.
func ctTicks(ms uint64) uint64 {
	if int32(ms) < 0 {
		return math.MaxInt32
	}
	return (uint64(uint32(ms))*hz + 999) / 1000
}

func ctSetTimeout(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	return ctWith(s, r1, func(c *exec.Conn) uint64 {
		c.SetTimeout(ctTicks(r2), now32(s))
		connLayoutOf(s.Env.Types).show(c)
		return 0
	})
}

func ctChangeTimeout(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	return ctWith(s, r1, func(c *exec.Conn) uint64 {
		if c.Status&exec.ConnFixedTimeout != 0 {
			return result32(negative(errno.EPERM))
		}
		c.SetTimeout(ctTicks(r2), now32(s))
		connLayoutOf(s.Env.Types).show(c)
		if c.Status&exec.ConnDying != 0 {
			return result32(negative(errno.ETIME))
		}
		return 0
	})
}

// ctChangeStatus sets bits of the status. None is taken away.
func ctChangeStatus(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	const kept = exec.ConnExpected | exec.ConnConfirmed | exec.ConnDying
	return ctWith(s, r1, func(c *exec.Conn) uint64 {
		status := uint32(r2)
		changed := c.Status ^ status
		if changed&kept != 0 || c.Status&^status&(exec.ConnSeenReply|exec.ConnAssured) != 0 {
			return result32(negative(errno.EBUSY))
		}
		c.Status |= status & exec.ConnSettable
		connLayoutOf(s.Env.Types).show(c)
		return 0
	})
}

// ctSetNAT says that packets get another source or destination, and thereby which
// replies belong to the connection. A source's port that is not given stays, unless
// another connection has its replies.
func ctSetNAT(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	const source, destination = 0, 1 // enum nf_nat_manip_type
	manip, port := uint32(r4), int32(r3)
	if manip != source && manip != destination {
		return result32(negative(errno.EINVAL))
	}
	return ctWith(s, r1, func(c *exec.Conn) uint64 {
		done := uint32(exec.ConnSourceNATDone) << manip
		switch {
		case c.Status&exec.ConnConfirmed != 0:
			return 0
		case c.Status&done != 0:
			return result32(negative(errno.ENOMEM))
		}
		before := c.Tuples[1]
		replies := &c.Tuples[1].Dst // what packets have as their source
		if manip == destination {
			replies = &c.Tuples[1].Src
		}
		to := netip.AddrFrom16([16]byte(view(r2, 16)))
		if replies.Addr().Is4() {
			to = netip.AddrFrom4([4]byte(view(r2, 4)))
		}
		own := replies.Port()
		if port > 0 {
			own = uint16(port)
		}
		*replies = netip.AddrPortFrom(to, own)
		if manip == source && port <= 0 && s.Env.Conntrack.HasReplies(c) {
			first, ports := portsLike(own)
			begin := s.Env.Rand()
			for i := uint32(0); i < ports && s.Env.Conntrack.HasReplies(c); i++ {
				*replies = netip.AddrPortFrom(to, uint16(first+(begin+i)%ports))
			}
		}
		if c.Tuples[1] != before {
			c.Status |= exec.ConnSourceNAT << manip
		}
		c.Status |= done
		connLayoutOf(s.Env.Types).show(c)
		return 0
	})
}

// portsLike are those that a port may be changed into: privileged ones stay so.
func portsLike(port uint16) (first, count uint32) {
	switch {
	case port < 512:
		return 1, 511
	case port < 1024:
		return 600, 1023 - 600 + 1
	}
	return 1024, 1<<16 - 1024
}
