package ctxfile

import (
	"maps"
	"slices"

	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/memory"
)

// attached reads what a tracing program knows of where it is attached. The zero value is
// a place of which nothing is said.
func (r *reader) attached(top *entries) (trace exec.Trace, err error) {
	e, ok := top.take("attached")
	if !ok {
		return trace, nil
	}
	fields, ok := e.value.(map[string]any)
	if !ok {
		return trace, e.errorf("want {ip: .., cookie: .., return: .., session: ..}")
	}
	var returns uint64
	to := map[string]*uint64{"ip": &trace.IP, "cookie": &trace.Cookie, "return": &returns, "session": &trace.Session}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		at := fields[name].(memory.At)
		in := entry{name: "attached", line: at.Line}
		if to[name] == nil {
			return trace, in.errorf("there is no %s%s", name, suggest.Name(name, slices.Sorted(maps.Keys(to))))
		}
		if *to[name], err = r.word(nil, at.Value); err != nil {
			return trace, in.errorf("%s: %w", name, err)
		}
	}
	trace.Return = returns != 0
	return trace, nil
}
