//go:build unix

#include "textflag.h"

// LINE is the least size of a cache line that arm64 allows.
#define LINE $16

// func flushCaches(p unsafe.Pointer, n uintptr)
TEXT ·flushCaches(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD n+8(FP), R1
	ADD  R0, R1, R1
	MOVD R0, R2

clean:
	DC   CVAU, R2
	ADD  LINE, R2
	CMP  R1, R2
	BLO  clean
	DSB  $11         // ISH: all data is clean

invalidate:
	WORD $0xd50b7520 // IC IVAU, R0: the assembler lacks it
	ADD  LINE, R0
	CMP  R1, R0
	BLO  invalidate
	DSB  $11
	ISB  $15
	RET
