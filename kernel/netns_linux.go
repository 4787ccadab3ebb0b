package kernel

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() {
	families["sk_lookup"], families["flow_dissector"] = planNetNS, planNetNS
}

// namedNetworks is where files that are network namespaces have names.
const namedNetworks = "/run/netns"

// planNetNS attaches to a network namespace: this one, or the one of a file such as
// /run/netns/NAME.
func planNetNS(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	path := at.Target
	if path == "" {
		path = "/proc/thread-self/ns/net"
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("network namespace: %w%s", err, suggest.Name(filepath.Base(path), filesIn(filepath.Dir(path))))
	}
	if !isOn(path, unix.NSFS_MAGIC) {
		return nil, fmt.Errorf("%s is no network namespace: these are files in %s, or /proc/PID/ns/net", path, namedNetworks)
	}
	return func() (io.Closer, error) {
		ns, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer ns.Close()
		return link.AttachNetNs(int(ns.Fd()), prog)
	}, nil
}

// interfaceNamed finds an interface of this network namespace.
func interfaceNamed(name string) (*net.Interface, error) {
	if i, err := net.InterfaceByName(name); err == nil {
		return i, nil
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("look for interface %s: %w", name, err)
	}
	if other := networkOf(name); other != "" {
		return nil, fmt.Errorf("there is no interface %s here, but one in network namespace %s: run skep there, with 'ip netns exec %[2]s skep ...'", name, other)
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	return nil, fmt.Errorf("there is no interface %s here%s", name, suggest.Name(name, names))
}

// networkOf gives the name of another network namespace that has an interface, of those
// that may be looked into.
func networkOf(name string) string {
	for _, other := range filesIn(namedNetworks) {
		ns, err := netns.GetFromPath(filepath.Join(namedNetworks, other))
		if err != nil {
			continue
		}
		h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
		ns.Close()
		if err != nil {
			continue
		}
		_, err = h.LinkByName(name)
		h.Close()
		if err == nil {
			return other
		}
	}
	return ""
}

// filesIn are the names of the files in a folder.
func filesIn(dir string) (names []string) {
	entries, _ := os.ReadDir(dir) // none to offer where it cannot be read
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}
