package helper_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/internal/oracle"
	"github.com/skep-ebpf/skep/vm/world"
)

const fileWorld = `
current: {pid: 7}
processes: [{pid: 7, exe: /bin/x}]
files:
- name: /bin/x
  file: 0xffff888000001000
  dentry: 0xffff888000002000
  inode: 0xffff888000003000
  data: "0123456789"
  xattrs: {user.note: text, security.bpf.label: secret, security.selinux: other}
  verity: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
`

// fileState is a run in that world, and room for a program's data: a string, a dynptr,
// and n bytes to which the dynptr is.
type fileState struct {
	*exec.State
	name, dynptr, data []byte
}

func newFileState(t *testing.T, n int) *fileState {
	t.Helper()
	w, err := world.Parse("world.yaml", []byte(fileWorld))
	if err != nil {
		t.Fatal(err)
	}
	s := &fileState{State: oracle.State(t)}
	w.Into(s.Env)
	for size, b := range map[*[]byte]int{&s.name: 64, &s.dynptr: 16, &s.data: n} {
		*size, _ = s.Lend(b)
		clear(*size)
	}
	helper.ByID(197).Func(s.State, uint64(exec.Addr(s.data)), uint64(n), 0, uint64(exec.Addr(s.dynptr)), 0)
	return s
}

// call calls a kernel function; texts and dynptrs among its arguments are put into the
// run's memory.
func (s *fileState) call(name string, args ...any) int32 {
	var r [5]uint64
	for i, a := range args {
		switch a := a.(type) {
		case int:
			r[i] = uint64(a)
		case uint64:
			r[i] = a
		case string:
			clear(s.name)
			copy(s.name, a)
			r[i] = uint64(exec.Addr(s.name))
		case []byte:
			r[i] = uint64(exec.Addr(a))
		}
	}
	return int32(helper.Kfunc(name).Func(s.State, r[0], r[1], r[2], r[3], r[4]))
}

const (
	someFile   = uint64(0xffff888000001000)
	someDentry = uint64(0xffff888000002000)
	noFile     = uint64(0xffff888000009000)
)

func TestFileAttributes(t *testing.T) {
	const eperm, einval, enodata, erange, eexist, eoverflow = -1, -22, -61, -34, -17, -75
	s := newFileState(t, 6)
	for _, tt := range []struct {
		name string
		args []any
		want int32
	}{
		{"bpf_get_file_xattr", []any{someFile, "user.note", s.dynptr}, 4},
		{"bpf_get_dentry_xattr", []any{someDentry, "security.bpf.label", s.dynptr}, 6},
		{"bpf_get_file_xattr", []any{someFile, "security.selinux", s.dynptr}, eperm},
		{"bpf_get_file_xattr", []any{someFile, "user.other", s.dynptr}, enodata},
		{"bpf_get_file_xattr", []any{noFile, "user.note", s.dynptr}, enodata},
		{"bpf_get_file_xattr", []any{s.executable(), "user.note", s.dynptr}, 4},
		{"bpf_set_dentry_xattr", []any{someDentry, "security.bpf.label", s.dynptr, 1}, eexist},
		{"bpf_set_dentry_xattr", []any{someDentry, "security.bpf.new", s.dynptr, 2}, enodata},
		{"bpf_set_dentry_xattr", []any{someDentry, "user.note", s.dynptr, 0}, eperm},
		{"bpf_set_dentry_xattr", []any{someDentry, "security.bpf.new", s.dynptr, 0}, 0},
		{"bpf_remove_dentry_xattr", []any{someDentry, "security.bpf.label"}, 0},
		{"bpf_remove_dentry_xattr", []any{someDentry, "security.bpf.new"}, enodata},
		{"bpf_remove_dentry_xattr", []any{someDentry, "user.note"}, eperm},
		{"bpf_get_fsverity_digest", []any{someFile, s.dynptr}, eoverflow},
		{"bpf_get_fsverity_digest", []any{noFile, s.dynptr}, enodata},
	} {
		if got := s.call(tt.name, tt.args...); got != tt.want {
			t.Errorf("%s(%v) is %d, want %d", tt.name, tt.args, got, tt.want)
		}
	}
	var did []string
	for _, e := range s.Effects {
		did = append(did, e.What+" "+e.Text)
	}
	if diff := cmp.Diff([]string{"set_dentry_xattr /bin/x security.bpf.new=textet", "remove_dentry_xattr /bin/x security.bpf.label"}, did); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if inode := helper.Kfunc("bpf_real_data_inode").Func(s.State, someFile, 0, 0, 0, 0); inode != 0xffff888000003000 {
		t.Errorf("the inode is at %#x", inode)
	}
	null, _ := s.Lend(16)
	clear(null)
	if s.call("bpf_get_file_xattr", someFile, "user.note", null) != einval {
		t.Error("an attribute is copied into no dynptr")
	}
	if small := newFileState(t, 3); small.call("bpf_get_file_xattr", someFile, "user.note", small.dynptr) != erange {
		t.Error("an attribute is copied into too little room")
	}

	s = newFileState(t, 40)
	if got := s.call("bpf_get_fsverity_digest", someFile, s.dynptr); got != 0 ||
		binary.NativeEndian.Uint16(s.data) != 1 || binary.NativeEndian.Uint16(s.data[2:]) != 32 || s.data[4] != 0x9f || s.data[35] != 8 {
		t.Errorf("digest: %d, % x", got, s.data)
	}
}

// executable is the struct file of the file that the current task executes.
func (s *fileState) executable() uint64 { return s.Env.Tasks.Current().ExeFile() }

// TestFileDynptr reads a file through a dynptr.
func TestFileDynptr(t *testing.T) {
	const einval, e2big, eio = -22, -7, -5
	s := newFileState(t, 4)
	d, to := uint64(exec.Addr(s.dynptr)), uint64(exec.Addr(s.data))
	read := func(n, offset uint64) int32 { return int32(helper.ByID(201).Func(s.State, to, n, d, offset, 0)) }
	if got := s.call("bpf_dynptr_from_file", someFile, 1, s.dynptr); got != einval || s.call("bpf_dynptr_is_null", s.dynptr) != 1 {
		t.Errorf("a dynptr with flags: %d", got)
	}
	if got := s.call("bpf_dynptr_from_file", s.executable(), 0, s.dynptr); got != 0 || s.call("bpf_dynptr_is_rdonly", s.dynptr) != 1 {
		t.Fatalf("a dynptr to a file: %d", got)
	}
	if got := read(4, 5); got != 0 || !bytes.Equal(s.data, []byte("5678")) {
		t.Errorf("read %d, %q", got, s.data)
	}
	if got := read(4, 7); got != eio {
		t.Errorf("read behind the end: %d", got)
	}
	if got := s.call("bpf_dynptr_adjust", s.dynptr, 2, 5); got != 0 || s.call("bpf_dynptr_size", s.dynptr) != 3 {
		t.Errorf("adjust: %d", got)
	}
	if got := read(4, 0); got != e2big {
		t.Errorf("read more than the dynptr has: %d", got)
	}
	if addr := helper.Kfunc("bpf_dynptr_slice").Func(s.State, d, 1, to, 2, 0); addr != to || string(s.data[:2]) != "34" {
		t.Errorf("slice: %#x, %q", addr, s.data)
	}
	if got := s.call("bpf_dynptr_file_discard", s.dynptr); got != 0 || s.call("bpf_dynptr_is_null", s.dynptr) != 1 {
		t.Errorf("discard: %d", got)
	}
}
