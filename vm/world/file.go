package world

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/skep-ebpf/skep/internal/strictyaml"
)

// Description is a world as a person writes it down. All of it is optional.
type Description struct {
	Current    Current     `yaml:"current"`
	Processes  []Process   `yaml:"processes"`
	Cgroups    []Cgroup    `yaml:"cgroups"`
	Sockets    []Socket    `yaml:"sockets"`
	Interfaces []Interface `yaml:"interfaces"`
	Routes     []Route     `yaml:"routes"`
	Neighbours []Neighbour `yaml:"neighbours"`
	Sched      *Sched      `yaml:"sched"`
	Counters   []Slot      `yaml:"counters"`
	Conntrack  []Conn      `yaml:"conntrack"`
	Sysctl     *Sysctl     `yaml:"sysctl"`
	// Paths are files by the address of their struct path.
	Paths map[uint64]string `yaml:"paths"`
	// Symbols are addresses by their names in the kernel.
	Symbols map[string]uint64 `yaml:"symbols"`
	// Measurements are hashes of files, "sha256:9f86d0..", by the address of their
	// struct inode or struct file.
	Measurements map[uint64]string `yaml:"measurements"`
	Files        []File            `yaml:"files"`
}

// File is a file. Its structures' addresses are those of objects, where there are such,
// or ones that only stand for it.
type File struct {
	Name   string            `yaml:"name"` // "/usr/bin/x"; "": it is known by its addresses alone
	File   uint64            `yaml:"file"` // address of its struct file
	Dentry uint64            `yaml:"dentry"`
	Inode  uint64            `yaml:"inode"`
	Data   string            `yaml:"data"`   // what it holds
	Xattrs map[string]string `yaml:"xattrs"` // {security.bpf.label: text}
	Verity string            `yaml:"verity"` // its digest under fs-verity, "sha256:9f86d0.."
}

// Sched is what schedulers find.
type Sched struct {
	CPUs   int            `yaml:"cpus"`
	SMT    int            `yaml:"smt"`     // CPUs of a core; 0: 1
	Busy   []int          `yaml:"busy"`    // CPUs that are not idle
	Run    map[int]uint32 `yaml:"running"` // processes by the CPU that they run on
	Queues []uint64       `yaml:"queues"`  // dispatch queues that there are
}

// Sysctl is the setting that a program is asked about.
type Sysctl struct {
	Name  string `yaml:"name"` // "net/ipv4/ip_forward"
	Value string `yaml:"value"`
	New   string `yaml:"new"` // what is being written
}

// Current is what programs run in.
type Current struct {
	PID    uint32 `yaml:"pid"`    // of a process or thread; 0: none
	Socket string `yaml:"socket"` // name of the context's socket; "": none
	// Counter is the event that a program of type perf_event runs for; nil: one that
	// has counted nothing.
	Counter *Counter `yaml:"counter"`
	// Branches are those that the processor took, the last one first; nil: it does
	// not record any.
	Branches []Branch `yaml:"branches"`
}

// Process is a process and its threads.
type Process struct {
	PID     uint32   `yaml:"pid"`
	PPID    uint32   `yaml:"ppid"`
	Comm    string   `yaml:"comm"`
	Exe     string   `yaml:"exe"` // name of its executable file; "": none
	UID     uint32   `yaml:"uid"`
	GID     uint32   `yaml:"gid"`
	Cgroup  string   `yaml:"cgroup"` // its path; "": none
	PIDNS   *PIDNS   `yaml:"pid_namespace"`
	Task    uint64   `yaml:"task"` // address of its struct task_struct, where there is such an object
	Regs    uint64   `yaml:"regs"` // address of its user-space registers, likewise
	Threads []Thread `yaml:"threads"`
	Memory  []Area   `yaml:"memory"`
	// Stacks are return addresses, the innermost first.
	KernelStack []uint64 `yaml:"kernel_stack"`
	UserStack   []uint64 `yaml:"user_stack"`
}

// Thread is a thread other than a process's first.
type Thread struct {
	PID         uint32   `yaml:"pid"`
	Comm        string   `yaml:"comm"` // "": the process's
	Task        uint64   `yaml:"task"`
	KernelStack []uint64 `yaml:"kernel_stack"`
	UserStack   []uint64 `yaml:"user_stack"`
}

// PIDNS is a PID namespace, and the process's number in it.
type PIDNS struct {
	Dev uint64 `yaml:"dev"`
	Ino uint64 `yaml:"ino"`
	PID uint32 `yaml:"pid"`
}

// Area is a mapping of memory, from its first address to the one behind it.
type Area struct {
	Start uint64 `yaml:"start"`
	End   uint64 `yaml:"end"`
	VMA   uint64 `yaml:"vma"` // address of its struct vm_area_struct, where there is such an object
}

// Cgroup is a control group. The cgroups above it are made as needed.
type Cgroup struct {
	Path    string `yaml:"path"` // "/system.slice/nginx.service"
	ID      uint64 `yaml:"id"`   // 0: the next free one; the root has 1
	ClassID uint32 `yaml:"classid"`
	Cgroup  uint64 `yaml:"cgroup"` // address of its struct cgroup, where there is such an object
	// Xattrs are its extended attributes: {user.note: text}.
	Xattrs map[string]string `yaml:"xattrs"`
}

