package exec

import (
	"math"
	"net/netip"
	"slices"
	"sync"
)

// Conntrack is the connections that netfilter tracks. Programs find them, and add
// others.
type Conntrack struct {
	mu     sync.Mutex
	table  map[connKey][]connEnd
	netns  map[uint64]bool  // network namespaces that there are
	memory map[uint64]*Conn // by the address that programs know it by
}

// ConnTuple is whence and whither the packets of a connection's direction go.
type ConnTuple struct {
	Proto    uint8
	Src, Dst netip.AddrPort
}

// Reverse is the other direction.
func (t ConnTuple) Reverse() ConnTuple { return ConnTuple{t.Proto, t.Dst, t.Src} }

// ConnZone keeps connections with the same addresses apart, in the directions whose
// bits are set.
type ConnZone struct {
	ID  uint16
	Dir uint8
}

// in is the zone's id in a direction.
func (z ConnZone) in(dir uint8) uint16 {
	if z.Dir&(1<<dir) == 0 {
		return 0
	}
	return z.ID
}

// Conn is a tracked connection.
type Conn struct {
	Tuples [2]ConnTuple // of the direction that it began in, and of replies
	NetNS  uint64       // cookie of its network namespace; 0: the first one
	Zone   ConnZone
	Status uint32 // IPS_*
	Mark   uint32
	// Timeout is when it ends, in ticks, of the clock that bpf_jiffies64 gives the
	// lower half of; before it is confirmed, after how many.
	Timeout uint32
	// Addr is the address that programs know it by; 0: none yet.
	Addr uint64
}

// Bits of [Conn.Status] (IPS_*).
const (
	ConnExpected      = 1 << 0
	ConnSeenReply     = 1 << 1
	ConnAssured       = 1 << 2
	ConnConfirmed     = 1 << 3 // what is in the table is
	ConnSourceNAT     = 1 << 4 // packets get another source; of the destination the next
	ConnSourceNATDone = 1 << 7 // it was decided whether they do; of the destination the next
	ConnDying         = 1 << 9
	ConnFixedTimeout  = 1 << 10

	// ConnSettable are those that programs may set.
	ConnSettable = ConnSeenReply | ConnAssured | ConnFixedTimeout | 1<<13 // IPS_HELPER
)

// Confirm makes a connection one whose time runs. now is in ticks.
func (c *Conn) Confirm(now uint32) {
	if c.Status&ConnConfirmed == 0 {
		c.Timeout += now
	}
	c.Status |= ConnConfirmed
}

// SetTimeout says for how many ticks from now on the connection lives.
func (c *Conn) SetTimeout(ticks uint64, now uint32) {
	c.Timeout = uint32(min(ticks, math.MaxInt32))
	if c.Status&ConnConfirmed != 0 {
		c.Timeout += now
	}
}

// connKey is what packets and connections are found by.
type connKey struct {
	tuple ConnTuple
	netns uint64
	zone  uint16 // its id in the tuple's direction
}

// connEnd is a connection in one of its directions.
type connEnd struct {
	*Conn
	dir uint8
}

// NewConntrack makes a table that nothing is in.
func NewConntrack() *Conntrack {
	return &Conntrack{table: map[connKey][]connEnd{}, netns: map[uint64]bool{0: true}, memory: map[uint64]*Conn{}}
}

// AddNetNS tells of a network namespace.
func (t *Conntrack) AddNetNS(cookie uint64) { t.netns[cookie] = true }

// HasNetNS reports whether there is a network namespace.
func (t *Conntrack) HasNetNS(cookie uint64) bool { return t.netns[cookie] }

// Do calls f while nobody else uses the table.
func (t *Conntrack) Do(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// Find gives the connection that has packets as a tuple says, and in which direction
// it has them; nil: there is none. It forgets those that have ended. The caller is
// in [Conntrack.Do].
func (t *Conntrack) Find(tuple ConnTuple, netns uint64, zone ConnZone, now uint32, ended func(*Conn)) (*Conn, uint8) {
	for {
		end, ok := t.end(connKey{tuple, netns, zone.in(0)}, zone)
		if !ok {
			end, ok = t.end(connKey{tuple, netns, zone.in(1)}, zone)
		}
		if !ok {
			return nil, 0
		}
		end.Confirm(now)
		if int32(end.Timeout-now) > 0 {
			return end.Conn, end.dir
		}
		t.remove(end.Conn)
		ended(end.Conn)
	}
}

// end is the latest connection in the direction in which it has a key and a zone.
func (t *Conntrack) end(key connKey, zone ConnZone) (connEnd, bool) {
	for _, e := range t.table[key] {
		if zone.in(e.dir) == key.zone {
			return e, true
		}
	}
	return connEnd{}, false
}

// key is what a connection is found by in a direction.
func (c *Conn) key(dir uint8) connKey { return connKey{c.Tuples[dir], c.NetNS, c.Zone.in(dir)} }

// Insert adds a connection, unless another has packets of one of its tuples. The
// caller is in [Conntrack.Do], if programs run.
func (t *Conntrack) Insert(c *Conn) bool {
	for dir := range uint8(2) {
		if _, ok := t.end(c.key(dir), c.Zone); ok {
			return false
		}
	}
	for dir := range uint8(2) {
		t.table[c.key(dir)] = slices.Insert(t.table[c.key(dir)], 0, connEnd{c, dir})
	}
	return true
}

// HasReplies reports whether a connection in the table has the replies of another.
func (t *Conntrack) HasReplies(of *Conn) bool {
	_, ok := t.end(of.key(1), of.Zone)
	return ok
}

func (t *Conntrack) remove(c *Conn) {
	for dir := range uint8(2) {
		key := c.key(dir)
		t.table[key] = slices.DeleteFunc(t.table[key], func(e connEnd) bool { return e.Conn == c })
		if len(t.table[key]) == 0 {
			delete(t.table, key)
		}
	}
}

// Place says at which address programs know a connection.
func (t *Conntrack) Place(c *Conn, addr uint64) {
	c.Addr = addr
	t.memory[addr] = c
}

// Forget ends what [Conntrack.Place] said.
func (t *Conntrack) Forget(addr uint64) { delete(t.memory, addr) }

// At is the connection at an address, or nil.
func (t *Conntrack) At(addr uint64) *Conn { return t.memory[addr] }
