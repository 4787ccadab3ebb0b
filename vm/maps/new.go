package maps

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// New makes a map for a machine of cpus CPUs and registers it. It refuses what
// Linux refuses, with the same error number in the chain. It does not put the
// spec's Contents in.
func New(spec *ebpf.MapSpec, cpus int) (Map, error) {
	m, err := build(spec, cpus)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", spec.Name, err)
	}
	Register(m)
	return m, nil
}

// build makes a map without a handle.
func build(spec *ebpf.MapSpec, cpus int) (Map, error) {
	if cpus < 1 {
		return nil, refuse(errno.EINVAL, "a machine of %d CPUs", cpus)
	}
	k, err := kindOf(spec.Type)
	if err != nil {
		return nil, err
	}
	if err := check(spec, k); err != nil {
		return nil, err
	}
	return k.open(Info{
		Name:       spec.Name,
		Type:       spec.Type,
		KeySize:    spec.KeySize,
		ValueSize:  spec.ValueSize,
		MaxEntries: spec.MaxEntries,
		Flags:      spec.Flags,
		Extra:      spec.MapExtra,
		Key:        spec.Key,
		Value:      spec.Value,
		Fields:     valueFields(spec),
		CPUs:       cpus,
		Inner:      spec.InnerMap,
	})
}

// kind is how maps of one type are checked and made.
type kind struct {
	flags uint32 // the flags that the type takes
	check func(*ebpf.MapSpec) error
	open  func(Info) (Map, error)
}

// accessFlags are taken by almost all types.
const (
	accessFlags = FlagRdonly | FlagWronly | progAccess
	progAccess  = FlagRdonlyProg | FlagWronlyProg
)

func kindOf(t ebpf.MapType) (kind, error) {
	const (
		array = FlagNumaNode | accessFlags
		hash  = FlagNoPrealloc | FlagNumaNode | FlagZeroSeed | accessFlags
	)
	switch t {
	case ebpf.Array:
		return kind{array | FlagMmapable | FlagInnerMap, checkArray, newArray}, nil
	case ebpf.PerCPUArray:
		return kind{array &^ FlagNumaNode, checkPerCPUArray, newArray}, nil
	case ebpf.Hash:
		return kind{hash, checkHash, newHash}, nil
	case ebpf.PerCPUHash:
		return kind{hash &^ FlagNumaNode, checkHash, newHash}, nil
	case ebpf.LRUHash, ebpf.LRUCPUHash:
		return kind{hash | FlagNoCommonLRU, checkLRU, newLRU}, nil
	case ebpf.LPMTrie:
		return kind{FlagNoPrealloc | array, checkTrie, newTrie}, nil
	case ebpf.ProgramArray:
		return kind{array &^ progAccess, checkHandles, newProgArray}, nil
	case ebpf.PerfEventArray:
		return kind{array&^progAccess | FlagPreserve, checkHandles, newPerfEventArray}, nil
	case ebpf.ArrayOfMaps:
		return kind{array &^ progAccess, checkArrayOfMaps, newArrayOfMaps}, nil
	case ebpf.HashOfMaps:
		return kind{hash, checkHashOfMaps, newHashOfMaps}, nil
	case ebpf.RingBuf:
		return kind{FlagNumaNode, checkRingbuf, newRingbuf}, nil
	case ebpf.Queue, ebpf.Stack:
		return kind{array, checkQueue, newQueue}, nil
	case ebpf.BloomFilter:
		return kind{array | FlagZeroSeed, checkBloom, newBloom}, nil
	case ebpf.Arena:
		return kind{FlagMmapable | FlagSegvOnFault | FlagNoUserConv, checkArena, newArena}, nil
	case ebpf.UserRingbuf:
		return kind{FlagNumaNode, checkRingbuf, newUserRingbuf}, nil
	case ebpf.StackTrace:
		return kind{FlagNumaNode | FlagRdonly | FlagWronly | FlagStackBuildID, checkStackTrace, newStackTrace}, nil
	case ebpf.CGroupArray:
		return kind{array &^ progAccess, checkHandles, newCgroupArray}, nil
	case ebpf.SockMap:
		return kind{array &^ progAccess, checkSockMap, newSockArray}, nil
	case ebpf.ReusePortSockArray:
		return kind{array, checkSockMap, newSockArray}, nil
	case ebpf.SockHash:
		return kind{array &^ progAccess, checkSockMap, newSockHash}, nil
	case ebpf.CGroupStorage, ebpf.PerCPUCGroupStorage:
		return kind{array, checkCgroupStorage, newCgroupStorage}, nil
	case ebpf.SkStorage, ebpf.InodeStorage, ebpf.TaskStorage, ebpf.CgroupStorage:
		return kind{FlagNoPrealloc | FlagClone, checkStorage, newStorage}, nil
	case ebpf.StructOpsMap:
		return kind{FlagLink, checkStructOps, newStructOps}, nil
	case TypeInsnArray:
		return kind{0, checkInsnArray, newInsnArray}, nil
	case ebpf.DevMap:
		return kind{array &^ progAccess, checkTargets, newDevMap}, nil
	case ebpf.DevMapHash:
		return kind{array &^ progAccess, checkDevMapHash, newDevMapHash}, nil
	case ebpf.CPUMap:
		return kind{FlagNumaNode, checkCPUMap, newCPUMap}, nil
	case ebpf.XSKMap:
		return kind{array &^ progAccess, checkTargets, newXSKMap}, nil
	}
	return kind{}, refuse(errno.EINVAL, "the user-space machine has no maps of type %s", t)
}

// refuse is an error that says why and carries an error number.
func refuse(n errno.Errno, format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), n)
}

// check is what Linux asks of a map of any type, and then of its type.
func check(spec *ebpf.MapSpec, k kind) error {
	const rdwr, rdwrProg = FlagRdonly | FlagWronly, FlagRdonlyProg | FlagWronlyProg
	switch {
	case spec.MapExtra != 0 && spec.Type != ebpf.BloomFilter && spec.Type != ebpf.Arena:
		return refuse(errno.EINVAL, "map_extra is %#x, and type %s has no use for it", spec.MapExtra, spec.Type)
	case spec.Flags&rdwr == rdwr:
		return refuse(errno.EINVAL, "flags %#x forbid user space both to read and to write: keep one", spec.Flags)
	case spec.Flags&rdwrProg == rdwrProg:
		return refuse(errno.EINVAL, "flags %#x forbid programs both to read and to write: keep one", spec.Flags)
	case spec.Flags&^k.flags != 0:
		return refuse(errno.EINVAL, "type %s does not take flags %#x", spec.Type, spec.Flags&^k.flags)
	}
	if err := k.check(spec); err != nil {
		return err
	}
	return checkFields(spec)
}
