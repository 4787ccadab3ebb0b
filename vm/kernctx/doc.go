// Package kernctx makes the kernel's own structures behind a program's context, as
// bpf_cast_to_kern_ctx shows them: the struct sk_buff behind a struct __sk_buff, with its
// device and its socket, the struct xdp_buff behind a struct xdp_md.
//
// The machine has no such structures. A [Layout] says where a kernel's BTF has their
// fields, and what of a run each of them is: a field is made when a program looks at it,
// and so follows the packet and the context whoever changes them. Nothing is made for
// programs that do not ask. Fields that nothing in a run corresponds to are 0, as are
// pointers to what the machine has no structure for.
package kernctx
