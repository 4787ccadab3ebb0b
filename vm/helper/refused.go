package helper

// RefusedKfuncs says why the machine does not have some of Linux's kernel functions, by
// their names. A program that calls one is refused with the reason. Of others that the
// machine does not have it knows nothing.
var RefusedKfuncs = map[string]string{
	"bpf_cast_to_kern_ctx": "needs the kernel's own structure behind the context, such as struct sk_buff, which the machine does not have",
}
