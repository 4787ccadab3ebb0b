// Package machine is what the two machines have in common, the kernel and the one in
// user space: a program loads, its maps are found, it is attached to a hook, what it
// sends is read, and it is closed. Every verb works on both, and a test can run on
// both and compare.
package machine

import (
	"context"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/program"
)

// Machine runs programs.
type Machine interface {
	// Name is "kernel" or "user".
	Name() string
	// Load makes an object's programs and maps, all or none. Nothing runs yet.
	Load(p *program.Program, opts *Options) (Collection, error)
}

// Options say how an object is loaded.
type Options struct {
	Programs []string // those that are wanted, with what they refer to; none: all
	Link     program.LinkOptions
	// Maps take the place of the object's maps of these names.
	Maps map[string]*ebpf.Map
}

// Collection is a loaded object.
type Collection interface {
	Programs() []string
	// Maps gives the names of the maps, Map one of them, or nil.
	Maps() []string
	Map(name string) Map
	// Attach attaches programs at points, all or none.
	Attach(ctx context.Context, at []hook.Attachment) ([]Link, error)
	// Events reads what programs send through a ring buffer or a perf event array.
	Events(name string) (Events, error)
	// Close detaches and unloads everything that is not pinned.
	Close() error
}

// Map is a map as its users see it: a part of what [ebpf.Map] and vm's Map have.
type Map interface {
	Type() ebpf.MapType
	KeySize() uint32
	ValueSize() uint32
	MaxEntries() uint32
	Lookup(key, valueOut any) error
	LookupBytes(key any) ([]byte, error)
	NextKeyBytes(key any) ([]byte, error)
	Update(key, value any, flags ebpf.MapUpdateFlags) error
	Delete(key any) error
}

// Typed is a map whose key and value have types.
type Typed interface {
	Key() btf.Type
	Value() btf.Type
}

// Link is an attached program.
type Link interface {
	// Point is where.
	Point() hook.Point
	Close() error
}

// Events are records from programs, in the order of their time as far as the map
// keeps one.
type Events interface {
	// Read waits for the next record until ctx ends or Flush was called.
	Read(ctx context.Context, r *Record) error
	// Lost counts the records that found no room so far.
	Lost() uint64
	Close() error
}

// Record is what a program sent. A caller that reads often reuses it.
type Record struct {
	Data []byte
	CPU  int           // -1: not told
	Time time.Duration // since boot; 0: not told
}
