/* The suite's loops, in C. */
#include <stdint.h>

#define TURNS 10000

uint64_t alu(void)
{
	uint64_t sum = 0, x = 7;

	for (int i = TURNS; i != 0; i--) {
		x ^= x << 13;
		x ^= x >> 7;
		sum = (sum + x) * 0x9E3779B1ull;
	}
	return sum;
}

uint64_t mem(uint64_t *words)
{
	uint64_t sum = 0;

	for (int i = 0; i < 32768 / 8; i++) {
		words[i] += sum;
		sum ^= words[i];
	}
	return sum;
}

#define LIMIT 8192

uint64_t sieve(uint8_t *composite)
{
	uint64_t primes = 0;

	for (int i = 0; i < LIMIT; i += 8)
		*(uint64_t *)(composite + i) = 0;
	for (unsigned int i = 2; i < 91; i++) {
		if (composite[i])
			continue;
		for (unsigned int j = i * i; j < LIMIT; j += i)
			composite[j] = 1;
	}
	for (int i = 2; i < LIMIT; i++)
		primes += composite[i] ^ 1;
	return primes;
}

static uint64_t add(uint64_t a, uint64_t b)
{
	return (a + b) ^ 0x55;
}

uint64_t call(void)
{
	uint64_t sum = 0;

	for (uint64_t i = TURNS; i != 0; i--)
		sum = add(sum, i);
	return sum;
}

/* "div" is a function of C's library. */
uint64_t divide(void)
{
	uint64_t sum = 0;

	for (uint64_t i = TURNS; i != 0; i--) {
		uint64_t x = i * 1640531527;

		sum = (sum + x % 1009) ^ (x / i);
	}
	return sum;
}

uint64_t collatz(void)
{
	uint64_t steps = 0;

	for (uint64_t i = 200; i != 0; i--) {
		for (uint64_t x = i; x != 1; steps++)
			x = x & 1 ? 3 * x + 1 : x >> 1;
	}
	return steps;
}
