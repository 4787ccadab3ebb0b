package helper

import (
	"math"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// The options of sockets that Linux lets programs set and get, and what a number that
// one is set to becomes. All but TCP_CONGESTION are an int.

// The levels of options.
const (
	solIP, solSocket, solTCP, solIPv6 = 0, 1, 6, 41
)

// Options that are also seen elsewhere.
const (
	soPriority, soMark, soBindToIfindex = 12, 36, 62
	ipTOS                               = 1
	tcpMaxSeg, tcpCongestion            = 2, 13
	tcpBPFIW, tcpBPFSndCwndClamp        = 1001, 1002
)

// A sockOption is an option that is an int.
type sockOption struct {
	first int32 // what it is where nobody set it
	// kept is what a number becomes, or why it is refused; nil: none is taken.
	kept    func(k *exec.Socket, v int32) (int32, errno.Errno)
	setOnly bool // nobody is told what it is
}

var sockOptions = map[uint32]map[uint32]sockOption{
	solSocket: {
		2:               {kept: flag},                                       // SO_REUSEADDR
		7:               {first: sendBuffer, kept: buffer(leastSendBuffer)}, // SO_SNDBUF
		8:               {first: recvBuffer, kept: buffer(leastRecvBuffer)}, // SO_RCVBUF
		9:               {kept: flag},                                       // SO_KEEPALIVE
		soPriority:      {kept: plain},                                      //
		15:              {kept: flag},                                       // SO_REUSEPORT
		18:              {first: 1, kept: lowWater},                         // SO_RCVLOWAT
		soMark:          {kept: plain},                                      //
		47:              {first: -1, kept: plain},                           // SO_MAX_PACING_RATE
		soBindToIfindex: {kept: within(0, math.MaxInt32)},                   //
		74:              {first: 1, kept: rehash},                           // SO_TXREHASH
		1009:            {kept: within(0, 1)},                               // SK_BPF_CB_FLAGS
	},
	solIP: {ipTOS: {kept: typeOfService}},
	solIPv6: {
		67: {kept: trafficClass},   // IPV6_TCLASS
		70: {first: 1, kept: flag}, // IPV6_AUTOFLOWLABEL
	},
	solTCP: {
		1:                  {kept: flag},                                  // TCP_NODELAY
		tcpMaxSeg:          {first: defaultMSS, kept: segment},            //
		4:                  {first: 7200, kept: within(1, math.MaxInt16)}, // TCP_KEEPIDLE
		5:                  {first: 75, kept: within(1, math.MaxInt16)},   // TCP_KEEPINTVL
		6:                  {first: 9, kept: within(1, 127)},              // TCP_KEEPCNT
		7:                  {first: 6, kept: within(1, 127)},              // TCP_SYNCNT
		10:                 {kept: windowClamp},                           // TCP_WINDOW_CLAMP
		16:                 {kept: within(0, 1)},                          // TCP_THIN_LINEAR_TIMEOUTS
		18:                 {kept: within(0, math.MaxInt32)},              // TCP_USER_TIMEOUT
		25:                 {kept: plain},                                 // TCP_NOTSENT_LOWAT
		27:                 {kept: within(0, 2)},                          // TCP_SAVE_SYN
		44:                 {first: 120000, kept: within(1000, 120000)},   // TCP_RTO_MAX_MS
		tcpBPFIW:           {kept: initialWindow, setOnly: true},          //
		tcpBPFSndCwndClamp: {kept: sendWindowClamp, setOnly: true},        //
		1003:               {first: longestTimeout, kept: timeout},        // TCP_BPF_DELACK_MAX
		1004:               {first: longestTimeout, kept: timeout},        // TCP_BPF_RTO_MIN
		1008:               {kept: within(0, 0x7f)},                       // TCP_BPF_SOCK_OPS_CB_FLAGS
	},
}

// What Linux begins with, and what it allows, in bytes and microseconds.
const (
	sendBuffer, recvBuffer           = 16384, 131072 // of a TCP socket
	leastSendBuffer, leastRecvBuffer = 4608, 2304
	mostBuffer                       = 4 << 20
	mostLowWater                     = 16 << 20
	leastMSS, mostWindow             = 88, 32767
	tick                             = 1e6 / hz
	longestTimeout                   = 200000
	congestionMarks                  = 3 // of a type of service: for others to set
)

func plain(_ *exec.Socket, v int32) (int32, errno.Errno) { return v, 0 }

func flag(_ *exec.Socket, v int32) (int32, errno.Errno) { return int32(truth(v != 0)), 0 }

func within(least, most int32) func(*exec.Socket, int32) (int32, errno.Errno) {
	return func(_ *exec.Socket, v int32) (int32, errno.Errno) {
		if v < least || v > most {
			return 0, errno.EINVAL
		}
		return v, 0
	}
}

// buffer is twice what was asked for, as half is for Linux's own use.
func buffer(least int32) func(*exec.Socket, int32) (int32, errno.Errno) {
	return func(_ *exec.Socket, v int32) (int32, errno.Errno) {
		return max(2*int32(min(uint32(v), mostBuffer)), least), 0
	}
}

func lowWater(k *exec.Socket, v int32) (int32, errno.Errno) {
	switch {
	case v == 0:
		return 1, 0
	case v < 0:
		v = math.MaxInt32
	}
	if k.IsTCP() {
		v = min(v, mostLowWater)
	}
	return v, 0
}

// rehash is whether another way is taken where packets are lost; -1: as the system
// has it, which is so.
func rehash(_ *exec.Socket, v int32) (int32, errno.Errno) {
	if v < -1 || v > 1 {
		return 0, errno.EINVAL
	}
	return v & 1, 0
}

// typeOfService also chooses the priority of packets.
func typeOfService(k *exec.Socket, v int32) (int32, errno.Errno) {
	if k.IsTCP() {
		v &^= congestionMarks
	}
	k.Priority = [4]uint32{0, 2, 6, 4}[v>>3&3] // TC_PRIO_BESTEFFORT, _BULK, _INTERACTIVE, _INTERACTIVE_BULK
	return v & 0xff, 0
}

func trafficClass(k *exec.Socket, v int32) (int32, errno.Errno) {
	if v < -1 || v > 0xff {
		return 0, errno.EINVAL
	}
	v = max(v, 0)
	if k.IsTCP() {
		v &^= congestionMarks
	}
	return v, 0
}

// segment is the longest segment; 0: as the connection finds out.
func segment(k *exec.Socket, v int32) (int32, errno.Errno) {
	switch {
	case v == 0 && k.TCP.MSS != 0:
		return int32(k.TCP.MSS), 0
	case v == 0:
		return defaultMSS, 0
	case v < leastMSS || v > mostWindow:
		return 0, errno.EINVAL
	}
	return v, 0
}

func windowClamp(k *exec.Socket, v int32) (int32, errno.Errno) {
	const closed = 7
	switch {
	case v != 0:
		return max(v, leastRecvBuffer/2), 0
	case k.State != closed:
		return 0, errno.EINVAL
	}
	return 0, 0
}

// initialWindow can be chosen until data was sent, in segments.
func initialWindow(k *exec.Socket, v int32) (int32, errno.Errno) {
	if v <= 0 || k.TCP.DataSegsOut > 0 {
		return 0, errno.EINVAL
	}
	k.TCP.SndCwnd = uint32(v)
	return v, 0
}

func sendWindowClamp(k *exec.Socket, v int32) (int32, errno.Errno) {
	if v <= 0 {
		return 0, errno.EINVAL
	}
	k.TCP.SndSsthresh = uint32(v)
	return v, 0
}

// timeout is in whole ticks, of which it is two at least.
func timeout(_ *exec.Socket, v int32) (int32, errno.Errno) {
	v = (v + tick - 1) / tick * tick
	if v < 2*tick || v > longestTimeout {
		return 0, errno.EINVAL
	}
	return v, 0
}
