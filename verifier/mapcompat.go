package verifier

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/vm/maps"
)

// rhash is BPF_MAP_TYPE_RHASH.
const rhash ebpf.MapType = 35

// helpersOfMap are the only helpers that maps of a type may be given to.
var helpersOfMap = map[ebpf.MapType][]asm.BuiltinFunc{
	ebpf.ProgramArray: {asm.FnTailCall},
	ebpf.PerfEventArray: {
		asm.FnPerfEventRead, asm.FnPerfEventOutput, asm.FnSkbOutput, asm.FnPerfEventReadValue, asm.FnXdpOutput,
	},
	ebpf.RingBuf: {
		asm.FnRingbufOutput, asm.FnRingbufReserve, asm.FnRingbufQuery, asm.FnRingbufReserveDynptr,
		asm.FnRingbufSubmitDynptr, asm.FnRingbufDiscardDynptr,
	},
	ebpf.UserRingbuf:         {asm.FnUserRingbufDrain},
	ebpf.StackTrace:          {asm.FnGetStackid},
	ebpf.CGroupArray:         {asm.FnSkbUnderCgroup, asm.FnCurrentTaskUnderCgroup},
	ebpf.CGroupStorage:       {asm.FnGetLocalStorage},
	ebpf.PerCPUCGroupStorage: {asm.FnGetLocalStorage},
	ebpf.DevMap:              {asm.FnRedirectMap, asm.FnMapLookupElem},
	ebpf.DevMapHash:          {asm.FnRedirectMap, asm.FnMapLookupElem},
	ebpf.CPUMap:              {asm.FnRedirectMap},
	ebpf.XSKMap:              {asm.FnRedirectMap, asm.FnMapLookupElem},
	ebpf.ArrayOfMaps:         {asm.FnMapLookupElem},
	ebpf.HashOfMaps:          {asm.FnMapLookupElem},
	ebpf.SockMap: {
		asm.FnSkRedirectMap, asm.FnSockMapUpdate, asm.FnMsgRedirectMap, asm.FnSkSelectReuseport, asm.FnMapLookupElem,
	},
	ebpf.SockHash: {
		asm.FnSkRedirectHash, asm.FnSockHashUpdate, asm.FnMsgRedirectHash, asm.FnSkSelectReuseport, asm.FnMapLookupElem,
	},
	ebpf.ReusePortSockArray: {asm.FnSkSelectReuseport},
	ebpf.Queue:              {asm.FnMapPeekElem, asm.FnMapPopElem, asm.FnMapPushElem},
	ebpf.Stack:              {asm.FnMapPeekElem, asm.FnMapPopElem, asm.FnMapPushElem},
	ebpf.SkStorage:          {asm.FnSkStorageGet, asm.FnSkStorageDelete, asm.FnKptrXchg},
	ebpf.InodeStorage:       {asm.FnInodeStorageGet, asm.FnInodeStorageDelete, asm.FnKptrXchg},
	ebpf.TaskStorage:        {asm.FnTaskStorageGet, asm.FnTaskStorageDelete, asm.FnKptrXchg},
	ebpf.CgroupStorage:      {asm.FnCgrpStorageGet, asm.FnCgrpStorageDelete, asm.FnKptrXchg},
	ebpf.BloomFilter:        {asm.FnMapPeekElem, asm.FnMapPushElem},
	insnArray:               {},
}

