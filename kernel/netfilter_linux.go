package kernel

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() { families["netfilter"] = planNetfilter }

var (
	netfilterFamilies = map[string]link.NetfilterProtocolFamily{"ipv4": link.NetfilterProtoIPv4, "ipv6": link.NetfilterProtoIPv6}
	netfilterHooks    = map[string]link.NetfilterInetHook{
		"pre_routing": link.NetfilterInetPreRouting, "local_in": link.NetfilterInetLocalIn, "forward": link.NetfilterInetForward,
		"local_out": link.NetfilterInetLocalOut, "post_routing": link.NetfilterInetPostRouting,
	}
)

// planNetfilter attaches to a hook of netfilter: FAMILY/HOOK, with @PRIORITY behind it
// where that is not 0. Lower ones come first.
func planNetfilter(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	place, priority, chosen := strings.Cut(at.Target, "@")
	name, hookName, ok := strings.Cut(place, "/")
	if !ok {
		return nil, fmt.Errorf("%s: want %s, such as %s", at, at.Kind.Wants, at.Kind.Example)
	}
	family, ok := netfilterFamilies[name]
	if !ok {
		return nil, fmt.Errorf("netfilter has no family %s%s", name, suggest.Name(name, slices.Collect(maps.Keys(netfilterFamilies))))
	}
	h, ok := netfilterHooks[hookName]
	if !ok {
		return nil, fmt.Errorf("netfilter has no hook %s%s", hookName, suggest.Name(hookName, slices.Collect(maps.Keys(netfilterHooks))))
	}
	n := int64(0)
	if chosen {
		var err error
		if n, err = strconv.ParseInt(priority, 10, 32); err != nil {
			return nil, fmt.Errorf("%s: the priority %q is no number of 32 bits", at, priority)
		}
	}
	return func() (io.Closer, error) {
		return link.AttachNetfilter(link.NetfilterOptions{Program: prog, ProtocolFamily: family, Hook: h, Priority: int32(n)})
	}, nil
}
