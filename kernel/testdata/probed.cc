// probed is a program to attach to: for each byte that it reads it calls what the byte
// names, and at the end of its input it ends. It is static and needs no library:
//
//	a  method and function, of C++ names
//	p  static probes whose arguments are everywhere where they may be
//	s  a probe at two places
//	g  a probe with a semaphore, if that says that anyone is attached; then it writes y, else n
//
// When it has done so it writes a line.

extern "C" {
unsigned short guarded_semaphore __attribute__((section(".probes"), used)) = 0;
}

// PROBE is a static probe as sys/sdt.h makes them: a nop, and a note that names it.
#define PROBE(name, semaphore, args, ...)                                                  \
	asm volatile("990:	nop\n"                                                         \
		     "	.pushsection .note.stapsdt,\"\",\"note\"\n"                        \
		     "	.balign 4\n"                                                       \
		     "	.4byte 992f-991f, 994f-993f, 3\n"                                  \
		     "991:	.asciz \"stapsdt\"\n"                                      \
		     "992:	.balign 4\n"                                               \
		     "993:	.8byte 990b, _.stapsdt.base, " semaphore "\n"              \
		     "	.asciz \"skep\", \"" name "\", \"" args "\"\n"                     \
		     "994:	.balign 4\n"                                               \
		     "	.popsection\n"                                                     \
		     "	.ifndef _.stapsdt.base\n"                                          \
		     "	.pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
		     "	.weak _.stapsdt.base\n"                                            \
		     "	.hidden _.stapsdt.base\n"                                          \
		     "_.stapsdt.base:	.space 1\n"                                        \
		     "	.popsection\n"                                                     \
		     "	.endif\n" ::__VA_ARGS__)

static long syscall3(long number, long a, long b, long c)
{
	long result;

	asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

namespace bees {

class Hive {
public:
	__attribute__((noinline)) int fill(int cells);
	__attribute__((noinline)) int fill(const char *name);
	int honey = 0;
};

int Hive::fill(int cells) { return honey += cells; }

int Hive::fill(const char *name) { return honey += name[0]; }

__attribute__((noinline)) int swarm(int n)
{
	asm volatile("");
	return n + 1;
}

}

extern "C" {
volatile int pots[] = {21, 0};
}

static void places()
{
	volatile short on_stack = -3;
	static const unsigned int table[] = {10, 11, 12, 13};
	long index = 2;

	PROBE("plain", "0", "-4@%0 8@%1 -1@%2", "i"(-5), "r"(0x1122334455667788), "r"((char)-7));
	PROBE("memory", "0", "-2@%0 4@(%1) 4@4(%1)", "m"(on_stack), "r"(table));
	PROBE("indexed", "0", "4@(%0,%1,4) 4@-4(%0,%1,4) 1@(%0,%1)", "r"(table), "r"(index));
	pots[1] = -22; // programs read no memory that nobody has touched
	PROBE("variable", "0", "-4@pots(%%rip) -4@4+pots(%%rip)");
	PROBE("variable", "0", "-4@pots(%%rip) -4@4+pots(%%rip)"); // which is another distance
	PROBE("none", "0", "");
}

static inline __attribute__((always_inline)) void several(int n)
{
	PROBE("several", "0", "-4@%0", "nor"(n));
}

int main()
{
	bees::Hive hive;
	char c;

	while (syscall3(0, 0, (long)&c, 1) == 1) {
		char answer[] = {c, '\n'};

		switch (c) {
		case 'a':
			hive.fill(1);
			hive.fill("wax");
			bees::swarm(2);
			break;
		case 'p':
			places();
			break;
		case 's':
			several(1);
			several(hive.honey + 2);
			break;
		case 'g':
			answer[0] = 'n';
			if (*(volatile unsigned short *)&guarded_semaphore) {
				answer[0] = 'y';
				PROBE("guarded", "guarded_semaphore", "1@%0", "r"(c));
			}
			break;
		}
		syscall3(1, 1, (long)answer, 2);
	}
	return 0;
}

asm(".globl _start\n_start: xor %ebp, %ebp\n and $-16, %rsp\n call main\n mov %eax, %edi\n mov $60, %eax\n syscall\n");
