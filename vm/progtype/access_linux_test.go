package progtype_test

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// plain are the types that Linux loads without a target, each with the attach
// types that matter to it, and the size in bytes up to which accesses are tried.
var plain = []struct {
	prog   ebpf.ProgramType
	attach []ebpf.AttachType
	size   int
}{
	{ebpf.CGroupSock, []ebpf.AttachType{
		ebpf.AttachCGroupInetSockCreate, ebpf.AttachCgroupInetSockRelease, ebpf.AttachCGroupInet4PostBind, ebpf.AttachCGroupInet6PostBind}, 88},
	{ebpf.CGroupSockAddr, []ebpf.AttachType{
		ebpf.AttachCGroupInet4Bind, ebpf.AttachCGroupInet6Bind,
		ebpf.AttachCGroupInet4Connect, ebpf.AttachCGroupInet6Connect, ebpf.AttachCgroupUnixConnect,
		ebpf.AttachCGroupUDP4Sendmsg, ebpf.AttachCGroupUDP6Sendmsg, ebpf.AttachCgroupUnixSendmsg,
		ebpf.AttachCGroupUDP4Recvmsg, ebpf.AttachCGroupUDP6Recvmsg, ebpf.AttachCgroupUnixRecvmsg,
		ebpf.AttachCgroupInet4GetPeername, ebpf.AttachCgroupInet6GetPeername, ebpf.AttachCgroupUnixGetpeername,
		ebpf.AttachCgroupInet4GetSockname, ebpf.AttachCgroupInet6GetSockname, ebpf.AttachCgroupUnixGetsockname}, 80},
	{ebpf.CGroupSockopt, []ebpf.AttachType{ebpf.AttachCGroupGetsockopt, ebpf.AttachCGroupSetsockopt}, 48},
	{ebpf.CGroupSysctl, []ebpf.AttachType{ebpf.AttachCGroupSysctl}, 16},
	{ebpf.CGroupDevice, []ebpf.AttachType{ebpf.AttachCGroupDevice}, 20},
	{ebpf.CGroupSKB, []ebpf.AttachType{ebpf.AttachCGroupInetIngress, ebpf.AttachCGroupInetEgress}, 200},
	{ebpf.SockOps, []ebpf.AttachType{ebpf.AttachCGroupSockOps}, 232},
	{ebpf.SkMsg, []ebpf.AttachType{ebpf.AttachSkMsgVerdict}, 88},
	{ebpf.SkSKB, []ebpf.AttachType{ebpf.AttachSkSKBStreamParser, ebpf.AttachSkSKBStreamVerdict, ebpf.AttachSkSKBVerdict}, 200},
	{ebpf.SkLookup, []ebpf.AttachType{ebpf.AttachSkLookup}, 80},
	{ebpf.SkReuseport, []ebpf.AttachType{ebpf.AttachSkReuseportSelect, ebpf.AttachSkReuseportSelectOrMigrate}, 64},
	{ebpf.FlowDissector, []ebpf.AttachType{ebpf.AttachFlowDissector}, 200},
	{ebpf.LWTIn, []ebpf.AttachType{0}, 200},
	{ebpf.LWTOut, []ebpf.AttachType{0}, 200},
	{ebpf.LWTXmit, []ebpf.AttachType{0}, 200},
	{ebpf.LWTSeg6Local, []ebpf.AttachType{0}, 200},
	{ebpf.PerfEvent, []ebpf.AttachType{0}, 192},
	{ebpf.RawTracepointWritable, []ebpf.AttachType{0}, 104},
}

// loads reports whether Linux takes a program.
func loads(prog ebpf.ProgramType, attach ebpf.AttachType, insns asm.Instructions) bool {
	p, err := ebpf.NewProgramWithOptions(&ebpf.ProgramSpec{
		Type: prog, AttachType: attach, Instructions: insns, License: "GPL",
	}, ebpf.ProgramOptions{LogDisabled: true})
	if err != nil {
		return false
	}
	p.Close()
	return true
}

// TestAccessRules holds the fields of every context against Linux: each access
// that its verifier takes is one of a field, and no other is.
func TestAccessRules(t *testing.T) {
	testenv.Kernel(t)
	for _, c := range plain {
		for _, attach := range c.attach {
			desc, err := progtype.ForAttach(c.prog, attach)
			if err != nil {
				t.Error(err)
				continue
			}
			t.Run(desc.Name+"/"+attach.String(), func(t *testing.T) {
				ret := int32(0)
				if desc.Returns != nil {
					ret = int32(desc.Returns.Max)
				}
				for off := range c.size {
					for size, width := range sizes {
						for _, write := range []bool{false, true} {
							_, refused := desc.Access(off, size, write)
							access := asm.LoadMem(asm.R2, asm.R1, int16(off), width)
							if write {
								access = asm.StoreMem(asm.R1, int16(off), asm.R2, width)
							}
							kernel := loads(c.prog, attach, asm.Instructions{
								asm.Mov.Imm(asm.R2, 0), access, asm.Mov.Imm(asm.R0, ret), asm.Return(),
							})
							if kernel != (refused == nil) {
								t.Errorf("access of %d bytes at %d, write %v: %v; the kernel takes it: %v", size, off, write, refused, kernel)
							}
						}
					}
				}
			})
		}
	}
}

// TestReturns holds the range of what programs return against Linux.
func TestReturns(t *testing.T) {
	testenv.Kernel(t)
	cases := plain
	for _, typ := range []struct {
		prog   ebpf.ProgramType
		attach []ebpf.AttachType
	}{
		{ebpf.Kprobe, []ebpf.AttachType{0, ebpf.AttachTraceKprobeMulti, ebpf.AttachTraceKprobeSession, ebpf.AttachTraceUprobeMulti}},
		{ebpf.TracePoint, []ebpf.AttachType{0}},
		{ebpf.RawTracepoint, []ebpf.AttachType{0}},
		{ebpf.Netfilter, []ebpf.AttachType{ebpf.AttachNetfilter}},
		{ebpf.XDP, []ebpf.AttachType{0}},
		{ebpf.SchedCLS, []ebpf.AttachType{0}},
		{ebpf.SocketFilter, []ebpf.AttachType{0}},
	} {
		cases = append(cases, struct {
			prog   ebpf.ProgramType
			attach []ebpf.AttachType
			size   int
		}{typ.prog, typ.attach, 0})
	}
	for _, c := range cases {
		for _, attach := range c.attach {
			desc, err := progtype.ForAttach(c.prog, attach)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, ret := range []int32{-4096, -4095, -1, 0, 1, 2, 3, 4, 100} {
				r := desc.Returns
				want := r == nil || r.Min <= int64(ret) && int64(ret) <= r.Max
				got := loads(c.prog, attach, asm.Instructions{asm.Mov.Imm(asm.R0, ret), asm.Return()})
				if got != want {
					t.Errorf("%s as %s returns %d: %v, the kernel: %v", desc.Name, attach, ret, want, got)
				}
			}
		}
	}
}
