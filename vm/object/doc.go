// Package object is the objects that programs allocate and own
// (bpf_obj_new), and the places that hold them: pointers in map values, linked
// lists and red-black trees.
//
// Objects live outside the Go heap, in slabs that are never given back, so that
// an address that was an object's stays memory. [Find] tells from an address
// which object it points into; the layouts of the special fields are the
// machine's own where Linux leaves them opaque (linux/bpf.h: bpf_list_head,
// bpf_list_node, bpf_rb_root, bpf_rb_node, bpf_refcount).
//
// Lists and trees are not synchronised here: programs hold the spin lock beside
// them.
package object