// Socket is a socket.
type Socket struct {
	Name      string         `yaml:"name"`
	Proto     string         `yaml:"proto"` // tcp or udp
	State     string         `yaml:"state"` // of TCP: "established", "listen", ..; "": listen without a remote address
	Local     netip.AddrPort `yaml:"local"`
	Remote    netip.AddrPort `yaml:"remote"`
	Interface string         `yaml:"interface"` // that it is bound to
	NetNS     uint64         `yaml:"netns"`     // cookie of its network namespace; 0: the first one
	Mark      uint32         `yaml:"mark"`
	Priority  uint32         `yaml:"priority"`
	PID       uint32         `yaml:"pid"` // of the process whose it is; 0: not said
	UID       uint32         `yaml:"uid"`
	Cookie    uint64         `yaml:"cookie"` // 0: its number
	Cgroup    string         `yaml:"cgroup"`
	RxQueue   *int32         `yaml:"rx_queue"`
	Sock      uint64         `yaml:"sock"` // address of its struct sock, where there is such an object
	TCP       TCP            `yaml:"tcp"`
}

// TCP is what struct bpf_tcp_sock says of a TCP socket, by its fields' names.
type TCP struct {
	SndCwnd         uint32 `yaml:"snd_cwnd"`
	SRTT            uint32 `yaml:"srtt_us"`
	RTTMin          uint32 `yaml:"rtt_min"`
	SndSsthresh     uint32 `yaml:"snd_ssthresh"`
	RcvNxt          uint32 `yaml:"rcv_nxt"`
	SndNxt          uint32 `yaml:"snd_nxt"`
	SndUna          uint32 `yaml:"snd_una"`
	MSS             uint32 `yaml:"mss_cache"`
	ECNFlags        uint32 `yaml:"ecn_flags"`
	RateDelivered   uint32 `yaml:"rate_delivered"`
	RateInterval    uint32 `yaml:"rate_interval_us"`
	PacketsOut      uint32 `yaml:"packets_out"`
	RetransOut      uint32 `yaml:"retrans_out"`
	TotalRetrans    uint32 `yaml:"total_retrans"`
	SegsIn          uint32 `yaml:"segs_in"`
	DataSegsIn      uint32 `yaml:"data_segs_in"`
	SegsOut         uint32 `yaml:"segs_out"`
	DataSegsOut     uint32 `yaml:"data_segs_out"`
	LostOut         uint32 `yaml:"lost_out"`
	SackedOut       uint32 `yaml:"sacked_out"`
	BytesReceived   uint64 `yaml:"bytes_received"`
	BytesAcked      uint64 `yaml:"bytes_acked"`
	DSACKDups       uint32 `yaml:"dsack_dups"`
	Delivered       uint32 `yaml:"delivered"`
	DeliveredCE     uint32 `yaml:"delivered_ce"`
	ICSKRetransmits uint32 `yaml:"icsk_retransmits"`
}

// Interface is a network interface.
type Interface struct {
	Index      uint32         `yaml:"index"`
	Name       string         `yaml:"name"`
	MAC        MAC            `yaml:"mac"`
	MTU        int            `yaml:"mtu"` // bytes; 0: 1500
	Addresses  []netip.Prefix `yaml:"addresses"`
	Forwarding bool           `yaml:"forwarding"` // passes on what is not for this host
	NetNS      uint64         `yaml:"netns"`      // cookie of its network namespace; 0: the first one
}

// Route is a way to a network.
type Route struct {
	To     string     `yaml:"to"`   // a network, or "default"
	Type   string     `yaml:"type"` // "": unicast; blackhole, unreachable, prohibit, local
	Via    netip.Addr `yaml:"via"`
	Dev    string     `yaml:"dev"`
	Src    netip.Addr `yaml:"src"`
	Metric uint32     `yaml:"metric"`
	MTU    int        `yaml:"mtu"`
	Table  uint32     `yaml:"table"` // 0: the main table, 254
	NetNS  uint64     `yaml:"netns"` // of one without dev; others are in their dev's
}

// Neighbour is the link-layer address of a host.
type Neighbour struct {
	Addr netip.Addr `yaml:"addr"`
	Dev  string     `yaml:"dev"`
	MAC  MAC        `yaml:"mac"`
}

// MAC is an Ethernet address.
type MAC [6]byte

// UnmarshalText reads "02:00:00:00:00:01".
func (m *MAC) UnmarshalText(text []byte) error {
	a, err := net.ParseMAC(string(text))
	if err != nil || len(a) != len(m) {
		return fmt.Errorf("%q is no Ethernet address: want six bytes such as 02:00:00:00:00:01", text)
	}
	copy(m[:], a)
	return nil
}

// Open reads a description, in YAML or JSON, and makes the world that it tells
// of. Errors name the line and the field.
func Open(path string) (*World, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// Parse is [Open] for a text that was read already; errors call it name.
func Parse(name string, text []byte) (*World, error) {
	var d Description
	if err := strictyaml.Decode(name, text, &d); err != nil {
		return nil, err
	}
	w, err := New(&d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return w, nil
}