// mapsOfHelper are the only map types that a helper takes.
var mapsOfHelper = map[asm.BuiltinFunc][]ebpf.MapType{
	asm.FnTailCall:               {ebpf.ProgramArray},
	asm.FnPerfEventRead:          {ebpf.PerfEventArray},
	asm.FnPerfEventOutput:        {ebpf.PerfEventArray},
	asm.FnPerfEventReadValue:     {ebpf.PerfEventArray},
	asm.FnSkbOutput:              {ebpf.PerfEventArray},
	asm.FnXdpOutput:              {ebpf.PerfEventArray},
	asm.FnRingbufOutput:          {ebpf.RingBuf},
	asm.FnRingbufReserve:         {ebpf.RingBuf},
	asm.FnRingbufQuery:           {ebpf.RingBuf},
	asm.FnRingbufReserveDynptr:   {ebpf.RingBuf},
	asm.FnRingbufSubmitDynptr:    {ebpf.RingBuf},
	asm.FnRingbufDiscardDynptr:   {ebpf.RingBuf},
	asm.FnUserRingbufDrain:       {ebpf.UserRingbuf},
	asm.FnGetStackid:             {ebpf.StackTrace},
	asm.FnCurrentTaskUnderCgroup: {ebpf.CGroupArray},
	asm.FnSkbUnderCgroup:         {ebpf.CGroupArray},
	asm.FnRedirectMap:            {ebpf.DevMap, ebpf.DevMapHash, ebpf.CPUMap, ebpf.XSKMap},
	asm.FnSkRedirectMap:          {ebpf.SockMap},
	asm.FnMsgRedirectMap:         {ebpf.SockMap},
	asm.FnSockMapUpdate:          {ebpf.SockMap},
	asm.FnSkRedirectHash:         {ebpf.SockHash},
	asm.FnMsgRedirectHash:        {ebpf.SockHash},
	asm.FnSockHashUpdate:         {ebpf.SockHash},
	asm.FnGetLocalStorage:        {ebpf.CGroupStorage, ebpf.PerCPUCGroupStorage},
	asm.FnSkSelectReuseport:      {ebpf.ReusePortSockArray, ebpf.SockMap, ebpf.SockHash},
	asm.FnMapPopElem:             {ebpf.Queue, ebpf.Stack},
	asm.FnMapPeekElem:            {ebpf.Queue, ebpf.Stack, ebpf.BloomFilter},
	asm.FnMapPushElem:            {ebpf.Queue, ebpf.Stack, ebpf.BloomFilter},
	asm.FnMapLookupPercpuElem:    {ebpf.PerCPUArray, ebpf.PerCPUHash, ebpf.LRUCPUHash},
	asm.FnSkStorageGet:           {ebpf.SkStorage},
	asm.FnSkStorageDelete:        {ebpf.SkStorage},
	asm.FnInodeStorageGet:        {ebpf.InodeStorage},
	asm.FnInodeStorageDelete:     {ebpf.InodeStorage},
	asm.FnTaskStorageGet:         {ebpf.TaskStorage},
	asm.FnTaskStorageDelete:      {ebpf.TaskStorage},
	asm.FnCgrpStorageGet:         {ebpf.CgroupStorage},
	asm.FnCgrpStorageDelete:      {ebpf.CgroupStorage},
}

// mapFits refuses a map that is not for a helper, or a helper that is not for such a
// map (check_map_func_compatibility).
func (c *checker) mapFits(m *Map, id asm.BuiltinFunc) error {
	if m == nil {
		return nil
	}
	helpers, narrow := helpersOfMap[m.Type]
	if narrow && !slices.Contains(helpers, id) {
		if m.Type == ebpf.SockMap || m.Type == ebpf.SockHash {
			if c.mayUpdateSockets(id) {
				return nil
			}
			if id == asm.FnMapUpdateElem || id == asm.FnMapDeleteElem {
				return c.fail(CauseMap, "cannot update sockmap in this context; %s", wrongMap(m, id))
			}
		}
		return c.fail(CauseMap, "%s", wrongMap(m, id))
	}
	if types, narrow := mapsOfHelper[id]; narrow && !slices.Contains(types, m.Type) {
		return c.fail(CauseMap, "%s", wrongMap(m, id))
	}
	return nil
}

func wrongMap(m *Map, id asm.BuiltinFunc) string {
	return fmt.Sprintf("cannot pass map_type %d into func %s#%d", m.Type, helperName(id), id)
}

// mayUpdateSockets reports whether the program may put sockets into a map or take them
// out: no socket is locked where it runs (may_update_sockmap).
func (c *checker) mayUpdateSockets(id asm.BuiltinFunc) bool {
	if id != asm.FnMapUpdateElem && id != asm.FnMapDeleteElem {
		return false
	}
	switch c.progType() {
	case ebpf.Tracing:
		return c.img.Attach == ebpf.AttachTraceIter
	case ebpf.SockOps:
		return id == asm.FnMapDeleteElem
	case ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP, ebpf.SkReuseport, ebpf.FlowDissector, ebpf.SkLookup:
		return true
	}
	return false
}

// tracingTypes are the types whose programs may run anywhere, under any lock
// (is_tracing_prog_type).
var tracingTypes = []ebpf.ProgramType{
	ebpf.Kprobe, ebpf.TracePoint, ebpf.PerfEvent, ebpf.RawTracepoint, ebpf.RawTracepointWritable,
}

