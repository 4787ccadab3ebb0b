package kernel

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/skep-ebpf/skep/hook"
)

// classifier loads a counting program that leaves its packets to the next one, and
// attaches it.
func classifier(t *testing.T, at string) *Collection {
	t.Helper()
	return classifierOf(t, ebpf.SchedCLS, at)
}

// classifierOf is [classifier] of a type, as the program's section has it.
func classifierOf(t *testing.T, typ ebpf.ProgramType, at string) *Collection {
	t.Helper()
	point, err := hook.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	here := []hook.Attachment{{Program: "count", Point: point}}
	c, err := Load(counting("tc", typ, 0, "", -1), &Options{At: here})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Attach(here); err != nil {
		t.Fatal(err)
	}
	return c
}

// counted reads what a collection's program has counted.
func counted(t *testing.T, c *Collection) (n uint64) {
	t.Helper()
	if err := c.Maps["hits"].Lookup(uint32(0), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// clsactOf gives the priorities of the filters at left, and whether there is a qdisc for
// them.
func clsactOf(t *testing.T) (ingress, egress []uint16, qdisc bool) {
	t.Helper()
	left := interfaceOf(t, "left")
	all, err := netlink.QdiscList(left)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all, func(q netlink.Qdisc) bool { return q.Type() == "clsact" }) {
		return nil, nil, false
	}
	priorities := func(parent uint32) (p []uint16) {
		filters, err := netlink.FilterList(left, parent)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range filters {
			p = append(p, f.Attrs().Priority)
		}
		slices.Sort(p)
		return p
	}
	return priorities(netlink.HANDLE_MIN_INGRESS), priorities(netlink.HANDLE_MIN_EGRESS), true
}

// Filters stand one behind the other, also behind others', and leave what is not theirs.
func TestClsactTogether(t *testing.T) {
	ownNetwork(t)
	first := classifier(t, "clsact/ingress/left")
	foreign := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: interfaceOf(t, "left").Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Priority: 50000, Protocol: 3},
		Fd:          first.Programs["count"].FD(), Name: "foreign", DirectAction: true,
	}
	if err := netlink.FilterAdd(foreign); err != nil {
		t.Fatal(err)
	}
	second := classifier(t, "clsact/ingress/left")
	third := classifier(t, "clsact/egress/left@9")
	send(t, "right")
	send(t, "left")
	got := []uint64{counted(t, first), counted(t, second), counted(t, third)}
	if diff := cmp.Diff([]uint64{2, 1, 1}, got); diff != "" { // the foreign filter runs the first program, too
		t.Errorf("the programs counted (-want +got):\n%s", diff)
	}
	ingress, egress, _ := clsactOf(t)
	if diff := cmp.Diff([][]uint16{{49152, 50000, 50001}, {9}}, [][]uint16{ingress, egress}); diff != "" {
		t.Errorf("priorities (-want +got):\n%s", diff)
	}
	if err := errors.Join(first.Close(), third.Close()); err != nil {
		t.Error(err)
	}
	if ingress, egress, _ := clsactOf(t); !slices.Equal(ingress, []uint16{50000, 50001}) || len(egress) != 0 {
		t.Errorf("after two were detached there are %v and %v", ingress, egress)
	}
	if err := netlink.FilterDel(foreign); err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, _, qdisc := clsactOf(t); qdisc {
		t.Error("the last skep has left the qdisc that the first one made")
	}
}

// A qdisc that was there before stays, and so does one that somebody else uses by then.
func TestClsactForeignQdisc(t *testing.T) {
	ownNetwork(t)
	left := interfaceOf(t, "left").Attrs().Index
	if err := netlink.QdiscAdd((&clsact{index: left}).qdisc()); err != nil {
		t.Fatal(err)
	}
	if err := classifier(t, "clsact/egress/left").Close(); err != nil {
		t.Error(err)
	}
	if ingress, egress, qdisc := clsactOf(t); !qdisc || len(ingress)+len(egress) > 0 {
		t.Errorf("afterwards there is a qdisc: %v, with %v and %v", qdisc, ingress, egress)
	}
}

// A killed process leaves a filter that does nothing, and the next skep removes it.
func TestClsactKilled(t *testing.T) {
	if os.Getenv("SKEP_TEST_KILLED") != "" {
		classifier(t, "clsact/ingress/left")
		os.Stdout.WriteString("attached\n")
		time.Sleep(time.Minute)
	}
	ownNetwork(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestClsactKilled$")
	cmd.Env = append(os.Environ(), "SKEP_TEST_KILLED=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err := errors.Join(err, cmd.Process.Kill()); err != nil || line != "attached\n" {
		t.Fatalf("the process that is to be killed says %q (%v)", line, err)
	}
	_ = cmd.Wait()
	filters, err := netlink.FilterList(interfaceOf(t, "left"), netlink.HANDLE_MIN_INGRESS)
	if err != nil || len(filters) != 1 {
		t.Fatalf("it left the filters %v (%v)", filters, err)
	}
	id := ebpf.ProgramID(filters[0].(*netlink.BpfFilter).Id)
	dead := false
	for range 100 { // Linux empties the table some time later
		if dead, err = leftOver(id); err != nil {
			t.Fatal(err)
		}
		if dead {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !dead {
		t.Fatal("what it left is alive")
	}
	c := classifier(t, "clsact/egress/left")
	if ingress, _, _ := clsactOf(t); len(ingress) > 0 {
		t.Errorf("the next skep leaves %v", ingress)
	}
	send(t, "right")
	send(t, "left")
	if n := counted(t, c); n != 1 {
		t.Errorf("the program ran %d times for one packet that was sent", n)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, _, qdisc := clsactOf(t); qdisc {
		t.Error("the qdisc of the killed skep is still there")
	}
}

// When another point refuses its program the filter goes, and the qdisc with it.
func TestClsactAllOrNone(t *testing.T) {
	ownNetwork(t)
	c, err := Load(counting("tc", ebpf.SchedCLS, 0, "", -1), &Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var at []hook.Attachment
	for _, name := range []string{"clsact/ingress/left", "clsact/egress/left", "xdp/left"} { // which takes none of these
		point, err := hook.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, hook.Attachment{Program: "count", Point: point})
	}
	if _, err := c.Attach(at); err == nil || !strings.Contains(err.Error(), "attach program count to xdp/left") {
		t.Errorf("attach: %v", err)
	}
	if ingress, egress, qdisc := clsactOf(t); qdisc {
		t.Errorf("there are still a qdisc, %v and %v", ingress, egress)
	}
}

// Programs that were written as actions of filters are run by clsact itself.
func TestClsactAction(t *testing.T) {
	t.Run("action/ingress/left", func(t *testing.T) {
		ownNetwork(t)
		c := classifierOf(t, ebpf.SchedACT, "action/ingress/left")
		send(t, "right")
		if n := counted(t, c); n != 1 {
			t.Errorf("the program ran %d times for one packet", n)
		}
	})
}

// Filters do the same as tcx where Linux has none, also with programs that were loaded
// for it.
func TestClsactForTCX(t *testing.T) {
	ownNetwork(t)
	point, err := hook.Parse("tcx/ingress/left")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(counting("tcx/ingress", ebpf.SchedCLS, ebpf.AttachTCXIngress, "", -1), &Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	left, err := interfaceNamed("left")
	if err != nil {
		t.Fatal(err)
	}
	f, err := attachClsact(c.Programs["count"], point, left, directions["ingress"], 0)
	if err != nil {
		t.Fatal(err)
	}
	send(t, "right")
	if n := counted(t, c); n != 1 {
		t.Errorf("the program ran %d times for one packet", n)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
