package helper

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// The congestion control that TCP has for others to build on: Reno, RFC 5681.

func init() {
	ops := []ebpf.ProgramType{ebpf.StructOps}
	reno := func(name string, ret Ret, do func(c *congestion, a2, a3 uint32) uint32, more ...Arg) *Helper {
		h := &Helper{Name: name, Ret: ret, Types: ops, Args: append([]Arg{ArgPtrToBTF}, more...)}
		h.Bind = func(types Types) (Func, error) {
			f, err := fieldsOf(types, "tcp_sock", congestionFields...)
			return func(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
				return onSocket(s, name, f, r1, uint32(r2), uint32(r3), do)
			}, err
		}
		return h
	}
	registerKfuncs("5.13",
		reno("tcp_slow_start", RetInteger, func(c *congestion, acked, _ uint32) uint32 { return c.slowStart(acked) }, ArgAnything),
		reno("tcp_cong_avoid_ai", RetVoid, (*congestion).grow, ArgAnything, ArgAnything),
		reno("tcp_reno_cong_avoid", RetVoid, (*congestion).renoAvoid, ArgAnything, ArgAnything),
		reno("tcp_reno_ssthresh", RetInteger, func(c *congestion, _, _ uint32) uint32 { return max(c.cwnd/2, 2) }),
		reno("tcp_reno_undo_cwnd", RetInteger, func(c *congestion, _, _ uint32) uint32 { return max(c.cwnd, c.prior) }),
	)
}

// congestion is what a socket knows of its path, in packets.
type congestion struct {
	cwnd, count     uint32 // the window, and what was acknowledged towards its growth
	ssthresh, clamp uint32 // where slow start ends, and the window's limit
	flight          uint32 // most packets in flight lately
	prior           uint32 // the window before the last reduction
	limited         bool   // by the window, not by what there is to send

	err error
}

var congestionFields = []string{
	"snd_cwnd", "snd_cwnd_cnt", "snd_ssthresh", "snd_cwnd_clamp", "max_packets_out", "prior_cwnd", "is_cwnd_limited",
}

// onSocket does something to the congestion control of the struct tcp_sock at an
// address.
func onSocket(s *exec.State, name string, f *fields, addr uint64, a2, a3 uint32, do func(*congestion, uint32, uint32) uint32) uint64 {
	b, err := f.at(s, addr)
	if err != nil {
		s.Engine.Fail(fmt.Errorf("%s: %w", name, err))
		return 0
	}
	get := func(i int) uint32 { return uint32(f.all[i].Get(b)) }
	c := congestion{cwnd: get(0), count: get(1), ssthresh: get(2), clamp: get(3), flight: get(4), prior: get(5), limited: get(6) != 0}
	result := do(&c, a2, a3)
	if c.err != nil {
		s.Engine.Fail(fmt.Errorf("%s: %w", name, c.err))
		return 0
	}
	f.all[0].Put(b, uint64(c.cwnd))
	f.all[1].Put(b, uint64(c.count))
	return uint64(result)
}

// slowStart lets the window grow by each packet that was acknowledged, and gives
// how many were more than that took.
func (c *congestion) slowStart(acked uint32) uint32 {
	to := min(c.cwnd+acked, c.ssthresh)
	left := acked - (to - c.cwnd)
	c.cwnd = min(to, c.clamp)
	return left
}

// grow lets the window grow by one packet for w that were acknowledged.
func (c *congestion) grow(w, acked uint32) uint32 {
	if w == 0 {
		c.err = errors.New("w is 0, and Linux divides by it: the kernel would crash")
		return 0
	}
	if c.count >= w { // more than w stood for when w was larger counts as one
		c.count = 0
		c.cwnd++
	}
	c.count += acked
	c.cwnd += c.count / w
	c.count %= w
	c.cwnd = min(c.cwnd, c.clamp)
	return 0
}

// renoAvoid is Reno's reaction to an acknowledgement.
func (c *congestion) renoAvoid(_, acked uint32) uint32 {
	slow := c.cwnd < c.ssthresh
	if !c.limited && !(slow && c.cwnd < 2*c.flight) {
		return 0
	}
	if slow {
		if acked = c.slowStart(acked); acked == 0 {
			return 0
		}
	}
	return c.grow(c.cwnd, acked)
}
