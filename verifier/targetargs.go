package verifier

import (
	"strings"

	"github.com/cilium/ebpf/btf"
	"github.com/skep-ebpf/skep/internal/ctype"
)

// describeArguments finds what is known of the target's arguments beyond their types:
// of iterators by name, of operations by how the parameters of the kernel's stub are
// called.
func (c *checker) describeArguments() {
	t := c.target
	if t == nil || t.proto == nil {
		return
	}
	if t.ops != nil {
		c.describeOperation(t)
		return
	}
	for _, a := range iteratorArgs[strings.TrimPrefix(t.name, "bpf_iter_")] {
		for i, p := range t.params() {
			if p.Name == a.name {
				t.args = append(t.args, c.targetArg(i, p.Type, a.typ, a.flags))
			}
		}
	}
}

// targetArg describes a parameter.
func (c *checker) targetArg(index int, t btf.Type, typ RegType, flags RegFlags) targetArg {
	arg := targetArg{index: index, typ: typ, flags: flags}
	if target, ok := pointee(t); ok && typ == PtrToBTF {
		arg.btf = c.typeOf(target, true)
	}
	return arg
}

// describeOperation takes what is known of an operation's arguments from its stub,
// STRUCT__MEMBER.
func (c *checker) describeOperation(t *target) {
	if drops := c.kernelType("bpf_sk_buff_ptr"); drops != nil && t.ops.Name == "Qdisc_ops" && t.name == "enqueue" {
		// Where packets are left that are to be dropped, of which programs see no more.
		t.args = append(t.args, targetArg{index: 2, typ: PtrToBTF, flags: Trusted, btf: drops})
	}
	for _, candidate := range ctype.Named(c.kernelTypes(), t.ops.Name+"__"+t.name) {
		fn, ok := candidate.(*btf.Func)
		if !ok {
			continue
		}
		stub, ok := fn.Type.(*btf.FuncProto)
		if !ok || len(stub.Params) != len(t.params()) {
			continue
		}
		for i, p := range t.params() {
			switch name := stub.Params[i].Name; {
			case strings.HasSuffix(name, "__nullable"):
				t.args = append(t.args, c.targetArg(i, p.Type, PtrToBTF, Trusted|MaybeNull))
			case strings.HasSuffix(name, "__ref"):
				arg := c.targetArg(i, p.Type, PtrToBTF, Trusted)
				arg.acquired = true
				t.args = append(t.args, arg)
			}
		}
		return
	}
}

// acquireArguments makes the references that the program owns from its beginning on.
func (c *checker) acquireArguments() {
	if c.target == nil {
		return
	}
	for i := range c.target.args {
		if a := &c.target.args[i]; a.acquired {
			a.ref = c.acquire(refPtr)
		}
	}
}

// iteratorArg is what an iterator says of an argument by its name.
type iteratorArg struct {
	name  string
	typ   RegType
	flags RegFlags
}

// iteratorArgs are the arguments of iterators that are NULL when there is no more
// (ctx_arg_info of their struct bpf_iter_reg).
var iteratorArgs = map[string][]iteratorArg{
	"task":      {{"task", PtrToBTF, MaybeNull | Trusted}},
	"task_file": {{"task", PtrToBTF, MaybeNull}, {"file", PtrToBTF, MaybeNull}},
	"task_vma":  {{"task", PtrToBTF, MaybeNull}, {"vma", PtrToBTF, MaybeNull}},
	"bpf_map":   {{"map", PtrToBTF, MaybeNull | Trusted}},
	"bpf_map_elem": {
		{"key", PtrToBuf, MaybeNull | Readonly}, {"value", PtrToBuf, MaybeNull},
	},
	"bpf_sk_storage_map": {{"sk", PtrToBTF, MaybeNull}, {"value", PtrToBuf, MaybeNull}},
	"sockmap":            {{"key", PtrToBuf, MaybeNull | Readonly}, {"sk", PtrToBTF, MaybeNull}},
	"bpf_prog":           {{"prog", PtrToBTF, MaybeNull}},
	"bpf_link":           {{"link", PtrToBTF, MaybeNull}},
	"cgroup":             {{"cgroup", PtrToBTF, MaybeNull | Trusted}},
	"kmem_cache":         {{"s", PtrToBTF, MaybeNull | Trusted}},
	"dmabuf":             {{"dmabuf", PtrToBTF, MaybeNull}},
	"ksym":               {{"ksym", PtrToBTF, MaybeNull}},
	"netlink":            {{"sk", PtrToBTF, MaybeNull}},
	"ipv6_route":         {{"rt", PtrToBTF, MaybeNull}},
	"unix":               {{"unix_sk", PtrToBTF, MaybeNull}},
	"tcp":                {{"sk_common", PtrToBTF, MaybeNull | Trusted}},
	"udp":                {{"udp_sk", PtrToBTF, MaybeNull | Trusted}},
}
