// Package memory builds the kernel's memory for programs that look into it: objects
// of the types that BTF describes, with values given by the names of fields, and
// regions that only helpers such as bpf_probe_read see.
//
//	m := memory.New(kernelTypes)
//	parent, err := m.Struct("task_struct", map[string]any{"pid": 1, "comm": "init"})
//	task, err := m.Struct("task_struct", map[string]any{"pid": 7, "real_parent": parent})
//	env.Objects, err = m.Objects()
//
// An object is at a real address, where programs find it by the pointers that
// lead there, as in Linux. Fields that nobody names are 0.
package memory
