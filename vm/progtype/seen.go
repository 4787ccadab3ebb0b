package progtype

import "github.com/skep-ebpf/skep/vm/exec"

// Seen is the context of a run as its program sees it, for types whose context
// the machine keeps so.
func Seen(s *exec.State) []byte { return s.CtxBytes()[uapiOff:] }
