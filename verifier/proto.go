package verifier

import (
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/verifier/kernels"
)

// proto is what Linux says of a helper's signature (struct bpf_func_proto). Its name,
// the program types that have it and its licence are in [helper.Linux].
type proto struct {
	name  string
	args  [5]arg
	ret   ret
	flags protoFlags
}

// protoFlags say more of a helper.
type protoFlags uint8

const (
	takesPacket  protoFlags = 1 << iota // its memory arguments may lie in the packet (pkt_access)
	shiftsPacket                        // pointers into the packet are stale after the call
	sleeps
	fastcall // scratches its arguments' registers and R0 only (allow_fastcall)
	acquires // its result is a reference
	casts    // its result is the reference that its argument is
	varies   // some program types have another prototype: variants
)

// arg is the kind of an argument (enum bpf_arg_type), with flags that modify it, the
// size of a fixed-size memory argument, and the type of a kernel object.
type arg uint32

const (
	argNone arg = iota
	argAny
	argScalar
	argMap
	argKey
	argValue
	argMem
	argSize // of the memory argument before it
	argSizeOrZero
	argAllocSize // of the memory that the helper returns
	argCtx
	argSpinLock
	argSockCommon
	argSocket
	argBTF     // an object of the kernel's, of a type
	argBTFSock // any kind of socket
	argPerCPUBTF
	argRingbufMem
	argFunc
	argStack
	argConstStr
	argTimer
	argKptr
	argDynptr

	argKinds = iota
	argKind  = 0xff
)

const (
	argOrNull arg = 1 << (8 + iota)
	argReadonly
	argWrite
	argUninit
	argAligned
	argReleased
	argLocal   // of dynptrs
	argRingbuf // of dynptrs

	argSizeShift = 16
	argBTFShift  = 24
)

// Memory arguments as helpers want them.
const (
	argReadMem       = argMem | argReadonly
	argReadMemOrNull = argMem | argReadonly | argOrNull
	argWriteMem      = argMem | argWrite
	argUninitMem     = argMem | argWrite | argUninit
	argUninitLong    = argMem | argWrite | argUninit | argAligned | 8<<argSizeShift
	argInt           = argMem | argWrite | argAligned | 4<<argSizeShift
	argIPv4Header    = argReadMem | 20<<argSizeShift
	argIPv6Header    = argReadMem | 40<<argSizeShift
	argTCPHeader     = argReadMem | 20<<argSizeShift
)

// Arguments that are objects of the kernel's.
const (
	argTask    = argBTF | arg(btfTask)<<argBTFShift
	argFile    = argBTF | arg(btfFile)<<argBTFShift
	argInode   = argBTF | arg(btfInode)<<argBTFShift
	argPath    = argBTF | arg(btfPath)<<argBTFShift
	argSeqFile = argBTF | arg(btfSeqFile)<<argBTFShift
	argSKB     = argBTF | arg(btfSKB)<<argBTFShift
	argXDP     = argBTF | arg(btfXDP)<<argBTFShift
	argCgroup  = argBTF | arg(btfCgroup)<<argBTFShift
	argBinprm  = argBTF | arg(btfBinprm)<<argBTFShift
	argTCPSock = argBTF | arg(btfTCPSock)<<argBTFShift
	argSkc     = argBTF | arg(btfSockCommon)<<argBTFShift
)

func (a arg) kind() arg    { return a & argKind }
func (a arg) size() int    { return int(a >> argSizeShift & 0xff) }
func (a arg) btf() objType { return objType(a >> argBTFShift) }

// objType is a structure of the kernel's that helpers take or give.
type objType uint8

const (
	btfNone objType = iota
	btfTask
	btfFile
	btfInode
	btfPath
	btfSeqFile
	btfSKB
	btfXDP
	btfCgroup
	btfBinprm
	btfTCPSock
	btfSockCommon
	btfTCP6Sock
	btfTCPTimewait
	btfTCPRequest
	btfUDP6Sock
	btfUnixSock
	btfMPTCPSock
	btfSocket
	btfPtRegs
	btfVMA
)

