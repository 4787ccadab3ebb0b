package helper

// Refused says why the machine does not have some of Linux's helpers. A program
// that calls one is refused with the reason.
var Refused = map[uint32]string{
	74:  "needs Linux's IPv6 segment routing",
	75:  "needs Linux's IPv6 segment routing",
	76:  "needs Linux's IPv6 segment routing",
}

// RefusedKfuncs says the same of kernel functions, by their names. Of others that
// the machine does not have it knows nothing.
var RefusedKfuncs = map[string]string{
	"bpf_cast_to_kern_ctx": "needs the kernel's own structure behind the context, such as struct sk_buff, which the machine does not have",
}
