#include "go_asm.h"
#include "textflag.h"

// func enter(c *abi.Context, pc uintptr)
TEXT ·enter(SB), NOSPLIT|NOFRAME, $0-16
	MOVQ c+0(FP), R11
	MOVQ pc+8(FP), AX
	MOVQ SP, const_offGoSP(R11)
	MOVQ BP, const_offGoBP(R11)
	JMP  AX
