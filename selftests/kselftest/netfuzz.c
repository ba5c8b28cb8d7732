// SPDX-License-Identifier: GPL-2.0-only
/*
 * Broken requests to the family "vireo": all commands and attributes, all lengths, nests in nests, wrong ends. They are the
 * same each time, unless VT_SEED says another seed. The module must answer, and go on.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/genetlink.h>
#include "kselftest_harness.h"
#include "nl.h"

#define REQUESTS (getenv("VT_LONG") ? 200000 : 1000)

static u64 state;

static u32 random32(void)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return state >> 33;
}

/* Small numbers are more interesting. */
static u32 below(u32 n)
{
	return n ? random32() % n : 0;
}

static bool one_in(u32 n)
{
	return !below(n);
}

struct request {
	struct nlmsghdr head;
	struct genlmsghdr genl;
	u8 data[1024];
};

static u32 a_value(u32 vm)
{
	switch (below(4)) {
	case 0:
		return vm;
	case 1:
		return below(70);
	case 2:
		return ~0U - below(3);
	default:
		return random32();
	}
}

/* Attributes into @room bytes at @to; how many bytes that is. Not all of them say how long they are. */
static u32 attributes(u8 *to, u32 room, u32 vm, int depth)
{
	u32 used = 0, n = below(4) + one_in(20) * 30;

	while (n-- && room - used >= NLA_HDRLEN + 64) {
		struct nlattr *attr = (void *)(to + used);
		u32 length = one_in(3) ? below(48) : below(2) ? 4 : 8, i, word = a_value(vm);

		attr->nla_type = one_in(10) ? random32() : below(VIREO_NL_A_MAX + 4);
		if (one_in(2))
			attr->nla_type = below(2) ? VIREO_NL_A_VM : VIREO_NL_A_THRESHOLDS;
		if (depth && one_in(3)) {
			length = attributes(to + used + NLA_HDRLEN, room - used - NLA_HDRLEN, vm, depth - 1);
			if (one_in(2))
				attr->nla_type |= NLA_F_NESTED;
		} else {
			for (i = 0; i < length; i++)
				to[used + NLA_HDRLEN + i] = random32();
			memcpy(to + used + NLA_HDRLEN, &word, length < 4 ? length : 4);
			if (length == 8 && one_in(2))
				memset(to + used + NLA_HDRLEN + 4, 0, 4);
		}
		if (one_in(30))
			attr->nla_type |= NLA_F_NET_BYTEORDER;
		attr->nla_len = NLA_HDRLEN + length;
		used += NLA_ALIGN(attr->nla_len);
		if (one_in(12))
			attr->nla_len = one_in(2) ? below(8) : below(0x10000);
	}
	return used;
}

static u32 make(struct request *r, u32 vm)
{
	u32 length;

	memset(r, 0, sizeof(*r));
	r->head.nlmsg_type = vn_family();
	r->head.nlmsg_flags = NLM_F_REQUEST | (one_in(2) ? NLM_F_DUMP : NLM_F_ACK) | (one_in(8) ? random32() & 0xffff : 0);
	r->genl.cmd = one_in(10) ? random32() : below(VIREO_NL_CMD_MAX + 2);
	r->genl.version = one_in(10) ? random32() : VIREO_NL_VERSION;
	r->genl.reserved = one_in(50) ? random32() : 0;
	length = NLMSG_HDRLEN + GENL_HDRLEN + attributes(r->data, sizeof(r->data), vm, 3);
	if (one_in(10))
		length -= below(length - NLMSG_HDRLEN + 1);
	r->head.nlmsg_len = one_in(40) ? below(2 * length) : length;
	return length;
}

static void drain(int fd)
{
	static char buffer[32768];

	while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
}

FIXTURE(fuzz) {
	struct vt_vm vm;
	struct vt_vcpu cpu;
	u32 number;
	int ask;
};

GUEST(nothing, 64, "hlt");

FIXTURE_SETUP(fuzz)
{
	const char *seed = getenv("VT_SEED");

	close(vt_open_or_skip());
	state = seed ? strtoull(seed, NULL, 0) : 1;
	self->ask = vn_open(0);
	vt_guest64(&self->vm, &self->cpu, nothing, 0, 0);
	self->number = vn_number(self->ask, "test");
}

FIXTURE_TEARDOWN(fuzz)
{
	vt_vcpu_close(&self->cpu);
	vt_vm_close(&self->vm);
	close(self->ask);
}

TEST_F_TIMEOUT(fuzz, requests, 1200)
{
	const u32 n = REQUESTS;
	u32 i, answered = 0;
	struct vn_seen seen;
	struct request r;
	int fd = vn_open(0);

	for (i = 0; i < n; i++) {
		const u32 length = make(&r, self->number);
		struct pollfd p = { .fd = fd, .events = POLLIN };

		ASSERT_TRUE(send(fd, &r, length, 0) >= 0 || errno != ENOTSOCK);
		answered += poll(&p, 1, 0) == 1;
		/* Dumps stay unread now and then, or go with their socket. */
		if (!one_in(5))
			drain(fd);
		if (one_in(50)) {
			close(fd);
			fd = vn_open(0);
		}
	}
	TH_LOG("%u requests, %u had an answer", n, answered);
	EXPECT_GT(answered, n / 4);
	close(fd);
	ASSERT_EQ(0, vn_get_vm(self->ask, self->number, &seen));
	EXPECT_STREQ("test", seen.name);
	EXPECT_EQ(1, vn_dump(self->ask, VIREO_NL_CMD_GET_VM, 0, &seen, 1));
	EXPECT_EQ(0, vn_set_thresholds(self->ask, self->number, 0, 0, 0));
}

/* Each attribute of each request in each length up to 40 bytes, of zeros and of ones: nothing else than 0 or an error. */
TEST_F_TIMEOUT(fuzz, lengths, 120)
{
	static const u8 fill[40] = { [0 ... 39] = 0xff }, zero[40];
	u32 cmd, type, length;
	struct vn_seen seen;
	struct nl_msg *msg;
	int r, good = 0;

	for (cmd = 1; cmd <= VIREO_NL_CMD_SET_THRESHOLDS; cmd++) {
		for (type = 0; type <= VIREO_NL_A_MAX; type += type < 3 || type > VIREO_NL_A_MAX - 2 ? 1 : 3) {
			for (length = 0; length <= 40; length += length < 10 ? 1 : 6) {
				msg = vn_request(cmd, cmd == VIREO_NL_CMD_GET_STATS ? NLM_F_DUMP : 0);
				nla_put(msg, type, length, length & 1 ? fill : zero);
				r = vn_ask(self->ask, msg, NULL, NULL, NULL);
				ASSERT_LE(r, 0);
				good += !r;
			}
		}
	}
	EXPECT_EQ(0, good);
	EXPECT_EQ(0, vn_get_vm(self->ask, self->number, &seen));
}

TEST_HARNESS_MAIN
