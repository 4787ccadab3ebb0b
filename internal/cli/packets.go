package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook/capture"
	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	vmmaps "github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Parts of an Ethernet header, in bytes.
const (
	macs      = 12 // both addresses
	ethHeader = 14
)

// overCapture runs the program over the packets of a capture. An interrupt ends
// it early; what was gathered is shown all the same.
func (s *session) overCapture(ctx context.Context, f *runFlags) (err error) {
	typ := s.prog.Describe()
	if !typ.Packet {
		return fmt.Errorf("%s: program %s is of type %s, which sees no packets: give it a context with --ctx", s.name, s.prog.Name(), typ.Name)
	}
	in, err := capture.Open(f.pcap)
	if err != nil {
		return err
	}
	defer in.Close()
	var out *capture.Writer
	if f.write != "" {
		if out, err = capture.Create(f.write); err != nil {
			return err
		}
		defer out.Abort()
	}

	var sum report.Summary
	runErr := s.packets(ctx, f, in, out, &sum)
	if runErr == nil && out != nil {
		runErr = out.Close()
	}
	stats := in.Stats()
	sum.Truncated, sum.Skipped = stats.Truncated, stats.Skipped
	sum.Notes = append(sum.Notes, stats.Notes...)
	var lostErr error
	sum.Lost, lostErr = s.lost()
	return errors.Join(runErr, lostErr, s.out.Summary(&sum), s.maps())
}

// packets is the loop over the capture.
func (s *session) packets(ctx context.Context, f *runFlags, in *capture.Reader, out *capture.Writer, sum *report.Summary) error {
	var (
		run      vm.Output
		refused  refusals
		progress = newProgress(s.stderr)
		verdict  = verdictNames(s.prog.Describe())
	)
	defer progress.done()
	defer func() {
		if note := refused.note(); note != "" {
			sum.Notes = append(sum.Notes, note)
		}
	}()
	for n := uint64(1); (f.count == 0 || n <= f.count) && ctx.Err() == nil; n++ {
		p, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.packet = int(n)
		s.clock = time.Duration(max(p.Time.UnixNano(), 0))
		runErr := s.prog.Exec(ctx, &vm.Input{Data: p.Data, RX: &progtype.RX{Timestamp: uint64(s.clock)}}, &run)
		if ctx.Err() != nil {
			return nil
		}
		if err := s.drain(); err != nil {
			return err
		}
		if errors.Is(runErr, vm.ErrInput) {
			refused.add(int(n), runErr)
			continue
		}
		if runErr != nil {
			sum.Failed++
			return fmt.Errorf("%s: packet %d: %w", s.name, n, runErr)
		}
		run.Data = onWire(s.prog.Type(), p.Data, run.Data, run.VLAN)
		name := verdict(run.Ret)
		sum.Verdicts.Add(name)
		if f.verbose {
			if err := s.out.Packet(&report.Packet{
				Number: int(n), Time: p.Time, Before: p.Data, After: run.Data, OrigLen: p.OrigLen,
				Verdict: name, Redirect: redirect(name, &run.Redirect),
			}); err != nil {
				return err
			}
		}
		if out != nil && goesOn(s.prog.Type(), run.Ret) {
			p.OrigLen += len(run.Data) - len(p.Data)
			p.Data = run.Data
			if err := out.Write(p); err != nil {
				return err
			}
		}
		progress.at(n)
	}
	return nil
}

// onWire gives a packet as a cable would carry it. Types that see it without an
// Ethernet header get the one that it came with, where a test run leaves zeroes,
// and a VLAN tag that lies beside the packet goes into it.
func onWire(typ ebpf.ProgramType, before, after []byte, vlan [4]byte) []byte {
	if typ == ebpf.SocketFilter || typ == ebpf.CGroupSKB {
		copy(after[:min(len(after), ethHeader)], before)
	}
	if vlan == [4]byte{} || len(after) < ethHeader {
		return after
	}
	return slices.Insert(after, macs, vlan[:]...)
}

// refusals are the packets that no run takes.
type refusals struct {
	count int
	first string
}

func (r *refusals) add(packet int, err error) {
	if r.count == 0 {
		r.first = fmt.Sprintf("packet %d: %v", packet, err)
	}
	r.count++
}

// note says it in a sentence; empty where there was none.
func (r *refusals) note() string {
	switch r.count {
	case 0:
		return ""
	case 1:
		return "1 packet was not run: " + r.first
	}
	return fmt.Sprintf("%d packets were not run; the first: %s", r.count, r.first)
}

// verdictNames gives return codes their names; the number where there is none.
func verdictNames(typ *progtype.Type) func(uint32) string {
	return func(ret uint32) string {
		if typ.Prog == ebpf.SocketFilter {
			if ret == 0 {
				return "drop"
			}
			return "keep"
		}
		if name := typ.Verdict(ret); name != "" {
			return name
		}
		return strconv.Itoa(int(int32(ret)))
	}
}

// Return codes after which a packet goes no further.
const (
	xdpAborted = 0
	xdpDrop    = 1
	tcShot     = 2
	tcStolen   = 4
	tcQueued   = 5
	tcTrap     = 8
)

// goesOn reports whether a packet goes on after a return code.
func goesOn(typ ebpf.ProgramType, ret uint32) bool {
	switch typ {
	case ebpf.XDP:
		return ret != xdpAborted && ret != xdpDrop
	case ebpf.SchedCLS, ebpf.SchedACT:
		return ret != tcShot && ret != tcStolen && ret != tcQueued && ret != tcTrap
	case ebpf.CGroupSKB:
		return ret&1 != 0
	}
	return ret != 0
}

// redirect says where a packet was sent, if its verdict is that it was.
func redirect(verdict string, r *exec.Redirect) string {
	if !strings.HasSuffix(verdict, "_REDIRECT") {
		return ""
	}
	switch r.Kind {
	case exec.RedirectNone:
		return ""
	case exec.RedirectMap:
		name := "map"
		if m := vmmaps.Get(r.Map); m != nil {
			name = m.Info().Name
		}
		return fmt.Sprintf("%s[%d]", name, r.Key)
	}
	to := fmt.Sprintf("ifindex %d", r.Ifindex)
	if r.Nexthop.IsValid() {
		to += " via " + r.Nexthop.String()
	}
	return to
}
