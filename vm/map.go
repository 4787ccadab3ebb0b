package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Map is a map of the user-space machine, with the methods and the behaviour of
// [ebpf.Map]. It is safe for concurrent use, also while programs run on it.
type Map struct {
	obj  *mapObject
	info *maps.Info
}

// mapObject is what Map handles, programs and outer maps share.
type mapObject struct {
	maps.Map
	refs    atomic.Int32
	handles atomic.Int32 // how many of refs are Map handles
	bytes   bool         // keys and values are bytes, and there is one value a key

	mu   sync.Mutex
	held map[string]reference // inner maps and programs by key, protected by mu
}

// reference is something counted: a map or a program inside a map.
type reference interface{ unref() }

func (o *mapObject) ref() *mapObject { o.refs.Add(1); return o }

// unref drops a reference. The memory goes once no run can see it any more.
func (o *mapObject) unref() {
	if o.refs.Add(-1) > 0 {
		return
	}
	o.mu.Lock()
	held := o.held
	o.held = nil
	o.mu.Unlock()
	for _, r := range held {
		r.unref()
	}
	objects.Delete(o.Info().Handle)
	machine.retire(func() { o.Map.Close() })
}

// handle gives a Map of a reference that the caller has taken.
func (o *mapObject) handle() *Map {
	o.handles.Add(1)
	return &Map{o, o.Info()}
}

// unhandle drops a handle. With the last one a program array is emptied, as in Linux:
// programs that call one another through it would keep it, and it them.
func (o *mapObject) unhandle() {
	if o.handles.Add(-1) == 0 && o.Info().Type == ebpf.ProgramArray {
		o.mu.Lock()
		held := o.held
		o.held = nil
		for key := range held {
			_ = o.UserDelete([]byte(key)) // it is there
		}
		o.mu.Unlock()
		for _, r := range held {
			r.unref()
		}
	}
	o.unref()
}

// objects finds the object behind a map's handle: what a lookup in a map of
// maps gives is a handle.
var objects sync.Map // maps.Handle -> *mapObject

// mapByHandle takes a reference to the map of a handle; nil where there is none.
func mapByHandle(h maps.Handle) *mapObject {
	v, ok := objects.Load(h)
	if !ok {
		return nil
	}
	o := v.(*mapObject)
	if !take(&o.refs) {
		return nil
	}
	return o
}

