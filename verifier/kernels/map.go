package kernels

import (
	"fmt"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
)

// mapTable is what maps.txt says.
type mapTable struct {
	spans map[ebpf.MapType]span
	flags map[ebpf.MapType][]mapFlag
	names map[string]ebpf.MapType
}

// mapFlag is a flag that a type of maps takes.
type mapFlag struct {
	span
	bit uint32
}

// mapFlagNames are the flags of maps by their names in linux/bpf.h, in lower case
// and without BPF_F_, in the order of their bits.
var mapFlagNames = []string{
	"no_prealloc", "no_common_lru", "numa_node", "rdonly", "wronly", "stack_build_id", "zero_seed", "rdonly_prog",
	"wronly_prog", "clone", "mmapable", "preserve_elems", "inner_map", "link", "path_fd", "vtype_btf_obj_fd",
	"token_fd", "segv_on_fault", "no_user_conv", "rb_overwrite",
}

// MapFlagNames gives the names of the flags of maps: bit n is the nth.
func MapFlagNames() []string { return mapFlagNames }

var mapTypes = sync.OnceValue(func() *mapTable {
	t := &mapTable{spans: map[ebpf.MapType]span{}, flags: map[ebpf.MapType][]mapFlag{}, names: map[string]ebpf.MapType{}}
	for _, row := range rows("maps.txt") {
		n, s := parseNumbered("maps.txt", row)
		typ := ebpf.MapType(n)
		t.spans[typ], t.names[row[1]] = s, typ
		for _, column := range row[3:] {
			name, versions, err := parseEntry(column, s)
			bit := slices.Index(mapFlagNames, name)
			if err != nil || bit < 0 {
				panic(fmt.Sprintf("unreachable: maps.txt: %s: %s: no such flag (%v)", row[1], column, err))
			}
			t.flags[typ] = append(t.flags[typ], mapFlag{versions.within(s), 1 << bit})
		}
	}
	return t
})

// MapName is a map type's name in linux/bpf.h, in lower case and without prefix:
// "lru_hash".
func MapName(t ebpf.MapType) string { return nameOf(mapTypes().names, t) }

// MapType answers for maps of a type.
func (k *Kernel) MapType(t ebpf.MapType) (since Version, ok bool) {
	s, known := mapTypes().spans[t]
	if !known {
		return 0, false
	}
	since, ok = answer(k.version, s)
	if k.host != nil {
		ok = k.host.mapType(t, ok)
	}
	return since, ok
}

// MapFlags answers for maps of a type with flags (BPF_F_NO_PREALLOC ..) at once.
func (k *Kernel) MapFlags(t ebpf.MapType, flags uint32) (since Version, ok bool) {
	since, ok = k.MapType(t)
	for rest := flags; rest != 0; rest &= rest - 1 {
		q := search{v: k.version}
		for _, f := range mapTypes().flags[t] {
			if f.bit == rest&-rest {
				q.add(f.span)
			}
		}
		s, has := q.answer()
		if s == 0 {
			return 0, false
		}
		since, ok = max(since, s), ok && has
	}
	return since, ok
}

// Field is something special that a map's value, or an object of a program, may
// hold.
type Field uint8

// The special fields, as Linux calls their types.
const (
	SpinLockField Field = iota // struct bpf_spin_lock
	ResSpinLockField
	TimerField
	WorkqueueField
	TaskWorkField
	KptrField       // a pointer to an object of the kernel or of a program, __kptr
	PercpuKptrField // __percpu_kptr
	UptrField       // memory shared with user space, __uptr
	ListHeadField
	RBRootField
	RefcountField
)

var fieldNames = []string{
	"bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer", "bpf_wq", "bpf_task_work", "kptr", "percpu_kptr", "uptr",
	"bpf_list_head", "bpf_rb_root", "bpf_refcount",
}

func (f Field) String() string { return fieldNames[f] }

// Fields gives all special fields.
func Fields() []Field {
	all := make([]Field, len(fieldNames))
	for i := range all {
		all[i] = Field(i)
	}
	return all
}

// mapField is a special field in the values of a type of maps.
type mapField struct {
	field Field
	typ   ebpf.MapType
}

var fields = sync.OnceValue(func() map[mapField]span {
	all := map[mapField]span{}
	for _, row := range rows("fields.txt") {
		field := Field(slices.Index(fieldNames, row[0]))
		s := must(parseSpan(row[1]))
		for _, column := range row[2:] {
			name, versions, err := parseEntry(column, s)
			typ, ok := mapTypes().names[name]
			if err != nil || !ok || int(field) >= len(fieldNames) {
				panic(fmt.Sprintf("unreachable: fields.txt: %s: %s: no such map type (%v)", row[0], column, err))
			}
			all[mapField{field, typ}] = versions.within(mapTypes().spans[typ])
		}
	}
	return all
})

// MapField answers for values of a type of maps that hold a special field.
func (k *Kernel) MapField(t ebpf.MapType, f Field) (since Version, ok bool) {
	s, known := fields()[mapField{f, t}]
	if !known {
		return 0, false
	}
	return answer(k.version, s)
}
