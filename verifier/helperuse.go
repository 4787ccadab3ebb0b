package verifier

import (
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/verifier/kernels"
)

// A program may call a helper if its type has it (package kernels), if the way it is
// attached does not take it away, if its licence and the loader's capabilities allow
// it: the rules here.

// helperUsable refuses a helper that programs of this type, attached as this one is, do
// not have, or not with this licence.
func (c *checker) helperUsable(id asm.BuiltinFunc) error {
	since, ok := c.kernel.Helper(c.progType(), c.img.Attach, uint32(id))
	if !ok && since != 0 {
		return c.tooOld(since, "helper %s", helperName(id))
	}
	rule := attachRules[id]
	h, _ := kernels.HelperByID(uint32(id))
	denied := c.opts.Lacks&h.Caps != 0 && !c.ownHelper(id)
	if !ok || denied || rule != nil && !rule(c) {
		return c.fail(CauseHelper, "program of this type cannot use helper %s#%d", helperName(id), id)
	}
	if h.GPL && c.img.Proprietary() {
		return c.fail(CauseLicense, "cannot call GPL-restricted function from non-GPL compatible program")
	}
	return nil
}

// ownHelper reports whether the program's type has a prototype of its own for a helper
// that other types share, and asks for no capability.
func (c *checker) ownHelper(id asm.BuiltinFunc) bool {
	switch typ := c.progType(); id {
	case asm.FnGetCgroupClassid:
		return slices.Contains(typesOfSKB, typ)
	case asm.FnSkcToTcp6Sock, asm.FnSkcToTcpSock, asm.FnSkcToTcpTimewaitSock, asm.FnSkcToTcpRequestSock,
		asm.FnSkcToUdp6Sock, asm.FnSkcToUnixSock, asm.FnSkcToMptcpSock:
		return typ == ebpf.Tracing || typ == ebpf.LSM || typ == ebpf.Syscall
	}
	return false
}

// attachRules say, for helpers that a program type has only where it is attached in
// certain ways, whether this program has it.
var attachRules = map[asm.BuiltinFunc]func(c *checker) bool{
	asm.FnGetRetval:       hasRetval,
	asm.FnSetRetval:       hasRetval,
	asm.FnGetLocalStorage: cgroupHook,
	asm.FnBind: func(c *checker) bool {
		return c.attachedAs(ebpf.AttachCGroupInet4Connect, ebpf.AttachCGroupInet6Connect)
	},
	asm.FnSetsockopt:      hasSockopt,
	asm.FnGetsockopt:      hasSockopt,
	asm.FnSeqPrintf:       iterator,
	asm.FnSeqWrite:        iterator,
	asm.FnSeqPrintfBtf:    iterator,
	asm.FnGetFuncRet:      (*checker).trampoline,
	asm.FnGetFuncArg:      hasArguments,
	asm.FnGetFuncArgCnt:   hasArguments,
	asm.FnGetAttachCookie: hasCookie,
	asm.FnTcpSendAck:      tcpOperation,
	asm.FnKtimeGetCoarseNs: func(c *checker) bool {
		return c.progType() != ebpf.StructOps || tcpOperation(c)
	},
	asm.FnSkStorageGet:    hasSocketStorage,
	asm.FnSkStorageDelete: hasSocketStorage,
}

// attachedAs reports whether the program is attached in one of some ways.
func (c *checker) attachedAs(types ...ebpf.AttachType) bool {
	return slices.Contains(types, c.img.Attach)
}

// trampoline reports whether the program runs from a trampoline at a function
// (bpf_prog_has_trampoline).
func (c *checker) trampoline() bool {
	switch c.progType() {
	case ebpf.Tracing:
		return c.attachedAs(ebpf.AttachTraceFEntry, ebpf.AttachTraceFExit, ebpf.AttachModifyReturn) || c.session()
	case ebpf.LSM:
		return c.img.Attach == ebpf.AttachLSMMac
	}
	return false
}

func iterator(c *checker) bool { return c.img.Attach == ebpf.AttachTraceIter }

// cgroupHook is false for hooks of LSM that are not a cgroup's.
func cgroupHook(c *checker) bool {
	return c.progType() != ebpf.LSM || c.img.Attach == ebpf.AttachLSMCgroup
}

// hasRetval is false where the hook has no result to change (cgroup_common_func_proto).
func hasRetval(c *checker) bool {
	return cgroupHook(c) && !c.attachedAs(
		ebpf.AttachCGroupInetIngress, ebpf.AttachCGroupInetEgress, ebpf.AttachCGroupSockOps,
		ebpf.AttachCGroupUDP4Recvmsg, ebpf.AttachCGroupUDP6Recvmsg, ebpf.AttachCgroupUnixRecvmsg,
		ebpf.AttachCgroupInet4GetPeername, ebpf.AttachCgroupInet6GetPeername, ebpf.AttachCgroupUnixGetpeername,
		ebpf.AttachCgroupInet4GetSockname, ebpf.AttachCgroupInet6GetSockname, ebpf.AttachCgroupUnixGetsockname)
}

