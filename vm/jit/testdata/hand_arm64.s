// The stubs that package abi asks for, and functions for the driver's tests:
//   first  gives R1
//   spin   goes round R1 times, which takes 1 each from the budget, and gives 0
//   helps  calls helper 0 with R1, 2, 3, 4, 5, then R1 - 1, and so on; it gives
//          the last call's result
//   tail   is bpf_tail_call with its own arguments; behind it R0 = 99
// clang -c -target aarch64
.text
enter:
  ldr x12,[x16,#24]
  mov sp,x12
  ldp x1,x2,[x16,#72]
  ldp x3,x4,[x16,#88]
  ldr x5,[x16,#104]
  ldr x27,[x16,#48]
  ldr x12,[x16,#40]
  blr x12
  mov x12,sp
  and x12,x12,#0xfffffffffff80000
  str x0,[x12,#112]
  str x27,[x12,#48]
  str wzr,[x12,#56]
go:
  ldr x13,[x12]
  ldp x29,x30,[x12,#8]
  mov sp,x13
  ret
resume:
  ldr x12,[x16,#24]
  mov sp,x12
  ldr x27,[x16,#48]
  ldr x0,[x16,#112]
  ldr x12,[x16,#32]
  br x12
leave:
  mov x12,sp
  and x12,x12,#0xfffffffffff80000
  stp x1,x2,[x12,#72]
  stp x3,x4,[x12,#88]
  str x5,[x12,#104]
  str x27,[x12,#48]
  mov x13,sp
  str x13,[x12,#24]
  str x15,[x12,#32]
  str w16,[x12,#56]
  str x17,[x12,#64]
  b go
first:
  mov x0,x1
  ret
spin:
  mov x0,x1
1: subs x27,x27,#1
  b.mi 3f
2: subs x0,x0,#1
  b.ne 1b
  ret
3: stp x0,x30,[sp,#-16]!
  mov x16,#6
  mov x17,#0
  adr x15,4f
  b leave
4: ldp x0,x30,[sp],#16
  b 2b
helps:
  stp x1,x30,[sp,#-16]!
1: ldr x1,[sp]
  mov x2,#2
  mov x3,#3
  mov x4,#4
  mov x5,#5
  mov x16,#1
  mov x17,#0
  adr x15,2f
  b leave
2: ldr x1,[sp]
  subs x1,x1,#1
  str x1,[sp]
  b.ne 1b
  ldp x1,x30,[sp],#16
  ret
tail:
  stp x1,x30,[sp,#-16]!
  mov x16,#3
  mov x17,#0
  adr x15,2f
  b leave
2: mov x12,sp
  and x12,x12,#0xfffffffffff80000
  ldr x13,[x12,#64]
  ldr x1,[x12,#72]
  ldr x30,[sp,#8]
  add sp,sp,#16
  cbz x13,3f
  br x13
3: mov x0,#99
  ret