// take takes a reference unless the last one is gone, and the object with it.
func take(refs *atomic.Int32) bool {
	for {
		n := refs.Load()
		if n == 0 {
			return false
		}
		if refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// NewMap creates a map. Its contents, if spec has any, are put in and it is
// frozen if it is a constant data section, as in [ebpf.NewMap].
func NewMap(spec *ebpf.MapSpec) (*Map, error) {
	m, err := newMap(spec)
	if err != nil {
		return nil, err
	}
	if err := m.finalize(spec); err != nil {
		m.Close()
		return nil, fmt.Errorf("map %s: %w", spec.Name, err)
	}
	return m, nil
}

func newMap(spec *ebpf.MapSpec) (*Map, error) {
	spec, err := completed(spec)
	if err != nil {
		return nil, err
	}
	impl, err := maps.New(spec, PossibleCPU())
	if err != nil {
		return nil, err
	}
	return newHandle(impl), nil
}

// newHandle gives the first handle of a map.
func newHandle(impl maps.Map) *Map {
	obj := &mapObject{Map: impl}
	m := obj.ref().handle()
	obj.bytes = m.info.KeySize > 0 && m.info.ValueSize > 0 && !m.info.PerCPU() && !m.holdsObjects()
	objects.Store(impl.Info().Handle, obj)
	return m
}

// finalize puts a spec's contents in and freezes constant data.
func (m *Map) finalize(spec *ebpf.MapSpec) error {
	arena, _ := m.obj.Map.(*maps.Arena)
	for _, kv := range spec.Contents {
		if at, ok := kv.Key.(uint64); ok && arena != nil { // variables, which program.Open placed
			data, _ := kv.Value.([]byte)
			copy(arena.Touch(at, uint64(len(data))), data)
			continue
		}
		if err := m.Put(kv.Key, kv.Value); err != nil {
			return fmt.Errorf("initial value of key %v: %w", kv.Key, err)
		}
	}
	if constantData(spec.Name) {
		return m.Freeze()
	}
	return nil
}

// String names the map and its type.
func (m *Map) String() string { return fmt.Sprintf("%s(%s)#%d", m.info.Type, m.info.Name, m.FD()) }

// Name is the name that the map's spec gave it.
func (m *Map) Name() string { return m.info.Name }

// Type of the map.
func (m *Map) Type() ebpf.MapType { return m.info.Type }

// KeySize is the size of a key in bytes.
func (m *Map) KeySize() uint32 { return m.info.KeySize }

// ValueSize is the size of a value in bytes; in a per-CPU map, of one CPU's.
func (m *Map) ValueSize() uint32 { return m.info.ValueSize }

// MaxEntries is how many elements the map can hold.
func (m *Map) MaxEntries() uint32 { return m.info.MaxEntries }

// Flags are the flags that the map was created with.
func (m *Map) Flags() uint32 { return m.info.Flags }

// Key is the type of the map's keys; nil where it is not known.
func (m *Map) Key() btf.Type { return known(m.info.Key) }

// Value is the type of the map's values; nil where it is not known.
func (m *Map) Value() btf.Type { return known(m.info.Value) }

// known is t, or nil for void, by which a spec says that there is no type.
func known(t btf.Type) btf.Type {
	if _, void := t.(*btf.Void); void {
		return nil
	}
	return t
}

// FD is the number that stands for the map in a map of maps. It is no file
// descriptor of the operating system.
func (m *Map) FD() int { return int(m.info.Handle) }

// Info gives the map's properties. [ebpf.MapInfo]'s ID is not available.
func (m *Map) Info() (*ebpf.MapInfo, error) {
	return &ebpf.MapInfo{
		Type: m.info.Type, KeySize: m.info.KeySize, ValueSize: m.info.ValueSize,
		MaxEntries: m.info.MaxEntries, Flags: m.info.Flags, Name: m.info.Name,
	}, nil
}

// Unwrap gives the machine's own map, for packages of the machine.
func (m *Map) Unwrap() maps.Map { return m.obj.Map }

// Close drops this handle. The map lives on while programs or other maps use it, but a
// program array is emptied with its last handle.
func (m *Map) Close() error {
	if m == nil || m.obj == nil {
		return nil
	}
	m.obj.unhandle()
	m.obj = nil
	return nil
}

// Clone gives another handle of the same map.
func (m *Map) Clone() (*Map, error) {
	if m == nil {
		return nil, nil
	}
	return m.obj.ref().handle(), nil
}

// Freeze forbids changes from user space. It is refused (EBUSY) while there is a
// [Memory] of the map that may write.
func (m *Map) Freeze() error {
	if err := m.obj.Freeze(); err != nil {
		return fmt.Errorf("freeze map %s: %w", m.info.Name, err)
	}
	return nil
}

// Lookup retrieves a value. valueOut is a pointer, or for a per-CPU map a slice
// with an element a CPU or a pointer to a slice.
//
// Returns an error that is [ebpf.ErrKeyNotExist] if there is no such element.
func (m *Map) Lookup(key, valueOut any) error { return m.LookupWithFlags(key, valueOut, 0) }

// LookupWithFlags is Lookup with flags. In a per-CPU map [maps.FlagCPU] gives the
// value of the CPU whose number is in the upper 32 bits of flags, and valueOut is
// then as in any other map.
func (m *Map) LookupWithFlags(key, valueOut any, flags ebpf.MapLookupFlags) error {
	return m.read(key, valueOut, uint64(flags), false)
}

// LookupBytes gives a value as bytes, or nil if there is no such element.
func (m *Map) LookupBytes(key any) ([]byte, error) {
	var value []byte
	k, err := m.marshalKey(key)
	if err != nil {
		return nil, err
	}
	value = make([]byte, m.info.UserValueSize())
	err = m.obj.UserLookup(k, value, 0)
	if errors.Is(err, errno.ENOENT) {
		return nil, nil
	}
	return value, wrap("lookup", err)
}

// LookupAndDelete retrieves a value and deletes its element.
func (m *Map) LookupAndDelete(key, valueOut any) error {
	return m.LookupAndDeleteWithFlags(key, valueOut, 0)
}

// LookupAndDeleteWithFlags is LookupAndDelete with flags.
func (m *Map) LookupAndDeleteWithFlags(key, valueOut any, flags ebpf.MapLookupFlags) error {
	return m.read(key, valueOut, uint64(flags), true)
}

// read looks a value up, takes it out if it is to, and decodes it.
func (m *Map) read(key, out any, flags uint64, take bool) error {
	if k, v, ok := m.inBytes(key, out); ok && !take {
		return wrap("lookup", m.obj.UserLookup(k, v, flags))
	}
	what := "lookup"
	if take {
		what = "lookup and delete"
	}
	return wrap(what, m.decode(key, out, flags, take))
}

// decode is read of any key and out.
func (m *Map) decode(key, out any, flags uint64, take bool) error {
	k, err := m.marshalKey(key)
	if err != nil {
		return err
	}
	size := m.info.ValueSizeUnder(flags)
	if !m.holdsObjects() && !m.info.AllCPUs(flags) {
		if direct := target(out, size); direct != nil {
			return m.readBytes(k, direct, flags, take)
		}
	}
	value := make([]byte, size)
	if err := m.readBytes(k, value, flags, take); err != nil {
		return err
	}
	if err := m.unmarshalValue(out, value, flags); err != nil {
		return fmt.Errorf("value of map %s: %w", m.info.Name, err)
	}
	return nil
}

func (m *Map) readBytes(key, value []byte, flags uint64, take bool) error {
	if take {
		return m.obj.LookupAndDelete(key, value, flags)
	}
	return m.obj.UserLookup(key, value, flags)
}

// inBytes gives a key and a value that are what the map has, and need no marshaling. It
// is a short way for what is done most: a processor then has the cache misses of more
// than one lookup in flight.
func (m *Map) inBytes(key, value any) (k, v []byte, ok bool) {
	k, _ = key.([]byte)
	v, _ = value.([]byte)
	return k, v, m.obj.bytes && len(k) == int(m.info.KeySize) && len(v) == int(m.info.ValueSize)
}

// Put creates or replaces an element.
func (m *Map) Put(key, value any) error { return m.Update(key, value, ebpf.UpdateAny) }

// Update changes an element as flags say. The value may be a *Map in a map of
// maps and a *Program in a program array. In a per-CPU map [maps.FlagCPU] changes
// one CPU's value, as in [Map.LookupWithFlags], and [maps.FlagAllCPUs] gives all of
// them the same one.
//
// Returns an error that is [ebpf.ErrKeyExist] or [ebpf.ErrKeyNotExist] where
// flags forbid it.
func (m *Map) Update(key, value any, flags ebpf.MapUpdateFlags) error {
	if k, v, ok := m.inBytes(key, value); ok {
		return wrap("update", m.obj.UserUpdate(k, v, uint64(flags)))
	}
	return wrap("update", m.update(key, value, uint64(flags)))
}

// update is Update of any key and value.
func (m *Map) update(key, value any, flags uint64) error {
	k, err := m.marshalKey(key)
	if err != nil {
		return err
	}
	v, holds, err := m.marshalValue(value, flags)
	if err != nil {
		return fmt.Errorf("value of map %s: %w", m.info.Name, err)
	}
	return m.replace(k, v, holds, flags)
}

// replace updates an element whose value stands for holds; nil: what its number says.
func (m *Map) replace(key, value []byte, holds reference, flags uint64) error {
	if !m.holdsObjects() {
		return m.obj.UserUpdate(key, value, flags)
	}
	if holds == nil {
		holds = m.standsFor(value)
	}
	return m.obj.hold(key, value, holds, flags)
}

// standsFor is the map or program that a value names by its number, with a
// reference taken; nil where it names none.
func (m *Map) standsFor(value []byte) reference {
	at := 0
	switch {
	case m.holdsMaps():
		if o := mapByHandle(maps.Handle(binary.NativeEndian.Uint32(value))); o != nil {
			return o
		}
		return nil
	case m.holdsTargets():
		at = 4 // behind the target
	}
	if o := progByID(binary.NativeEndian.Uint32(value[at:])); o != nil {
		return o
	}
	return nil
}

// hold is an update that also keeps what the value stands for alive.
func (o *mapObject) hold(key, value []byte, r reference, flags uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.UserUpdate(key, value, flags); err != nil {
		if r != nil {
			r.unref()
		}
		return err
	}
	if o.held == nil {
		o.held = make(map[string]reference)
	}
	if old := o.held[string(key)]; old != nil {
		old.unref()
	}
	delete(o.held, string(key))
	if r != nil {
		o.held[string(key)] = r
	}
	return nil
}

// Delete removes an element.
//
// Returns an error that is [ebpf.ErrKeyNotExist] if there is no such element.
func (m *Map) Delete(key any) error {
	return wrap("delete", m.delete(key))
}

func (m *Map) delete(key any) error {
	k, err := m.marshalKey(key)
	if err != nil {
		return err
	}
	return m.remove(k)
}

// remove deletes an element, and lets go of what its value stood for.
func (m *Map) remove(k []byte) error {
	if !m.holdsObjects() {
		return m.obj.UserDelete(k)
	}
	return m.obj.release(k)
}

// release is a deletion that also drops what the value stands for.
func (o *mapObject) release(key []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.UserDelete(key); err != nil {
		return err
	}
	if old := o.held[string(key)]; old != nil {
		old.unref()
		delete(o.held, string(key))
	}
	return nil
}

// NextKey finds the key after key; a nil key gives the first.
//
// Returns an error that is [ebpf.ErrKeyNotExist] after the last.
func (m *Map) NextKey(key, nextKeyOut any) error {
	next := make([]byte, m.info.KeySize)
	if err := m.nextKey(key, next); err != nil {
		return err
	}
	return unmarshal(nextKeyOut, next)
}

// NextKeyBytes is NextKey in bytes; nil after the last key.
func (m *Map) NextKeyBytes(key any) ([]byte, error) {
	next := make([]byte, m.info.KeySize)
	err := m.nextKey(key, next)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, nil
	}
	return next, err
}

func (m *Map) nextKey(key any, next []byte) error {
	var k []byte
	if key != nil {
		var err error
		if k, err = m.marshalKey(key); err != nil {
			return fmt.Errorf("next key: %w", err)
		}
	}
	return wrap("next key", m.obj.NextKey(k, next))
}

func (m *Map) marshalKey(key any) ([]byte, error) {
	if key == nil && m.info.KeySize == 0 {
		return nil, nil
	}
	k, err := marshal(key, int(m.info.KeySize))
	if err != nil {
		return nil, fmt.Errorf("key of map %s: %w", m.info.Name, err)
	}
	return k, nil
}

func (m *Map) marshalValue(value any, flags uint64) ([]byte, reference, error) {
	switch v := value.(type) {
	case *Map:
		if !m.holdsMaps() {
			return nil, nil, fmt.Errorf("a map cannot be stored in a %s", m.info.Type)
		}
		return binary.NativeEndian.AppendUint32(nil, uint32(v.FD())), v.obj.ref(), nil
	case *Program:
		if m.info.Type != ebpf.ProgramArray {
			return nil, nil, fmt.Errorf("a program cannot be stored in a %s", m.info.Type)
		}
		return binary.NativeEndian.AppendUint32(nil, uint32(v.FD())), v.obj.ref(), nil
	}
	if m.info.AllCPUs(flags) {
		b, err := marshalPerCPU(value, int(m.info.ValueSize), m.info.CPUs)
		return b, nil, err
	}
	b, err := marshal(value, int(m.info.ValueSize))
	return b, nil, err
}

func (m *Map) unmarshalValue(out any, value []byte, flags uint64) error {
	switch out := out.(type) {
	case **Map:
		if !m.holdsMaps() {
			return fmt.Errorf("a %s holds no maps", m.info.Type)
		}
		inner := mapByHandle(maps.Handle(binary.NativeEndian.Uint32(value)))
		if inner == nil {
			return errors.New("the inner map is closed")
		}
		(*out).Close()
		*out = inner.handle()
		return nil
	case *Map:
		return errors.New("want a pointer to *Map")
	}
	if m.info.AllCPUs(flags) {
		return unmarshalPerCPU(out, value, int(m.info.ValueSize), m.info.CPUs)
	}
	return unmarshal(out, value)
}

// holdsMaps reports whether values stand for maps, holdsObjects whether they
// stand for anything that is counted.
func (m *Map) holdsMaps() bool {
	return m.info.Type == ebpf.ArrayOfMaps || m.info.Type == ebpf.HashOfMaps
}

func (m *Map) holdsObjects() bool {
	return m.holdsMaps() || m.holdsTargets() || m.info.Type == ebpf.ProgramArray
}

// holdsTargets reports whether values are an interface or a CPU, and a program.
func (m *Map) holdsTargets() bool {
	switch m.info.Type {
	case ebpf.DevMap, ebpf.DevMapHash, ebpf.CPUMap:
		return m.info.ValueSize == 8
	}
	return false
}

// mapError is the kernel's error number under cilium/ebpf's name for it.
type mapError struct {
	no       errno.Errno
	sentinel error
}

func (e *mapError) Error() string   { return e.sentinel.Error() }
func (e *mapError) Unwrap() []error { return []error{e.sentinel, e.no} }

var mapErrors = map[errno.Errno]*mapError{
	errno.ENOENT:     {errno.ENOENT, ebpf.ErrKeyNotExist},
	errno.EEXIST:     {errno.EEXIST, ebpf.ErrKeyExist},
	errno.ENOTSUPP:   {errno.ENOTSUPP, ebpf.ErrNotSupported},
	errno.EOPNOTSUPP: {errno.EOPNOTSUPP, ebpf.ErrNotSupported},
}

// wrap says what failed, if something did.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return explain(what, err)
}

func explain(what string, err error) error {
	if no, ok := err.(errno.Errno); ok {
		if e := mapErrors[no]; e != nil {
			err = e
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}
