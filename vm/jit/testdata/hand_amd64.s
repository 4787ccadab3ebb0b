# The stubs that package abi asks for, and functions for the driver's tests:
#   first  gives R1
#   spin   goes round R1 times, which takes 1 each from the budget, and gives 0
#   helps  calls helper 0 with R1, 2, 3, 4, 5, then R1 - 1, and so on; it gives
#          the last call's result
#   tail   is bpf_tail_call with its own arguments; behind it R0 = 99
# clang -c -target x86_64
.intel_syntax noprefix
.text
enter:
  mov rsp,[r11+24]
  mov rdi,[r11+72]
  mov rsi,[r11+80]
  mov rdx,[r11+88]
  mov rcx,[r11+96]
  mov r8,[r11+104]
  mov r15,[r11+48]
  call [r11+40]
  mov r11,rsp
  and r11,-524288
  mov [r11+112],rax
  mov [r11+48],r15
  mov dword ptr [r11+56],0
  mov rsp,[r11]
  mov rbp,[r11+8]
  ret
resume:
  mov rsp,[r11+24]
  mov r15,[r11+48]
  mov rax,[r11+112]
  jmp [r11+32]
leave:
  mov rax,rsp
  and rax,-524288
  mov [rax+72],rdi
  mov [rax+80],rsi
  mov [rax+88],rdx
  mov [rax+96],rcx
  mov [rax+104],r8
  mov [rax+56],r10d
  mov [rax+64],r11
  mov [rax+32],r9
  mov [rax+48],r15
  mov [rax+24],rsp
  mov rsp,[rax]
  mov rbp,[rax+8]
  ret
first:
  mov rax,rdi
  ret
spin:
  mov rax,rdi
1: sub r15,1
  js 3f
2: sub rax,1
  jnz 1b
  ret
3: push rax
  mov r10d,6
  lea r9,[rip+4f]
  jmp leave
4: pop rax
  jmp 2b
helps:
  push rdi
1: mov rdi,[rsp]
  mov esi,2
  mov edx,3
  mov ecx,4
  mov r8d,5
  mov r10d,1
  mov r11d,0
  lea r9,[rip+2f]
  jmp leave
2: sub qword ptr [rsp],1
  jnz 1b
  add rsp,8
  ret
tail:
  mov r10d,3
  mov r11d,0
  lea r9,[rip+2f]
  jmp leave
2: mov rcx,rsp
  and rcx,-524288
  mov rdx,[rcx+64]
  test rdx,rdx
  jz 3f
  mov rdi,[rcx+72]
  jmp rdx
3: mov eax,99
  ret
