package kernel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"path"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() {
	families["clsact"] = planClsact
	for _, kind := range []string{"clsact", "tcx/ingress", "tcx/egress"} {
		sweepers[kind] = sweepClsact
	}
}

// directions are the sides of a clsact qdisc.
var directions = map[string]uint32{"ingress": netlink.HANDLE_MIN_INGRESS, "egress": netlink.HANDLE_MIN_EGRESS}

// planClsact attaches to what an interface receives or sends, with a filter of its clsact
// qdisc: DIRECTION/INTERFACE, with @PRIORITY behind it where it is not to be the last.
func planClsact(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	side, name, text := clsactTarget(at)
	parent, ok := directions[side]
	if !ok {
		return nil, fmt.Errorf("%s: want %s, such as %s; there is no direction %s%s", at, at.Kind.Wants, at.Kind.Example, side, suggest.Name(side, []string{"ingress", "egress"}))
	}
	priority := uint64(0)
	if text != "" {
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

// clsactTarget takes a point apart, also one of tcx.
func clsactTarget(at hook.Point) (side, name, priority string) {
	side, name = path.Base(at.Kind.Name), at.Target
	if directions[side] == 0 {
		side, name, _ = strings.Cut(at.Target, "/")
	}
	name, priority, _ = strings.Cut(name, "@")
	return side, name, priority
}

// sweepClsact removes filters at a point that do nothing any more. An interface that has
// gone has none, and one of another network namespace keeps them for the next skep there.
func sweepClsact(at hook.Point) error {
	_, name, _ := clsactTarget(at)
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil
	}
	q, err := openClsact(i)
	if err != nil {
		return err
	}
	defer q.Close()
	return q.sweep()
}

// attachClsact adds a filter to one side of an interface; the last one, if the priority is 0.
func attachClsact(prog *ebpf.Program, at hook.Point, to *net.Interface, parent uint32, priority uint16) (_ *standIn, err error) {
	q, err := openClsact(to)
	if err != nil {
		return nil, err
	}
	stand, err := q.attach(prog, at, netlink.FilterAttrs{LinkIndex: to.Index, Parent: parent, Priority: priority, Protocol: unix.ETH_P_ALL})
	if err != nil {
		q.Close()
		return nil, err
	}
	return stand, nil
}

// clsact is the clsact qdisc of an interface, or the place where there may be one.
type clsact struct {
	*netlink.Handle // in the interface's network namespace
	name            string
	index           int
}

func openClsact(of *net.Interface) (*clsact, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &clsact{h, of.Name, of.Index}, nil
}

// Filters of skep have names that begin so. Where a skep made the qdisc, its filter says
// so, as do those of each skep that comes while it is there: the last one removes the
// qdisc.
const (
	filterName      = "skep:"
	filterNameOwned = "skep+clsact:"
)

func isOwned(f *netlink.BpfFilter) bool { return strings.HasPrefix(f.Name, filterNameOwned) }

// attach adds a filter in direct-action mode for a program.
func (q *clsact) attach(prog *ebpf.Program, at hook.Point, attrs netlink.FilterAttrs) (_ *standIn, err error) {
	if err := q.sweep(); err != nil {
		return nil, err
	}
	stand, err := newStandIn(prog, at.Kind.Attach, int32(netlink.TC_ACT_UNSPEC))
	if err != nil {
		return nil, err
	}
	f := &netlink.BpfFilter{FilterAttrs: attrs, Fd: stand.FD(), Name: filterName + at.String(), DirectAction: true}
	defer func() {
		if err != nil {
			err = errors.Join(err, stand.Close())
		}
	}()
	info, err := stand.Info()
	if err != nil {
		return nil, err
	}
	id, _ := info.ID()
	f.Handle = uint32(id) // which no other filter has
	owned, err := q.add(attrs.Parent)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err == nil || !owned {
			return
		}
		if alone, _ := q.alone(f); alone {
			err = errors.Join(err, q.QdiscDel(q.qdisc()))
		}
	}()
	last, inherited, err := q.last(attrs.Parent)
	if err != nil {
		return nil, err
	}
	if f.Priority == 0 {
		f.Priority = last
	}
	if owned = owned || inherited; owned {
		f.Name = filterNameOwned + at.String()
	}
	if err := q.FilterAdd(f); err != nil {
		return nil, fmt.Errorf("add a filter to %s: %w", q.name, err)
	}
	stand.net, stand.detach = q.Handle, func() error { return q.remove(f) }
	return stand, nil
}

