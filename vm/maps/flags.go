package maps

// Flags of a map's creation (enum in linux/bpf.h).
const (
	FlagNoPrealloc   = 1 << 0
	FlagNoCommonLRU  = 1 << 1
	FlagNumaNode     = 1 << 2
	FlagRdonly       = 1 << 3
	FlagWronly       = 1 << 4
	FlagStackBuildID = 1 << 5
	FlagZeroSeed     = 1 << 6
	FlagRdonlyProg   = 1 << 7
	FlagWronlyProg   = 1 << 8
	FlagClone        = 1 << 9
	FlagMmapable     = 1 << 10
	FlagPreserve     = 1 << 11
	FlagInnerMap     = 1 << 12
	FlagLink         = 1 << 13
	FlagSegvOnFault  = 1 << 17
	FlagNoUserConv   = 1 << 18
)
