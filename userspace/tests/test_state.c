// SPDX-License-Identifier: GPL-2.0-only
/* State of devices as blocks: what is saved is loaded, and nothing else is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "../vireo/state.h"
#include "../vireo/util.h"

struct thing {
	void *untouched;
	uint8_t byte;
	bool flag;
	bool flags[3];
	uint16_t words[4];
	uint32_t limit;
	uint64_t large;
	char text[6];
	unsigned int saves, loads;
};

static const struct state_field fields[] = {
	STATE_FIELD(struct thing, large),
	STATE_FIELD(struct thing, byte),
	STATE_FIELD(struct thing, flag),
	STATE_ARRAY(struct thing, flags),
	STATE_ARRAY(struct thing, words),
	STATE_FIELD(struct thing, limit),
	STATE_BYTES(struct thing, text),
	STATE_END
};

static void save(void *device)
{
	((struct thing *)device)->saves++;
}

static int check(const void *device, const void *loaded)
{
	const struct thing *now = device, *then = loaded;

	return then->limit > 100 || now->untouched != then->untouched ? -EINVAL : 0;
}

static void load(void *device)
{
	((struct thing *)device)->loads++;
}

static const struct device_state state = {
	.version = 3, .bytes = sizeof(struct thing), .fields = fields, .save = save, .check = check, .load = load,
};

static const struct thing example = {
	.byte = 7, .flag = true, .flags = { true, false, true }, .words = { 1, 2, 0xfffe, 4 }, .limit = 100,
	.large = 0x123456789abcdef0, .text = "hello",
};

static void test_round(void)
{
	struct state_buffer out = { 0 };
	struct thing from = example, other = { .limit = 5 }, to = { .untouched = &to, .byte = 1 };

	state_save(&out, "thing", 0, &state, &from);
	state_save(&out, "thing", 1, &state, &other);
	state_save(&out, "other", 0, &state, &other);
	is(out.error, 0, "three devices are saved");
	is(out.len, 3 * (48 + 31), "in as many bytes as their fields are long");
	is(from.saves, 1, "the device was told before");
	is(state_load(out.data, out.len, "thing", 0, &state, &to), 0, "one is loaded");
	ok(to.byte == 7 && to.flag && to.flags[0] && !to.flags[1] && to.flags[2] && to.words[2] == 0xfffe &&
	   to.limit == 100 && to.large == example.large && !memcmp(to.text, "hello", 6), "with all fields");
	ok(to.untouched == &to && !to.saves, "and nothing but the fields");
	is(to.loads, 1, "the device was told after");
	is(state_load(out.data, out.len, "thing", 1, &state, &to), 0, "another one is loaded");
	is(to.limit, 5, "it is another one");
	is(state_load(out.data, out.len, "thing", 2, &state, &to), -ENOENT, "one that is not there");
	is(state_load(out.data, out.len, "thin", 0, &state, &to), -ENOENT, "a name that is not there");
	is(state_load(NULL, 0, "thing", 0, &state, &to), -ENOENT, "from nothing");
	state_save(&out, "a name that is longer than 31 ch", 0, &state, &other);
	is(out.error, -ENAMETOOLONG, "a name that is too long");
	state_save(&out, "thing", 9, &state, &other);
	is(out.len, 3 * (48 + 31), "makes the rest no-ops");
	state_buffer_free(&out);
	ok(!out.data && !out.error, "a freed buffer is empty");
}

static void refused(const uint8_t *data, size_t len, int want, const char *what)
{
	struct thing to = { .untouched = &to, .byte = 1 }, before;

	memcpy(&before, &to, sizeof(to));
	is(state_load(data, len, "thing", 0, &state, &to), want, "%s", what);
	ok(!memcmp(&before, &to, sizeof(to)), "changes nothing");
}

static void test_refused(void)
{
	struct state_buffer out = { 0 };
	struct thing from = example;
	struct device_state newer = state;
	uint8_t block[48 + 31 + 3], twice[2 * (48 + 31)];
	size_t len = 48 + 31, i, bad = 0;

	state_save(&out, "thing", 0, &state, &from);
	for (i = 1; i < len; i++) {
		struct thing to = { .byte = 1 };
		uint8_t *exact = malloc(i);

		memcpy(exact, out.data, i);
		bad += state_load(exact, i, "thing", 0, &state, &to) != -EINVAL || to.byte != 1;
		free(exact);
	}
	is(bad, 0, "every shorter length is refused");
	memcpy(block, out.data, len);
	memset(block + len, 0, 3);
	refused(block, len + 3, -EINVAL, "rubbish after the block");
	block[0] ^= 1;
	refused(block, len, -EINVAL, "another magic");
	memcpy(block, out.data, len);
	block[4]--;
	refused(block, len - 1, -EINVAL, "fewer fields");
	block[4] += 2;
	refused(block, len + 1, -EINVAL, "more fields");
	block[4] = 47;
	refused(block, len, -EINVAL, "a block shorter than its header");
	memset(block + 4, 0xff, 4);
	refused(block, len, -EINVAL, "a block of 4 GiB");
	memset(block + 4, 0, 4);
	refused(block, len, -EINVAL, "a block of no length");
	memcpy(block, out.data, len);
	memset(block + 16, 'x', 32);
	refused(block, len, -EINVAL, "a name without an end");
	memcpy(block, out.data, len);
	block[48 + 9] = 2;
	refused(block, len, -EINVAL, "a flag that is 2");
	memcpy(block, out.data, len);
	block[48 + 12] = 0xff;
	refused(block, len, -EINVAL, "one of several flags that is 255");
	memcpy(block, out.data, len);
	block[48 + 21] = 101;
	refused(block, len, -EINVAL, "what the device's check refuses");
	memcpy(twice, out.data, len);
	memcpy(twice + len, out.data, len);
	refused(twice, 2 * len, -EINVAL, "a block that is there twice");
	state_buffer_free(&out);
	newer.version = 4;
	state_save(&out, "thing", 0, &newer, &from);
	refused(out.data, out.len, -EOPNOTSUPP, "another version");
	state_buffer_free(&out);
}

int main(void)
{
	test_round();
	test_refused();
	return tap_done();
}
