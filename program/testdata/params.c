/* Parameters of every type that can be set. */
#include "fixture.h"

enum mode { MODE_OFF, MODE_ON = 5, MODE_DEEP = -1 };
struct range { __u16 from, to; };
struct in6_addr { union { __u8 u6_addr8[16]; __u32 u6_addr32[4]; }; };

const volatile __u8 byte = 1;
const volatile __s32 number = -2;
const volatile __u64 wide = 3;
const volatile bool flag = 1;
const volatile enum mode mode = MODE_ON;
const volatile __be16 port = 0;
const volatile __u32 addr = 0;
const volatile struct in6_addr addr6 = {};
const volatile __u8 mac[6] = {};
const volatile char ifname[16] = "eth0";
const volatile __u16 ports[4] = { 80 };
const volatile struct range range = { 1, 2 };
const volatile struct { struct range r[2]; int x; } nested = {};
const char fixed[4] = "abc";
int plain = 1;

SEC("xdp") int use(struct xdp_md *ctx)
{
	int i = ctx->rx_queue_index & 1;

	return byte + number + wide + flag + mode + port + addr + addr6.u6_addr32[i] + mac[i] +
	       ifname[i] + ports[i] + range.to + nested.r[i].to + nested.x + fixed[i] + plain;
}
