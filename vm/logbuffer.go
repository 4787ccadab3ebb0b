package vm

import (
	"fmt"

	"github.com/skep-ebpf/skep/internal/errno"
)

// logBuffer is where a command's log goes: a process's memory.
type logBuffer struct {
	level, size uint32
	addr        uint64
}

// check refuses what makes no sense.
func (l *logBuffer) check() error {
	const levels = 15 // BPF_LOG_LEVEL1, BPF_LOG_LEVEL2, BPF_LOG_STATS, BPF_LOG_FIXED
	if (l.addr != 0) != (l.size != 0) || l.addr != 0 && l.level == 0 || l.level&^levels != 0 || l.size > 1<<30-1 {
		return errno.EINVAL
	}
	return nil
}

// write puts into the log why a program was refused.
func (l *logBuffer) write(c *call, err error) {
	to := c.state.Env.Objects.Readable(l.addr, true)
	if l.size == 0 || len(to) == 0 || err == nil {
		return
	}
	to = to[:min(len(to), int(l.size))]
	to[copy(to[:len(to)-1], fmt.Sprintf("%+v", err))] = 0
}
