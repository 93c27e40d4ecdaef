#include "textflag.h"

// func read() uint64
//
// The fences keep the processor from reading the counter before or after its turn.
TEXT ·read(SB), NOSPLIT, $0-8
	LFENCE
	RDTSC
	LFENCE
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+0(FP)
	RET