// objNames are their names in the kernel's BTF.
var objNames = [...]string{
	btfTask: "task_struct", btfFile: "file", btfInode: "inode", btfPath: "path", btfSeqFile: "seq_file",
	btfSKB: "sk_buff", btfXDP: "xdp_buff", btfCgroup: "cgroup", btfBinprm: "linux_binprm", btfTCPSock: "tcp_sock",
	btfSockCommon: "sock_common", btfTCP6Sock: "tcp6_sock", btfTCPTimewait: "tcp_timewait_sock",
	btfTCPRequest: "tcp_request_sock", btfUDP6Sock: "udp6_sock", btfUnixSock: "unix_sock",
	btfMPTCPSock: "mptcp_sock", btfSocket: "socket", btfPtRegs: "pt_regs", btfVMA: "vm_area_struct",
}

// ret is what a helper returns: a kind of register, its flags and, of kernel objects,
// the type.
type ret uint32

const (
	retFlagsShift = 5
	retBTFShift   = 24

	retVoid              = ret(NotInit)
	retNumber            = ret(Scalar)
	retOrNull            = ret(MaybeNull) << retFlagsShift
	retValue             = ret(PtrToMapValue)
	retValueOrNull       = ret(PtrToMapValue) | retOrNull
	retSocketOrNull      = ret(PtrToSocket) | retOrNull
	retSockCommonOrNull  = ret(PtrToSockCommon) | retOrNull
	retTCPSockOrNull     = ret(PtrToTCPSock) | retOrNull
	retMemOrNull         = ret(PtrToMem) | retOrNull
	retRingbufMemOrNull  = ret(PtrToMem) | retOrNull | ret(Ringbuf)<<retFlagsShift
	retBTF               = ret(PtrToBTF)
	retBTFOrNull         = ret(PtrToBTF) | retOrNull
	retTrustedBTF        = ret(PtrToBTF) | ret(Trusted)<<retFlagsShift
	retPerCPU            = ret(PtrToBTF) | ret(Readonly)<<retFlagsShift // or memory, as its type says
	retPerCPUOrNull      = retPerCPU | retOrNull
	retTask              = retTrustedBTF | ret(btfTask)<<retBTFShift
	retPtRegs            = retBTF | ret(btfPtRegs)<<retBTFShift
	retSocketFileOrNull  = retBTFOrNull | ret(btfSocket)<<retBTFShift
	retTCP6OrNull        = retBTFOrNull | ret(btfTCP6Sock)<<retBTFShift
	retTCPOrNull         = retBTFOrNull | ret(btfTCPSock)<<retBTFShift
	retTCPTimewaitOrNull = retBTFOrNull | ret(btfTCPTimewait)<<retBTFShift
	retTCPRequestOrNull  = retBTFOrNull | ret(btfTCPRequest)<<retBTFShift
	retUDP6OrNull        = retBTFOrNull | ret(btfUDP6Sock)<<retBTFShift
	retUnixOrNull        = retBTFOrNull | ret(btfUnixSock)<<retBTFShift
	retMPTCPOrNull       = retBTFOrNull | ret(btfMPTCPSock)<<retBTFShift
)

func (r ret) typ() RegType { return RegType(r & (1<<retFlagsShift - 1)) }
func (r ret) flags() RegFlags {
	return RegFlags(r >> retFlagsShift & (1<<(retBTFShift-retFlagsShift) - 1))
}
func (r ret) btf() objType { return objType(r >> retBTFShift) }

// variant is a helper's prototype where it differs for some program types.
type variant struct {
	id    asm.BuiltinFunc
	types []ebpf.ProgramType
	until kernels.Version // the first Linux that does without; 0: none
	proto
}

// prototype gives a helper's prototype for this program, or nil where there is no
// such helper.
func (c *checker) prototype(id asm.BuiltinFunc) *proto {
	if id == 0 || int(id) >= len(protos) {
		return nil
	}
	if protos[id].flags&varies != 0 {
		typ := c.progType()
		for i := range variants {
			v := &variants[i]
			if v.id == id && slices.Contains(v.types, typ) && (v.until == 0 || c.kernel.Version() < v.until) {
				return &v.proto
			}
		}
	}
	return &protos[id]
}

// helperName is a helper's name as Linux's log writes it: "bpf_loop".
func helperName(id asm.BuiltinFunc) string {
	if int(id) >= len(protos) {
		return "unknown"
	}
	return "bpf_" + protos[id].name
}
