/* Runs PROG as often as each line of standard input says, and answers with its
 * last result and what the runs took, in nanoseconds. It gets memory, or a packet
 * where a file is named. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

extern uint64_t PROG(void *arg);

static uint8_t memory[32768];

struct packet {
	uint64_t data, data_end;
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv)
{
	struct packet packet;
	void *arg = memory;
	unsigned int n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1) {
		FILE *file = fopen(argv[1], "rb");

		if (!file)
			return 1;
		packet.data = (uintptr_t)memory;
		packet.data_end = packet.data + fread(memory, 1, sizeof(memory), file);
		fclose(file);
		arg = &packet;
	}
	while (scanf("%u", &n) == 1) {
		uint64_t start = now(), result = 0;

		for (unsigned int i = 0; i < n; i++)
			result = PROG(arg);
		printf("%u %llu\n", (uint32_t)result, (unsigned long long)(now() - start));
	}
	return 0;
}
