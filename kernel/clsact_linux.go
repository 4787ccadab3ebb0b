package kernel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() { families["clsact"] = planClsact }

// directions are the sides of a clsact qdisc.
var directions = map[string]uint32{"ingress": netlink.HANDLE_MIN_INGRESS, "egress": netlink.HANDLE_MIN_EGRESS}

// planClsact attaches to what an interface receives or sends, with a filter of its clsact
// qdisc: DIRECTION/INTERFACE, with @PRIORITY behind it where it is not to be the last.
func planClsact(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	side, rest, _ := strings.Cut(at.Target, "/")
	name, text, chosen := strings.Cut(rest, "@")
	parent, ok := directions[side]
	if !ok {
		return nil, fmt.Errorf("%s: want %s, such as %s; there is no direction %s%s", at, at.Kind.Wants, at.Kind.Example, side, suggest.Name(side, []string{"ingress", "egress"}))
	}
	priority := uint64(0)
	if chosen {
		var err error
		if priority, err = strconv.ParseUint(text, 10, 16); err != nil || priority == 0 {
			return nil, fmt.Errorf("%s: the priority %q is no number from 1 to %d", at, text, math.MaxUint16)
		}
	}
	i, err := interfaceNamed(name)
	if err != nil {
		return nil, err
	}
	return func() (io.Closer, error) { return attachClsact(prog, at, i, parent, uint16(priority)) }, nil
}

// filter is a program in direct-action mode at a clsact qdisc.
type filter struct {
	name  string          // of the interface
	net   *netlink.Handle // in the interface's network namespace
	attrs netlink.FilterAttrs
	stand *standIn
	owned bool // the qdisc is skep's
}

// Filters of skep have names that begin so. Where a skep made the qdisc, its filter says
// so, as do those of each skep that comes while it is there: the last one removes the
// qdisc.
const (
	filterName      = "skep:"
	filterNameOwned = "skep+clsact:"
)

// attachClsact adds a filter to one side of an interface; the last one, if the priority is 0.
func attachClsact(prog *ebpf.Program, at hook.Point, to *net.Interface, parent uint32, priority uint16) (_ io.Closer, err error) {
	f := &filter{name: to.Name, attrs: netlink.FilterAttrs{LinkIndex: to.Index, Parent: parent, Priority: priority, Protocol: unix.ETH_P_ALL}}
	if f.net, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := f.addQdisc(); err != nil {
		return nil, err
	}
	last, err := f.sweep()
	if err != nil {
		return nil, err
	}
	if f.attrs.Priority == 0 {
		f.attrs.Priority = last
	}
	if f.stand, err = newStandIn(prog, at.Kind.Attach, int32(netlink.TC_ACT_UNSPEC)); err != nil {
		return nil, err
	}
	info, err := f.stand.Info()
	if err != nil {
		return nil, err
	}
	id, _ := info.ID()
	bpf := &netlink.BpfFilter{FilterAttrs: f.attrs, Fd: f.stand.FD(), Name: filterName, DirectAction: true}
	bpf.Handle = uint32(id) // which no other filter has
	if f.owned {
		bpf.Name = filterNameOwned
	}
	if err := f.net.FilterAdd(bpf); err != nil {
		return nil, fmt.Errorf("add a filter to %s: %w", f.name, err)
	}
	f.attrs.Handle = bpf.Handle
	return f, nil
}

// addQdisc makes the interface's clsact qdisc, if it has none.
func (f *filter) addQdisc() error {
	err := f.net.QdiscAdd(f.qdisc())
	if err == nil {
		f.owned = true
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("add a clsact qdisc to %s: %w", f.name, err)
	}
	all, err := f.net.QdiscList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: f.attrs.LinkIndex}})
	if err != nil {
		return fmt.Errorf("list the qdiscs of %s: %w", f.name, err)
	}
	for _, q := range all {
		if q.Type() == "ingress" && f.attrs.Parent == netlink.HANDLE_MIN_EGRESS {
			return fmt.Errorf("interface %s has an ingress qdisc, which sees nothing that is sent, in the place of clsact: remove it with 'tc qdisc del dev %s ingress'", f.name, f.name)
		}
	}
	return nil
}

func (f *filter) qdisc() *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: f.attrs.LinkIndex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
}

// sweep removes filters of skeps that were killed, and takes over their qdisc. It gives a
// priority behind those of all filters on this side.
func (f *filter) sweep() (last uint16, err error) {
	last = 0xc000 // where Linux begins
	for _, parent := range directions {
		all, err := f.list(parent)
		if err != nil {
			return 0, err
		}
		for _, other := range all {
			bpf, ok := other.(*netlink.BpfFilter)
			if ok && strings.HasPrefix(bpf.Name, filterNameOwned) {
				f.owned = true
			}
			if ok && strings.HasPrefix(bpf.Name, "skep") {
				// Whoever may not open others' programs leaves what they left.
				if dead, _ := leftOver(ebpf.ProgramID(bpf.Id)); dead {
					if err := f.net.FilterDel(bpf); err != nil {
						return 0, fmt.Errorf("remove what a killed skep left at %s: %w", f.name, err)
					}
					continue
				}
			}
			if a := other.Attrs(); a.Parent == f.attrs.Parent && a.Priority >= last {
				last = min(a.Priority, math.MaxUint16-1) + 1
			}
		}
	}
	return last, nil
}

// list gives the filters on one side of the interface.
func (f *filter) list(parent uint32) ([]netlink.Filter, error) {
	all, err := f.net.FilterList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: f.attrs.LinkIndex}}, parent)
	if err != nil {
		return nil, fmt.Errorf("list the filters of %s: %w", f.name, err)
	}
	return all, nil
}

// Close removes the filter, and the qdisc if it was skep's and nobody uses it any more.
func (f *filter) Close() (err error) {
	defer f.net.Close()
	if f.stand != nil {
		err = f.stand.Close()
	}
	if f.attrs.Handle != 0 {
		gone := f.net.FilterDel(&netlink.BpfFilter{FilterAttrs: f.attrs, Fd: -1})
		if errors.Is(gone, unix.ENODEV) {
			return err // the interface has gone, with all that was there
		}
		err = errors.Join(err, gone)
	}
	if err == nil && f.owned {
		err = f.removeQdisc()
	}
	return err
}

func (f *filter) removeQdisc() error {
	for _, parent := range directions {
		all, err := f.list(parent)
		if err != nil || len(all) > 0 {
			return err
		}
	}
	return f.net.QdiscDel(f.qdisc())
}