// sleepableMaps are the map types that programs which may sleep use, and since when.
var sleepableMaps = map[ebpf.MapType]kernels.Version{
	ebpf.Hash: 0, ebpf.LRUHash: 0, ebpf.Array: 0,
	ebpf.PerCPUHash: kernels.V(5, 12), ebpf.PerCPUArray: kernels.V(5, 12), ebpf.LRUCPUHash: kernels.V(5, 12),
	ebpf.ArrayOfMaps: kernels.V(5, 12), ebpf.HashOfMaps: kernels.V(5, 12), ebpf.RingBuf: kernels.V(5, 12),
	ebpf.InodeStorage: kernels.V(5, 17), ebpf.SkStorage: kernels.V(5, 17), ebpf.TaskStorage: kernels.V(5, 17),
	ebpf.UserRingbuf: kernels.V(6, 1), ebpf.CgroupStorage: kernels.V(6, 2), ebpf.Arena: kernels.V(6, 9),
	ebpf.Queue: kernels.V(6, 12), ebpf.Stack: kernels.V(6, 12), insnArray: kernels.V(6, 19),
	ebpf.ProgramArray: kernels.V(7, 0), ebpf.LPMTrie: kernels.V(7, 0), rhash: kernels.V(7, 2),
}

func (c *checker) sleepableMap(t ebpf.MapType) bool {
	since, ok := sleepableMaps[t]
	return ok && c.kernel.Version() >= since
}

// allocates reports whether a hash map takes memory when an element is added, which
// Linux before 6.1 could not do anywhere.
func (m *Map) allocates() bool {
	hash := m.Type == ebpf.Hash || m.Type == ebpf.PerCPUHash || m.Type == ebpf.HashOfMaps
	return hash && m.Flags&maps.FlagNoPrealloc != 0 || m.Inner != nil && m.Inner.allocates()
}

// checkMaps refuses maps that are not for this program (check_map_prog_compatibility).
func (c *checker) checkMaps() error {
	if len(c.maps) > maxUsedMaps {
		return c.fail(CauseTooLarge, "The total number of maps per program has reached the limit of %d", maxUsedMaps)
	}
	arena := false
	var storages []ebpf.MapType
	for _, m := range c.maps {
		if err := c.mapFitsProgram(m); err != nil {
			return err
		}
		switch m.Type {
		case ebpf.CGroupStorage, ebpf.PerCPUCGroupStorage:
			if slices.Contains(storages, m.Type) {
				return c.fail(CauseMap, "only one cgroup storage of each type is allowed")
			}
			storages = append(storages, m.Type)
		case ebpf.Arena:
			if arena {
				return c.fail(CauseMap, "Only one arena per program")
			}
			arena = true
		}
	}
	return nil
}

// maxUsedMaps is MAX_USED_MAPS.
const maxUsedMaps = 64

func (c *checker) mapFitsProgram(m *Map) error {
	tracing := slices.Contains(tracingTypes, c.progType())
	switch {
	case tracing && m.Fields.Has(maps.FieldListHead|maps.FieldRBRoot):
		return c.fail(CauseMap, "tracing progs cannot use bpf_{list_head,rb_root} yet")
	case c.progType() == ebpf.SocketFilter && m.Fields.Has(maps.FieldSpinLock|maps.FieldResSpinLock):
		return c.fail(CauseMap, "socket filter progs cannot use bpf_spin_lock yet")
	case tracing && m.Fields.Has(maps.FieldSpinLock|maps.FieldResSpinLock):
		return c.fail(CauseMap, "tracing progs cannot use bpf_spin_lock yet")
	case tracing && !c.since(7, 0) && m.Fields.Has(maps.FieldTimer):
		return c.fail(CauseMap, "tracing progs cannot use bpf_timer yet")
	case tracing && !c.since(7, 0) && m.Fields.Has(maps.FieldWorkqueue):
		return c.fail(CauseMap, "tracing progs cannot use bpf_wq yet")
	case c.sleepableProgram() && !c.since(6, 6) && m.Fields.Has(maps.FieldSpinLock):
		return c.fail(CauseMap, "sleepable progs cannot use bpf_spin_lock yet")
	case c.progType() == ebpf.PerfEvent && !c.since(6, 1) && m.allocates():
		return c.fail(CauseMap, "perf_event programs can only use preallocated hash map")
	case c.sleepableProgram() && !c.since(6, 1) && m.allocates():
		return c.fail(CauseMap, "Sleepable programs can only use preallocated hash maps")
	case m.Type == ebpf.StructOpsMap:
		return c.fail(CauseMap, "bpf_struct_ops map cannot be used in prog")
	case c.sleepableProgram() && !c.sleepableMap(m.Type):
		return c.fail(CauseSleepable, "Sleepable programs can only use array, hash, ringbuf and local storage maps")
	case m.Type == ebpf.Arena && c.opts.Lacks&(kernels.CapBPF|kernels.CapPerfmon) != 0:
		return c.fail(CausePrivilege, "CAP_BPF and CAP_PERFMON are required to use arena")
	}
	return nil
}
