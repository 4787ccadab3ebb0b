package machine

import (
	"context"
	"io"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/program"
)

// Machine is where programs run.
type Machine interface {
	// Name is the machine's name in a sentence: "the kernel", "skep's own machine".
	Name() string
	// Load loads an object's programs and creates its maps, all or none.
	Load(p *program.Program, opts *Options) (Collection, error)
}

// Options say how an object is loaded.
type Options struct {
	Programs []string // those that are wanted, with what they refer to; none: all
	Link     program.LinkOptions
	// At are points at which programs will be attached, where these are others than
	// their sections name: some programs are loaded for their target.
	At []hook.Attachment
}

// Collection is a loaded object. Nothing is attached yet.
type Collection interface {
	// Spec is what was loaded.
	Spec() *ebpf.CollectionSpec
	// Map gives a map by its name; nil where there is none.
	Map(name string) Map
	// Run runs a program once, or as often as opts say, as BPF_PROG_TEST_RUN does.
	Run(program string, opts *ebpf.RunOptions) (uint32, error)
	// Attach attaches programs at points, all or none.
	Attach(at []hook.Attachment) ([]Link, error)
	// Events begins to read what programs send through a map. An error that is
	// [ErrNoEvents] says that the map is of another type.
	Events(mapName string) (Events, error)
	// Printed begins to read what programs print with bpf_printk, a text a record; nil
	// where none of them does.
	Printed() (Events, error)
	// Streams begins to read what programs write to their streams, a line a record, and
	// what Linux writes there of their mistakes; nil where there is no such thing.
	Streams() (Events, error)
	// Unseen says what of programs' records cannot be seen or counted, a sentence each.
	Unseen() []string
	// Detach detaches what is attached, the last one first. Maps stay, and what they
	// hold can still be read.
	Detach() error
	// Close detaches what is attached, and unloads everything.
	Close() error
}

// Map is a map of either machine.
type Map interface {
	Type() ebpf.MapType
	KeySize() uint32
	ValueSize() uint32
	MaxEntries() uint32
	// Lookup, Put and Delete are cilium/ebpf's.
	Lookup(key, valueOut any) error
	Put(key, value any) error
	Delete(key any) error
	// NextKeyBytes gives the key after another, the first one after nil, and nil
	// after the last; LookupBytes gives nil where there is no such key.
	NextKeyBytes(key any) ([]byte, error)
	LookupBytes(key any) ([]byte, error)
}

// Link is an attached program.
type Link interface {
	// Point is where the program is attached.
	Point() hook.Point
	// Instead says how the program is attached where that is not as its point says; ""
	// where it is.
	Instead() string
	// Output runs an iterator and gives what it writes; an error where the link is none.
	Output() (io.ReadCloser, error)
	// Close detaches the program. It may be called again, and does nothing then.
	Close() error
}

// Events reads what programs send through a map, a ring buffer or a perf event array, or
// print.
type Events interface {
	// Read waits for the next record. When ctx ends it gives what is still there, then
	// the error of ctx: with a context that has ended it does not wait.
	Read(ctx context.Context, r *Record) error
	// Lost counts the records that found no room, so far.
	Lost() (uint64, error)
	// Close ends reading.
	Close() error
}

// Record is what a program sent. Who reads often reuses it.
type Record = kernel.Record

// ErrNoEvents says of a map that programs send no events through it.
var ErrNoEvents = kernel.ErrNoEvents
