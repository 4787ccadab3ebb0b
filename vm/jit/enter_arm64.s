#include "go_asm.h"
#include "textflag.h"

// func enter(c *abi.Context, pc uintptr)
TEXT ·enter(SB), NOSPLIT|NOFRAME, $0-16
	MOVD c+0(FP), R16
	MOVD pc+8(FP), R0
	MOVD RSP, R1
	MOVD R1, const_offGoSP(R16)
	MOVD R29, const_offGoBP(R16)
	MOVD R30, const_offGoLR(R16)
	JMP  (R0)
