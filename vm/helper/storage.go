package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// storageCreate is the one flag of bpf_sk_storage_get and its kin.
const storageCreate = 1

func init() {
	get := func(owner Arg) []Arg { return []Arg{ArgConstMapPtr, owner, ArgPtrToMapValueOrNull, ArgAnything} }
	drop := func(owner Arg) []Arg { return []Arg{ArgConstMapPtr, owner} }
	register(
		&Helper{ID: 81, Name: "bpf_get_local_storage", Func: localStorage, Ret: RetPtrToMapValueOrNull, Asks: asksCgroups,
			Args: []Arg{ArgConstMapPtr, ArgAnything}},
		&Helper{ID: 107, Name: "bpf_sk_storage_get", Func: storageGet(socketOwner), Asks: asksSockets,
			Args: get(ArgPtrToCtxOrSocket), Ret: RetPtrToMapValueOrNull},
		&Helper{ID: 108, Name: "bpf_sk_storage_delete", Func: storageDelete(socketOwner), Args: drop(ArgPtrToCtxOrSocket), Asks: asksSockets},
		&Helper{ID: 145, Name: "bpf_inode_storage_get", Func: storageGet(objectOwner), Args: get(ArgPtrToBTF), Ret: RetPtrToMapValueOrNull},
		&Helper{ID: 146, Name: "bpf_inode_storage_delete", Func: storageDelete(objectOwner), Args: drop(ArgPtrToBTF)},
		&Helper{ID: 156, Name: "bpf_task_storage_get", Func: storageGet(taskOwner), Asks: asksTasks,
			Args: get(ArgPtrToBTF), Ret: RetPtrToMapValueOrNull},
		&Helper{ID: 157, Name: "bpf_task_storage_delete", Func: storageDelete(taskOwner), Args: drop(ArgPtrToBTF), Asks: asksTasks},
		&Helper{ID: 210, Name: "bpf_cgrp_storage_get", Func: storageGet(objectOwner), Args: get(ArgPtrToBTF), Ret: RetPtrToMapValueOrNull},
		&Helper{ID: 211, Name: "bpf_cgrp_storage_delete", Func: storageDelete(objectOwner), Args: drop(ArgPtrToBTF)},
	)
}

// owner gives the number of the object at an address; 0 where there is none.
type owner func(s *exec.State, addr uint64) uint32

// socketOwner is a socket's number in the world.
func socketOwner(s *exec.State, addr uint64) uint32 {
	if addr == 0 {
		return 0
	}
	k := socketOf(s, addr)
	if k == nil || !k.Full() {
		return 0
	}
	return k.Number
}

// taskOwner is a thread's pid, or where the world has no such thread, the number
// of its struct.
func taskOwner(s *exec.State, addr uint64) uint32 {
	if t := taskAt(s, addr); t != nil {
		return t.PID
	}
	return objectOwner(s, addr)
}

// objectOwner is the number of a struct in Env.Objects, from 1.
func objectOwner(s *exec.State, addr uint64) uint32 {
	i, ok := s.Env.Objects.Find(uintptr(addr))
	if !ok {
		return 0
	}
	return uint32(i) + 1
}

func storageGet(of owner) Func {
	return func(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
		m, ok := mapOf(r1).(*maps.Storage)
		id := of(s, r2)
		if !ok || id == 0 || r4&^storageCreate != 0 {
			return 0
		}
		var value []byte
		if r3 != 0 {
			value = view(r3, uint64(m.Info().ValueSize))
		}
		return uint64(m.Get(s.CPU, id, value, r4&storageCreate != 0))
	}
}

func storageDelete(of owner) Func {
	return func(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
		m, ok := mapOf(r1).(*maps.Storage)
		id := of(s, r2)
		if !ok || id == 0 {
			return errno.EINVAL.Ret()
		}
		return status(m.Drop(id))
	}
}

// localStorage gives the value of the cgroup that the program runs in: that of
// the context's socket, or of the current task.
func localStorage(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	m, ok := mapOf(r1).(*maps.CgroupStorage)
	if !ok {
		return 0
	}
	return uint64(m.Get(s.CPU, cgroupOf(s), s.Attach))
}

// cgroupOf is the id of the cgroup that a run belongs to; 0: none.
func cgroupOf(s *exec.State) uint64 {
	if s.Env.Sockets != nil {
		if k := s.Env.Sockets.Current(); k != nil {
			return k.Cgroup
		}
	}
	return currentCgroupID(s, 0, 0, 0, 0, 0)
}
