package maps

import (
	"bytes"
)

// rules are what the kernel's code for a structure of operations asks of its members.
type rules struct {
	// data are the members other than functions that may be set, and whether they
	// may be so.
	data map[string]func(value []byte) bool
	// complete reports whether the functions that are set are enough.
	complete func(set map[string]bool) bool
}

// opsRules are the rules of structures by their names. Nothing is asked of others.
var opsRules = map[string]*rules{
	"tcp_congestion_ops": {
		data: map[string]func([]byte) bool{
			"flags": func(value []byte) bool { return u32(value)&^congestionFlags == 0 },
			"name":  isCongestionName,
		},
		complete: func(set map[string]bool) bool {
			return set["ssthresh"] && set["undo_cwnd"] && (set["cong_avoid"] || set["cong_control"])
		},
	},
}

// congestionFlags are TCP_CONG_NON_RESTRICTED, TCP_CONG_NEEDS_ECN and those of
// accurate ECN, which came later.
const congestionFlags = 0x1f

// isCongestionName reports whether a name has letters, digits, _ and dots, at least
// one, and a NUL behind them.
func isCongestionName(value []byte) bool {
	name, _, ended := bytes.Cut(value, []byte{0})
	valid := func(r rune) bool {
		return r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	return ended && len(name) > 0 && !bytes.ContainsFunc(name, func(r rune) bool { return !valid(r) })
}

// allows reports whether a member that is no function may have a value.
func (r *rules) allows(member string, value []byte) bool {
	if may, ok := r.data[member]; ok {
		return may(value)
	}
	return len(bytes.Trim(value, "\x00")) == 0
}
