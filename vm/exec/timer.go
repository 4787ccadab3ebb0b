package exec

import (
	"container/heap"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Hz is how often the machine's clock ticks in a second, as Debian's kernels' does.
const Hz = 250

// Timers are the timers and work queues in maps' values, of programs that share a
// clock. Nothing fires by itself: what is due by [Env.Now] is run between runs, in
// the order in which it is due, and sees the time when it was due. So a run's
// results depend on the clock alone, which may be that of a capture.
type Timers struct {
	due atomic.Int64 // when the first is due, ns since boot; never

	mu    sync.Mutex
	armed timerHeap
	seq   uint64
}

const (
	never = math.MaxInt64
	// maxFired bounds one call of Run: timers that start themselves again for
	// at once would go on for ever.
	maxFired = 1 << 16
)

// NewTimers gives an empty set.
func NewTimers() *Timers {
	t := new(Timers)
	t.due.Store(never)
	return t
}

// Func is a function of a program that is called after the run that named it.
type Func interface {
	// Run calls it on s. args is asked once s is ready for the call.
	Run(s *State, args func() ([5]uint64, [5]Prov)) (uint64, error)
	// Program is the program that the function belongs to.
	Program() any
}

// timer is what a bpf_timer or bpf_wq in a value stands for. The field holds its
// number. All but the first fields are protected by queue.mu.
type timer struct {
	queue *Timers
	id    uint64
	m     maps.Map
	value uintptr // the value that the field is in

	fn      Func
	when    int64 // ns since boot
	seq     uint64
	index   int // in queue.armed, or -1
	running bool
}

var (
	timers  sync.Map // number -> *timer
	timerID atomic.Uint64
)

func init() {
	maps.OnFree(maps.FieldTimer, freeTimer)
	maps.OnFree(maps.FieldWorkqueue, freeTimer)
	maps.OnFree(maps.FieldTaskWork, freeTimer)
}

func number(field uintptr) *uint64 { return (*uint64)(mem.At(field)) }

// timerAt is the timer of a field; nil before Init.
func timerAt(field uintptr) *timer {
	t, _ := timers.Load(atomic.LoadUint64(number(field)))
	found, _ := t.(*timer)
	return found
}

// freeTimer cancels what a field holds and empties it.
func freeTimer(_ *maps.Info, _ *maps.Field, field uintptr) {
	id := atomic.SwapUint64(number(field), 0)
	if id == 0 {
		return
	}
	if t, ok := timers.LoadAndDelete(id); ok {
		t.(*timer).stop(true)
	}
}

// Init makes a field of a value of m a timer: EINVAL where m's values have no such
// field there, EBUSY where it is one.
func (q *Timers) Init(kind maps.FieldKind, field uintptr, m maps.Map) error {
	info := m.Info()
	offset := info.Fields.Offset(kind)
	if offset < 0 {
		return errno.EINVAL
	}
	t := &timer{queue: q, id: timerID.Add(1), m: m, value: field - uintptr(offset), index: -1}
	timers.Store(t.id, t)
	if !atomic.CompareAndSwapUint64(number(field), 0, t.id) {
		timers.Delete(t.id)
		return errno.EBUSY
	}
	return nil
}

// SetCallback says what a timer calls: EINVAL before Init.
func SetCallback(field uintptr, fn Func) error {
	t := timerAt(field)
	if t == nil {
		return errno.EINVAL
	}
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	t.fn = fn
	return nil
}

// Start arms a timer for a time since boot, also one that is armed: EINVAL without
// a function to call.
func Start(field uintptr, when time.Duration) error {
	t := timerAt(field)
	if t == nil {
		return errno.EINVAL
	}
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.fn == nil {
		return errno.EINVAL
	}
	t.disarm()
	q.seq++
	t.when, t.seq = int64(when), q.seq
	heap.Push(&q.armed, t)
	q.settle()
	return nil
}

// Schedule has a function called once at a time since boot, for a field that needs no
// Init: EBUSY until then, and while it runs.
func (q *Timers) Schedule(kind maps.FieldKind, field uintptr, m maps.Map, fn Func, when time.Duration) error {
	if timerAt(field) == nil {
		if err := q.Init(kind, field, m); err != nil && err != errno.EBUSY {
			return err
		}
	}
	t := timerAt(field)
	if t == nil {
		return errno.EBUSY // it was freed since
	}
	t.queue.mu.Lock()
	busy := t.index >= 0 || t.running
	if !busy {
		t.fn = fn
	}
	t.queue.mu.Unlock()
	if busy {
		return errno.EBUSY
	}
	return Start(field, when)
}

// Cancel disarms a timer, which forgets its function, and reports whether it was
// armed: EINVAL before Init, EDEADLK by the timer's own function.
func Cancel(field uintptr) (active bool, err error) {
	t := timerAt(field)
	if t == nil {
		return false, errno.EINVAL
	}
	return t.stop(false)
}

// Stop is Cancel for a timer that keeps its function.
func Stop(field uintptr) (active bool, err error) {
	t := timerAt(field)
	if t == nil {
		return false, errno.EINVAL
	}
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.running {
		return false, errno.EDEADLK
	}
	active = t.index >= 0
	t.disarm()
	q.settle()
	return active, nil
}

// stop is Cancel, or with force the end of a timer, which may be by its own
// function.
func (t *timer) stop(force bool) (active bool, err error) {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.running && !force {
		return false, errno.EDEADLK
	}
	active = t.index >= 0
	t.disarm()
	t.fn = nil
	q.settle()
	return active, nil
}

// disarm takes a timer out of the heap; the caller holds queue.mu.
func (t *timer) disarm() {
	if t.index >= 0 {
		heap.Remove(&t.queue.armed, t.index)
	}
}

// settle publishes when the first timer is due; the caller holds mu.
func (q *Timers) settle() {
	if len(q.armed) == 0 {
		q.due.Store(never)
	} else {
		q.due.Store(q.armed[0].when)
	}
}

// Next gives the time since boot when the first timer is due; false where none
// is armed.
func (q *Timers) Next() (time.Duration, bool) {
	due := q.due.Load()
	return time.Duration(due), due != never
}

// Forget disarms the timers that would call a program.
func (q *Timers) Forget(program any) {
	if q.due.Load() == never {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := 0; i < len(q.armed); {
		if t := q.armed[i]; t.fn.Program() == program {
			heap.Remove(&q.armed, i)
			t.fn, i = nil, 0
		} else {
			i++
		}
	}
	q.settle()
}

// Run calls what is due by s.Env's clock, on s, which no run occupies, and gives
// the number of calls. It ends with the first call that fails.
func (q *Timers) Run(s *State, budget int64) (int, error) {
	if q.due.Load() == never {
		return 0, nil
	}
	env, now := s.Env, s.Env.Now()
	defer func() { s.Env = env }()
	for n := range maxFired {
		t, fn := q.take(now)
		if t == nil {
			return n, nil
		}
		s.Env, s.Budget = env.at(time.Duration(t.when), now), budget
		err := t.fire(s, fn)
		q.mu.Lock()
		t.running = false
		q.mu.Unlock()
		if err != nil {
			return n + 1, fmt.Errorf("timer in map %s: %w", t.m.Info().Name, err)
		}
	}
	return maxFired, nil
}

// at is e with a clock that stands still.
func (e *Env) at(when, now time.Duration) *Env {
	then := *e
	then.Now = func() time.Duration { return when }
	then.Wall = func() time.Time { return e.Wall().Add(when - now) }
	return &then
}

// take gives the first timer that is due, which runs from now on.
func (q *Timers) take(now time.Duration) (*timer, Func) {
	if q.due.Load() > int64(now) {
		return nil, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.armed) == 0 || q.armed[0].when > int64(now) {
		return nil, nil
	}
	t := heap.Pop(&q.armed).(*timer)
	t.running = true
	q.settle()
	return t, t.fn
}

// fire calls the function with the map, the value's key, and the value.
func (t *timer) fire(s *State, fn Func) error {
	info := t.m.Info()
	if maps.Get(info.Handle) != t.m {
		return nil // closed since
	}
	_, err := fn.Run(s, func() (args [5]uint64, prov [5]Prov) {
		key, from := s.Lend(int(info.KeySize))
		if keyed, ok := t.m.(maps.Keyed); ok {
			keyed.KeyOf(t.value, key)
		}
		args = [5]uint64{uint64(info.Handle), uint64(Addr(key)), uint64(t.value)}
		prov = [5]Prov{Make(RegionMap, uint32(info.Handle)), from, MapValue(info.Handle, info.Values.Index(t.value))}
		return args, prov
	})
	return err
}

// timerHeap is a container/heap: by time, and what was started first comes first.
type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if h[i].when != h[j].when {
		return h[i].when < h[j].when
	}
	return h[i].seq < h[j].seq
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h, t.index = (*h)[:last], -1
	return t
}
