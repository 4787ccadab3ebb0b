package kernel

// Feature is something that the kernel has for this process, or why it does not.
type Feature struct {
	Name string
	Has  bool
	Says string // what there is of it, or what it takes
}
