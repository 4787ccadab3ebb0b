package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// syscalls is bpf(2) for programs. What they make is as real as what the embedder
// makes: programs are verified, and loaded with the options of the one that loads
// them.
type syscalls struct{ opts ProgramOptions }

// Bytes of union bpf_attr, and the most that may be given.
const (
	bpfAttrSize    = 168
	bpfAttrMaxSize = 4096
)

// command is one of bpf(2)'s: attr are its attributes, a structure of linux/bpf.h up
// to the last field that the command has.
type command interface {
	run(c *call) (fd uint32, err error)
}

// call is what a command may ask of its caller.
type call struct {
	*syscalls
	state *exec.State
}

// commands by their numbers (enum bpf_cmd).
var commands = map[uint32]func() command{
	0:  func() command { return new(mapCreate) },
	2:  func() command { return new(mapUpdateElem) },
	3:  func() command { return new(mapDeleteElem) },
	5:  func() command { return new(progLoad) },
	14: func() command { return new(mapGetFDByID) },
	17: func() command { return new(rawTracepointOpen) },
	18: func() command { return new(btfLoad) },
	22: func() command { return new(mapFreeze) },
	28: func() command { return new(linkCreate) },
}

// BPF implements [exec.Syscalls].
func (y *syscalls) BPF(s *exec.State, cmd uint32, attr []byte) (uint32, error) {
	make, ok := commands[cmd]
	if !ok {
		return 0, errno.EINVAL
	}
	command := make()
	if err := decodeAttr(attr, command); err != nil {
		return 0, err
	}
	fd, err := command.run(&call{y, s})
	var no errno.Errno
	if err != nil && !errors.As(err, &no) {
		no = errno.EINVAL
	}
	if err != nil {
		return 0, no
	}
	return fd, nil
}

// Close implements [exec.Syscalls].
func (*syscalls) Close(fd uint32) error {
	held := opened.take(fd)
	if held == nil {
		return errno.EBADF
	}
	return held.Close()
}

// decodeAttr reads a command's attributes. What comes behind those that the command
// knows must be 0: E2BIG behind all that there are, else EINVAL.
func decodeAttr(attr []byte, into command) error {
	known := binary.Size(into)
	switch {
	case len(attr) > bpfAttrMaxSize:
		return errno.E2BIG
	case len(attr) > bpfAttrSize && !zero(attr[bpfAttrSize:]):
		return errno.E2BIG
	case len(attr) > known && !zero(attr[known:]):
		return errno.EINVAL
	}
	var whole [bpfAttrSize]byte
	copy(whole[:], attr)
	return binary.Read(bytes.NewReader(whole[:]), binary.NativeEndian, into)
}

func zero(b []byte) bool { return bytes.Count(b, []byte{0}) == len(b) }

// read copies n bytes from the caller's memory; EFAULT where they are not there, or
// none are asked for where there is no memory.
func (c *call) read(addr uint64, n int) ([]byte, error) {
	b := make([]byte, n)
	if !c.state.ReadKernel(addr, b) || n == 0 && len(c.state.Kernel(addr)) == 0 {
		return nil, errno.EFAULT
	}
	return b, nil
}

// made notes in the run's effects what was made; of what was refused, fd is 0 and
// text says why.
func (c *call) made(what string, fd uint32, text string) {
	c.state.Effects = append(c.state.Effects, exec.Effect{What: what, Args: [4]uint64{uint64(fd)}, Text: text})
}

// objectName is the name of a map or program, up to its NUL: letters, digits, _ and
// dots.
func objectName(b [16]byte) (string, error) {
	name, _, ended := bytes.Cut(b[:], []byte{0})
	valid := func(r rune) bool {
		return r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if !ended || bytes.ContainsFunc(name, func(r rune) bool { return !valid(r) }) {
		return "", fmt.Errorf("name %q: %w", b, errno.EINVAL)
	}
	return string(name), nil
}

// mapUpdateElem is BPF_MAP_UPDATE_ELEM.
type mapUpdateElem struct {
	FD, _             uint32
	Key, Value, Flags uint64
}

func (a *mapUpdateElem) run(c *call) (uint32, error) {
	m, err := a.open()
	if err != nil {
		return 0, err
	}
	defer m.Close()
	key, err := c.key(m, a.Key)
	if err != nil {
		return 0, err
	}
	value, err := c.read(a.Value, m.info.ValueSizeUnder(a.Flags))
	if err != nil {
		return 0, err
	}
	return 0, m.replace(key, value, nil, a.Flags)
}

// open gives the map, where it may be updated under the flags.
func (a *mapUpdateElem) open() (*Map, error) {
	m, err := openMap(a.FD)
	if err != nil {
		return nil, err
	}
	if w, ok := m.obj.Map.(interface{ MayUpdate(flags uint64) error }); ok {
		err = w.MayUpdate(a.Flags)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// openMap gives a handle of the map that a descriptor stands for.
func openMap(fd uint32) (*Map, error) {
	obj, err := mapByFD(fd)
	if err != nil {
		return nil, err
	}
	return obj.handle(), nil
}

// key reads a key. A map without keys wants none.
func (c *call) key(m *Map, addr uint64) ([]byte, error) {
	switch {
	case m.info.KeySize != 0:
	case addr != 0:
		return nil, errno.EINVAL
	default:
		return nil, nil
	}
	return c.read(addr, int(m.info.KeySize))
}

// mapDeleteElem is BPF_MAP_DELETE_ELEM.
type mapDeleteElem struct {
	FD, _ uint32
	Key   uint64
}

func (a *mapDeleteElem) run(c *call) (uint32, error) {
	m, err := (&mapUpdateElem{FD: a.FD}).open()
	if err != nil {
		return 0, err
	}
	defer m.Close()
	key, err := c.key(m, a.Key)
	if err != nil {
		return 0, err
	}
	return 0, m.remove(key)
}

// mapFreeze is BPF_MAP_FREEZE.
type mapFreeze struct{ FD uint32 }

func (a *mapFreeze) run(*call) (uint32, error) {
	m, err := openMap(a.FD)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	return 0, m.Freeze()
}

// mapGetFDByID is BPF_MAP_GET_FD_BY_ID.
type mapGetFDByID struct{ ID, _, OpenFlags uint32 }

func (a *mapGetFDByID) run(*call) (uint32, error) {
	const access = maps.FlagRdonly | maps.FlagWronly
	if a.OpenFlags&^access != 0 || a.OpenFlags == access {
		return 0, errno.EINVAL
	}
	obj := mapByHandle(maps.Handle(a.ID))
	if obj == nil {
		return 0, errno.ENOENT
	}
	return opened.add(a.ID, obj.handle())
}

// rawTracepointOpen is BPF_RAW_TRACEPOINT_OPEN.
type rawTracepointOpen struct {
	Name    uint64
	Prog, _ uint32
	Cookie  uint64
}

func (a *rawTracepointOpen) run(*call) (uint32, error) { return noLink(a.Prog) }

// linkCreate is BPF_LINK_CREATE.
type linkCreate struct {
	Prog, Target, Type, Flags uint32
	_                         [48]byte // what each type of link has of its own
}

func (a *linkCreate) run(*call) (uint32, error) { return noLink(a.Prog) }

// noLink refuses to attach a program (EOPNOTSUPP): the machine has nothing to attach
// to, and whoever runs it decides what its programs see.
func noLink(prog uint32) (uint32, error) {
	obj := progByID(prog)
	if obj == nil {
		return 0, notOpen(prog, maps.Get(maps.Handle(prog)) != nil || opened.has(prog))
	}
	obj.unref()
	return 0, errno.EOPNOTSUPP
}