// add makes the qdisc, if the interface has none, and says whether it did.
func (q *clsact) add(parent uint32) (made bool, err error) {
	err = q.QdiscAdd(q.qdisc())
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, fmt.Errorf("add a clsact qdisc to %s: %w", q.name, err)
	}
	all, err := q.QdiscList(q.link())
	if err != nil {
		return false, fmt.Errorf("list the qdiscs of %s: %w", q.name, err)
	}
	for _, there := range all {
		if there.Type() == "ingress" && parent == netlink.HANDLE_MIN_EGRESS {
			return false, fmt.Errorf("interface %s has a qdisc of type ingress in the place of clsact, and that sees nothing of what is sent: remove it with 'tc qdisc del dev %[1]s ingress'", q.name)
		}
	}
	return false, nil
}

// last gives a priority behind those of all filters on a side, and whether the qdisc is
// skep's.
func (q *clsact) last(parent uint32) (priority uint16, owned bool, err error) {
	priority = 0xc000 // where Linux begins
	for _, side := range directions {
		all, err := q.filters(side)
		if err != nil {
			return 0, false, err
		}
		for _, f := range all {
			if a := f.Attrs(); side == parent && a.Priority >= priority {
				priority = min(a.Priority, math.MaxUint16-1) + 1
			}
			if bpf, ok := f.(*netlink.BpfFilter); ok && isOwned(bpf) {
				owned = true
			}
		}
	}
	return priority, owned, nil
}

// sweep removes filters of skeps that were killed.
func (q *clsact) sweep() error {
	for _, side := range directions {
		all, err := q.filters(side)
		if err != nil {
			return err
		}
		for _, f := range all {
			bpf, ok := f.(*netlink.BpfFilter)
			if !ok || !isOwned(bpf) && !strings.HasPrefix(bpf.Name, filterName) {
				continue
			}
			// Whoever may not open others' programs leaves what they left.
			if dead, _ := leftOver(ebpf.ProgramID(bpf.Id)); !dead {
				continue
			}
			bpf.Fd = -1
			if err := q.remove(bpf); err != nil {
				return fmt.Errorf("remove what a skep that was killed left at %s: %w", q.name, err)
			}
		}
	}
	return nil
}

// remove removes a filter, and with it the qdisc if that is skep's and nobody else uses it.
func (q *clsact) remove(f *netlink.BpfFilter) error {
	alone, err := q.alone(f)
	switch {
	case err != nil:
	case alone && isOwned(f):
		err = q.QdiscDel(q.qdisc())
	default:
		err = q.FilterDel(f)
	}
	if errors.Is(err, unix.ENODEV) {
		return nil // the interface has gone, with all that was there
	}
	return err
}

// alone says whether there are no other filters than one, on both sides.
func (q *clsact) alone(with *netlink.BpfFilter) (bool, error) {
	for _, side := range directions {
		all, err := q.filters(side)
		if err != nil {
			return false, err
		}
		for _, f := range all {
			if a := f.Attrs(); a.Handle != with.Handle || a.Parent != with.Parent || a.Priority != with.Priority {
				return false, nil
			}
		}
	}
	return true, nil
}

// filters are those on one side.
func (q *clsact) filters(parent uint32) ([]netlink.Filter, error) {
	all, err := q.FilterList(q.link(), parent)
	if err != nil {
		return nil, fmt.Errorf("list the filters of %s: %w", q.name, err)
	}
	return all, nil
}

func (q *clsact) link() netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: q.index}}
}

func (q *clsact) qdisc() *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: q.index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
}