// sockoptHooks are the hooks of sockets' addresses from which options may be read and set.
var sockoptHooks = []ebpf.AttachType{
	ebpf.AttachCGroupInet4Bind, ebpf.AttachCGroupInet6Bind, ebpf.AttachCGroupInet4Connect,
	ebpf.AttachCGroupInet6Connect, ebpf.AttachCgroupUnixConnect, ebpf.AttachCGroupUDP4Recvmsg,
	ebpf.AttachCGroupUDP6Recvmsg, ebpf.AttachCgroupUnixRecvmsg, ebpf.AttachCGroupUDP4Sendmsg,
	ebpf.AttachCGroupUDP6Sendmsg, ebpf.AttachCgroupUnixSendmsg, ebpf.AttachCgroupInet4GetPeername,
	ebpf.AttachCgroupInet6GetPeername, ebpf.AttachCgroupInet4GetSockname, ebpf.AttachCgroupInet6GetSockname,
}

// sockoptLSMHooks are those of LSM at which a socket is locked, or not yet visible.
var sockoptLSMHooks = []string{
	"sock_graft", "inet_csk_clone", "inet_conn_established", "socket_post_create", "socket_socketpair",
}

func hasSockopt(c *checker) bool {
	switch c.progType() {
	case ebpf.CGroupSock:
		return c.since(7, 0) && c.img.Attach == ebpf.AttachCGroupInetSockCreate
	case ebpf.CGroupSockAddr:
		return c.attachedAs(sockoptHooks...)
	case ebpf.CGroupSockopt:
		return c.img.Attach == ebpf.AttachCGroupSetsockopt
	case ebpf.LSM:
		return c.img.Attach == ebpf.AttachLSMCgroup && c.target != nil &&
			slices.Contains(sockoptLSMHooks, strings.TrimPrefix(c.target.name, lsmPrefix))
	case ebpf.Tracing:
		return iterator(c) && c.target != nil && (c.target.name == "bpf_iter_tcp" || c.target.name == "bpf_iter_unix")
	case ebpf.StructOps:
		return tcpOperation(c) && c.target.name != "release"
	}
	return true
}

// tcpOperation is false for structures of operations other than congestion control.
func tcpOperation(c *checker) bool {
	return c.target != nil && c.target.ops != nil && c.target.ops.Name == "tcp_congestion_ops"
}

func hasSocketStorage(c *checker) bool { return c.progType() != ebpf.StructOps || tcpOperation(c) }

func hasArguments(c *checker) bool {
	return c.trampoline() || c.since(7, 0) && c.progType() == ebpf.Tracing && c.img.Attach == ebpf.AttachTraceRawTp
}

func hasCookie(c *checker) bool {
	switch c.progType() {
	case ebpf.Tracing:
		return c.trampoline() || c.img.Attach == ebpf.AttachTraceRawTp
	case ebpf.LSM:
		return c.trampoline()
	}
	return true
}

// helperAllowed reports whether a helper that the program has may be called from where
// it is attached (bpf_func_proto.allowed).
func (c *checker) helperAllowed(id asm.BuiltinFunc) bool {
	switch id {
	case asm.FnDPath:
		return c.pathsAllowed()
	case asm.FnImaInodeHash, asm.FnImaFileHash:
		return c.target != nil && c.sleepableHook(c.target.name)
	case asm.FnSkStorageGet, asm.FnSkStorageDelete:
		return !slices.Contains(typesOfFunctions, c.progType()) || c.storageTraceable()
	}
	return true
}

// pathFunctions are the kernel's functions from which bpf_d_path may be called.
var pathFunctions = []string{
	"security_file_permission", "security_inode_getattr", "security_file_open", "security_path_truncate",
	"vfs_truncate", "vfs_fallocate", "dentry_open", "vfs_getattr", "filp_close",
}

func (c *checker) pathsAllowed() bool {
	switch {
	case c.progType() == ebpf.Tracing && iterator(c):
		return true
	case c.target == nil:
		return false
	case c.progType() == ebpf.LSM:
		return c.sleepableHook(c.target.name)
	}
	return slices.Contains(pathFunctions, c.target.name)
}

// storageTraceable is false for functions that work on sockets' storage themselves.
func (c *checker) storageTraceable() bool {
	switch {
	case c.attachedAs(ebpf.AttachTraceIter, ebpf.AttachTraceRawTp):
		return true
	case c.attachedAs(ebpf.AttachTraceFEntry, ebpf.AttachTraceFExit) || c.session():
		return c.target != nil && !strings.HasPrefix(c.target.name, "bpf_sk_storage")
	}
	return false
}
