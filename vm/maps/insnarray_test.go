package maps

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

func insnArraySpec() ebpf.MapSpec {
	return ebpf.MapSpec{Name: "jt", Type: TypeInsnArray, KeySize: 4, ValueSize: 16, MaxEntries: 2}
}

// insnValue is a struct bpf_insn_array_value.
func insnValue(orig, xlated, jitted uint32) []byte {
	return append(append(append(le32(orig), le32(xlated)...), le32(jitted)...), le32(0)...)
}

func TestInsnArraySpec(t *testing.T) {
	for name, change := range map[string]func(*ebpf.MapSpec){
		"no entries": func(s *ebpf.MapSpec) { s.MaxEntries = 0 },
		"key":        func(s *ebpf.MapSpec) { s.KeySize = 8 },
		"value":      func(s *ebpf.MapSpec) { s.ValueSize = 8 },
		"flags":      func(s *ebpf.MapSpec) { s.Flags = FlagRdonly },
	} {
		t.Run(name, func(t *testing.T) {
			s := insnArraySpec()
			change(&s)
			_, err := New(&s, 1)
			wantErrno(t, err, errno.EINVAL)
		})
	}
}

func TestInsnArray(t *testing.T) {
	m := newMap(t, insnArraySpec()).(*InsnArray)
	must(t, m.UserUpdate(le32(0), insnValue(0, 0, 0), 0))
	must(t, m.UserUpdate(le32(1), insnValue(7, 0, 0), UpdateExist))
	wantErrno(t, m.UserUpdate(le32(2), insnValue(0, 0, 0), UpdateNoExist), errno.E2BIG)
	wantErrno(t, m.UserUpdate(le32(0), insnValue(0, 1, 0), UpdateNoExist), errno.EEXIST)
	wantErrno(t, m.UserUpdate(le32(0), insnValue(0, 1, 0), 0), errno.EINVAL)
	wantErrno(t, m.UserUpdate(le32(0), insnValue(0, 0, 1), 0), errno.EINVAL)
	wantErrno(t, m.UserDelete(le32(0)), errno.EINVAL)

	valid := func(insn uint32) bool { return insn < 8 }
	wantErrno(t, m.Use(valid), errno.EINVAL) // not frozen
	must(t, m.Freeze())
	wantErrno(t, m.UserUpdate(le32(0), insnValue(0, 0, 0), 0), errno.EPERM)
	wantErrno(t, m.Use(func(insn uint32) bool { return insn < 7 }), errno.EINVAL)
	must(t, m.Use(valid))
	wantErrno(t, m.Use(valid), errno.EBUSY)
	m.Release()
	must(t, m.Use(valid))

	got := make([]byte, 16)
	must(t, m.UserLookup(le32(1), got, 0))
	if orig, xlated := binary.NativeEndian.Uint32(got), binary.NativeEndian.Uint32(got[4:]); orig != 7 || xlated != 7 {
		t.Errorf("instruction 7 was %d and is %d", orig, xlated)
	}
	wantErrno(t, m.UserLookup(le32(2), got, 0), errno.ENOENT)
}
