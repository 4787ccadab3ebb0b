package helper

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

const (
	asksFiles    = "files"
	asksExeFiles = "processes, names of files"
)

func init() {
	registerKfuncs("6.12", only([]ebpf.ProgramType{ebpf.LSM},
		&Helper{Name: "bpf_get_task_exe_file", Func: taskExeFile, Flags: Acquire | RetNull, Ret: RetPtrToObject, Asks: asksExeFiles,
			Args: []Arg{ArgPtrToBTF}},
		&Helper{Name: "bpf_put_file", Func: noop, Flags: Release, Ret: RetVoid, Asks: asksExeFiles,
			Args: []Arg{ArgPtrToOwned}},
		&Helper{Name: "bpf_path_d_path", Func: pathDPath, Asks: asksExeFiles,
			Args: []Arg{ArgPtrToBTF, ArgPtrToUninitMem, ArgConstSizeOrZero}},
		&Helper{Name: "bpf_get_dentry_xattr", Func: fileXattr, Asks: asksFiles,
			Args: []Arg{ArgPtrToBTF, ArgPtrToConstStr, ArgPtrToSlot}},
		&Helper{Name: "bpf_get_file_xattr", Func: fileXattr, Asks: asksFiles, Since: "6.8",
			Args: []Arg{ArgPtrToBTF, ArgPtrToConstStr, ArgPtrToSlot}},
		&Helper{Name: "bpf_get_fsverity_digest", Func: verityDigest, Asks: asksFiles, Since: "6.8",
			Args: []Arg{ArgPtrToBTF, ArgPtrToSlot}},
		&Helper{Name: "bpf_set_dentry_xattr", Func: setXattr, Asks: asksFiles, Since: "6.15",
			Args: []Arg{ArgPtrToBTF, ArgPtrToConstStr, ArgPtrToSlot, ArgAnything}},
		&Helper{Name: "bpf_remove_dentry_xattr", Func: removeXattr, Asks: asksFiles, Since: "6.15",
			Args: []Arg{ArgPtrToBTF, ArgPtrToConstStr}},
		&Helper{Name: "bpf_real_data_inode", Func: dataInode, Flags: RetNull, Ret: RetPtrToObject, Asks: asksFiles, Since: "7.2",
			Args: []Arg{ArgPtrToBTF}},
	)...)
}

// fileAt is the file of which an address is a structure's; one of which nothing is
// said has no attributes and no content.
func fileAt(s *exec.State, addr uint64) *exec.File {
	if s.Env.Files == nil {
		return new(exec.File)
	}
	if f := s.Env.Files.At(addr); f != nil {
		return f
	}
	if tgid, ok := exec.ExeFileOf(addr); ok && s.Env.Tasks != nil {
		if f := s.Env.Files.Named(exeOf(s.Env.Tasks.Task(tgid))); f != nil {
			return f
		}
	}
	return new(exec.File)
}

const (
	userXattrs = "user."
	bpfXattrs  = "security.bpf."
)

// nameAt is a string that the verifier knows.
func nameAt(s *exec.State, addr uint64) string {
	return string(cString(view(addr, uint64(s.Readable(uintptr(addr))))))
}

// fileXattr copies an extended attribute into a dynptr and gives its length. Programs
// see those of users and their own.
func fileXattr(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	d, name := dynptrAt(r3), nameAt(s, r2)
	to := d.writable(s, 0, d.len())
	switch {
	case to == 0:
		return result32(negative(errno.EINVAL))
	case !strings.HasPrefix(name, userXattrs) && !strings.HasPrefix(name, bpfXattrs):
		return result32(negative(errno.EPERM))
	}
	switch value, ok := fileAt(s, r1).Xattrs[name]; {
	case !ok:
		return result32(negative(errno.ENODATA))
	case len(value) > int(d.len()):
		return result32(negative(errno.ERANGE))
	default:
		return uint64(copy(view(uint64(to), uint64(d.len())), value))
	}
}

// setXattr notes an attribute that the program sets.
func setXattr(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	const create, replace = 1, 2 // XATTR_CREATE, XATTR_REPLACE
	d, name := dynptrAt(r3), nameAt(s, r2)
	value := d.slice(s, 0, d.len())
	_, there := fileAt(s, r1).Xattrs[name]
	switch flags := uint32(r4); {
	case value == 0:
		return result32(negative(errno.EINVAL))
	case !strings.HasPrefix(name, bpfXattrs):
		return result32(negative(errno.EPERM))
	case there && flags&create != 0:
		return result32(negative(errno.EEXIST))
	case !there && flags&replace != 0:
		return result32(negative(errno.ENODATA))
	}
	s.ActOn("set_dentry_xattr", calledAt(s, r1)+" "+name+"="+string(view(uint64(value), uint64(d.len()))))
	return 0
}

// removeXattr notes an attribute that the program takes away.
func removeXattr(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	name := nameAt(s, r2)
	_, there := fileAt(s, r1).Xattrs[name]
	switch {
	case !strings.HasPrefix(name, bpfXattrs):
		return result32(negative(errno.EPERM))
	case !there:
		return result32(negative(errno.ENODATA))
	}
	s.ActOn("remove_dentry_xattr", calledAt(s, r1)+" "+name)
	return 0
}

// calledAt is what a person calls the file of which an address is a structure's.
func calledAt(s *exec.State, addr uint64) string {
	return cmp.Or(fileAt(s, addr).Name, fmt.Sprintf("file at %#x", addr))
}

// verityDigest writes a struct fsverity_digest: algorithm, size, digest, and zeros.
func verityDigest(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	const header, align = 4, 2
	d := dynptrAt(r2)
	to := d.writable(s, 0, d.len())
	if to == 0 || to%align != 0 || d.len() < header {
		return result32(negative(errno.EINVAL))
	}
	algorithm, ok := verityAlgorithms[fileAt(s, r1).Verity.Algorithm]
	if !ok {
		return result32(negative(errno.ENODATA))
	}
	digest, b := fileAt(s, r1).Verity.Digest, view(uint64(to), uint64(d.len()))
	if len(b)-header < len(digest) {
		return result32(negative(errno.EOVERFLOW))
	}
	le.PutUint16(b, algorithm)
	le.PutUint16(b[2:], uint16(len(digest)))
	clear(b[header+copy(b[header:], digest):])
	return 0
}

// verityAlgorithms are fs-verity's numbers (FS_VERITY_HASH_ALG_*) by those of
// linux/hash_info.h: SHA-256 and SHA-512.
var verityAlgorithms = map[uint32]uint16{4: 1, 6: 2}

func dataInode(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	if inode := fileAt(s, r1).Inode; inode != 0 {
		return givesStruct(s, inode)
	}
	return 0
}

// exeOf is the name of the file that a task executes; "": none.
func exeOf(t *exec.Task) string {
	if t == nil {
		return ""
	}
	return t.Exe
}

// taskExeFile gives a struct file that programs can only ask the name of.
func taskExeFile(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	t := taskAt(s, r1)
	if exeOf(t) == "" {
		return 0
	}
	s.RetProv = exec.Nowhere
	return t.ExeFile()
}

// pathDPath is bpf_d_path with a result of 32 bits, which wants a buffer.
func pathDPath(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	if uint32(r3) == 0 {
		return result32(negative(errno.EINVAL))
	}
	return uint64(uint32(dPath(s, r1, r2, r3, 0, 0)))
}
