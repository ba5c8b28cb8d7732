// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of a machine without its memory, and its description: on the fake module, what is saved is
 * loaded, and what is not whole, or not of this machine, changes nothing.
 *
 * A struct machine_source gets the machine at the right moment: built, at rest, without a vCPU that has run.
 */
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

#include "at_rest.h"
#include "tap.h"
#include "../vireo/description.h"
#include "../vireo/machine.h"
#include "../vireo/machine_state.h"
#include "../vireo/option.h"

static void test_round_trip(struct machine *machine)
{
	struct state_buffer state = { 0 };
	char why[MACHINE_STATE_WHY];

	at_rest_mark(machine, 1);
	is(machine_state_save(machine, false, &state), 0, "a machine's state is saved");
	at_rest_mark(machine, 2);
	is(machine_state_load(machine, state.data, state.len, why), 0, "and loaded");
	ok(at_rest_is_marked(machine, 1), "what it was, it is again");
	ok(!machine->cpu[0].irq_ready, "but for what only the vCPU itself can tell");
	is(*at_rest_offset(0), 1ULL << 50, "its time-stamp counter is where it was");
	is(*at_rest_offset(1), 1ULL << 50, "and that of the other vCPU");

	/* Loaded by a machine that has come to rest at another time. */
	machine->rest_tsc += 1000000;
	is(machine_state_load(machine, state.data, state.len, why), 0, "loaded elsewhere");
	is(*at_rest_offset(0), (1ULL << 50) - 1000000, "it is the same by the host's counter there");
	machine->rest_tsc -= 1000000;
	at_rest_mark(machine, 1);
	is(machine->cpu[0].run->inject.vector, 1, "an interrupt that was on its way still is");
	state_buffer_free(&state);
}

/* Any byte that is another one: refused with nothing changed, or taken, where it is a value. */
static void test_altered(struct machine *machine)
{
	unsigned int refused = 0, changed = 0, silent = 0;
	struct state_buffer state = { 0 };
	char why[MACHINE_STATE_WHY];
	size_t i;

	at_rest_mark(machine, 1);
	is(machine_state_save(machine, false, &state), 0, "to be altered");
	for (i = 0; i < state.len; i++) {
		at_rest_mark(machine, 2);
		state.data[i] ^= 0xff;
		*why = '\0';
		if (machine_state_load(machine, state.data, state.len, why)) {
			refused++;
			changed += !at_rest_is_marked(machine, 2);
			silent += !*why;
		}
		state.data[i] ^= 0xff;
	}
	ok(refused > 1000, "altered bytes are refused where they can be seen: %u of %zu", refused, state.len);
	is(changed, 0, "with nothing changed");
	is(silent, 0, "and a reason");
	state_buffer_free(&state);
}

static void test_truncated(struct machine *machine)
{
	unsigned int taken = 0, changed = 0;
	struct state_buffer state = { 0 };
	char why[MACHINE_STATE_WHY];
	uint8_t *copy;
	size_t len;

	at_rest_mark(machine, 1);
	is(machine_state_save(machine, false, &state), 0, "to be cut");
	at_rest_mark(machine, 2);
	for (len = 0; len < state.len; len++) {
		/* A copy of just that length: who reads behind it is caught. */
		copy = malloc(len + !len);
		memcpy(copy, state.data, len);
		taken += !machine_state_load(machine, copy, len, why);
		changed += !at_rest_is_marked(machine, 2);
		free(copy);
	}
	is(taken, 0, "no part of a state is taken for one");
	is(changed, 0, "nothing has changed");
	state_append(&state, "more", 4);
	is(machine_state_load(machine, state.data, state.len, why), -EINVAL, "nor is one with something behind it");
	state_buffer_free(&state);
}

/* The first byte of the first section of @type: behind a header of 24 bytes. */
static uint8_t *section(struct state_buffer *state, uint32_t type)
{
	uint32_t got;
	uint64_t bytes;
	size_t at;

	for (at = 0; at < state->len; at += 24 + bytes) {
		memcpy(&got, state->data + at + 4, 4);
		memcpy(&bytes, state->data + at + 16, 8);
		if (got == type)
			return state->data + at + 24;
	}
	return NULL;
}

static void test_refused(struct machine *machine)
{
	struct state_buffer state = { 0 };
	char why[MACHINE_STATE_WHY];
	uint32_t khz;
	uint8_t *at;

	at_rest_mark(machine, 1);
	is(machine_state_save(machine, false, &state), 0, "to be refused");
	at_rest_mark(machine, 2);

	at = section(&state, 1);
	at[-24 + 8]++;
	is(machine_state_load(machine, state.data, state.len, why), -EOPNOTSUPP, "a newer version");
	ok(strstr(why, "version"), "says so: %s", why);
	at[-24 + 8]--;

	at[offsetof(struct vireo_cpuid_entry, ebx)] ^= 1;
	is(machine_state_load(machine, state.data, state.len, why), -ENODEV, "another vendor's processor");
	ok(strstr(why, "vendor"), "says so: %s", why);
	at[offsetof(struct vireo_cpuid_entry, ebx)] ^= 1;

	/* Of the second leaf, 1 */
	at[sizeof(struct vireo_cpuid_entry) + offsetof(struct vireo_cpuid_entry, ecx)] ^= 1;
	is(machine_state_load(machine, state.data, state.len, why), -ENODEV, "a feature that this host does not have");
	ok(strstr(why, "what this host's have not: pni"), "says so: %s", why);
	at[sizeof(struct vireo_cpuid_entry) + offsetof(struct vireo_cpuid_entry, ecx)] ^= 1;

	at = section(&state, 4) + 8;
	memcpy(&khz, at, 4);
	khz += khz / 1000;
	memcpy(at, &khz, 4);
	is(machine_state_load(machine, state.data, state.len, why), -ENODEV, "a counter of another frequency");
	ok(strstr(why, "kHz"), "says so: %s", why);
	khz = fake.info.tsc_khz + fake.info.tsc_khz / 10000;
	memcpy(at, &khz, 4);
	is(machine_state_check(machine, state.data, state.len, why), 0, "one that differs as measurements do is good");
	khz = fake.info.tsc_khz;
	memcpy(at, &khz, 4);

	/* The last vCPU's state is the last to be refused: all else has been loaded by then. */
	fake.refused_rip = 0x1001;
	is(machine_state_load(machine, state.data, state.len, why), -EINVAL, "registers that the module refuses");
	ok(strstr(why, "vCPU 1"), "says so: %s", why);
	fake.refused_rip = 0;
	ok(at_rest_is_marked(machine, 2), "what was loaded by then is as before");

	/* A vCPU that has run takes no other table, and needs none for what follows from its state. */
	fake.cpuid_error = -EBUSY;
	fake.vcpu[0].cpuid[1].ecx ^= 1U << 27;
	is(machine_state_load(machine, state.data, state.len, why), 0, "a vCPU with OSXSAVE set since");
	ok(at_rest_is_marked(machine, 1), "has its state");
	at_rest_mark(machine, 2);
	fake.vcpu[0].cpuid[1].ecx ^= 1U << 27 | 1U << 26;
	is(machine_state_load(machine, state.data, state.len, why), -EBUSY, "one without XSAVE");
	ok(strstr(why, "vCPU 0"), "is another one: %s", why);
	ok(at_rest_is_marked(machine, 2), "and has what it had");
	fake.vcpu[0].cpuid[1].ecx ^= 1U << 26;
	fake.cpuid_error = 0;

	section(&state, 2)[-24 + 12] = 5;
	is(machine_state_load(machine, state.data, state.len, why), -EINVAL, "a vCPU that there is not");
	ok(strstr(why, "other vCPUs"), "says so: %s", why);
	ok(at_rest_is_marked(machine, 2), "nothing has changed");
	state_buffer_free(&state);
}

static void test_list(struct machine *machine)
{
	struct state_buffer state = { 0 };
	json_t *list;

	is(machine_state_save(machine, false, &state), 0, "to be told of");
	list = machine_state_list(state.data, state.len);
	is(json_array_size(list), 4 * AT_REST_CPUS + 2, "a list of its parts");
	ok(json_array_size(json_object_get(json_array_get(list, 4 * AT_REST_CPUS + 1), "devices")) > 5, "with the devices");
	json_decref(list);
	ok(!machine_state_list(state.data, state.len - 1), "none of what is cut");
	state_buffer_free(&state);
}

/* What vCPU 0's counter said when the machine came to rest, and the host's when the tests began */
static uint64_t rested, began;

static int load(struct machine *machine, void *opaque)
{
	(void)opaque;
	began = __rdtsc();
	test_round_trip(machine);
	test_altered(machine);
	test_truncated(machine);
	test_refused(machine);
	test_list(machine);
	/* It goes on from there. */
	at_rest_mark(machine, 2);
	rested = machine->rest_tsc + *at_rest_offset(0);
	return 0;
}

/* vCPU 0 goes on where the state says, not where the kernel begins. */
static int guest(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	uint8_t *memory = (void *)(uintptr_t)fake.region[0].hva;
	uint32_t value = at_rest_regs(0)->rip == 0x2000 && !memory[0x100000] ? 0x20 : 0x10;
	uint64_t passed = __rdtsc() + *at_rest_offset(0) - rested;

	/* It has counted from when it went on, not what the tests took before. */
	if (passed >= __rdtsc() - began || *at_rest_offset(0) != *at_rest_offset(1))
		value = 0x11;

	(void)vcpu;
	run->exit_reason = VIREO_EXIT_IO;
	run->io.port = 0xf4;
	run->io.write = 1;
	run->io.unit = 4;
	run->io.count = 1;
	memcpy(run->io.data, &value, sizeof(value));
	return 0;
}

static void test_machine(void)
{
	const struct machine_source source = { load, NULL, true, false, NULL };

	fake_reset();
	fake.guest = guest;
	is(at_rest_run(&source, 64), 0x41, "it runs from what its source has given it");
	is(fake.open_fds, 0, "nothing stays open");
}

/* A machine with a CPU profile that has none of what leaf 1 has, and one MSR of two */
static int load_limited(struct machine *machine, void *opaque)
{
	struct state_buffer state = { 0 }, left = { 0 };
	struct vireo_msr *msr = (void *)fake.vcpu[0].block[VIREO_BLOCK_MSRS];
	json_t *description, *profile;
	char why[MACHINE_STATE_WHY];
	struct cpu_profile got;

	(void)opaque;
	is(machine->profile.phys_bits, 39, "a machine with a CPU profile has what it says");
	msr[0].index = 0x174;
	msr[1].index = 0x175;
	is(machine_state_save(machine, false, &state), 0, "its state for this host");
	is(machine_state_save(machine, true, &left), 0, "and for another one");
	is(state.len - left.len, AT_REST_CPUS * sizeof(*msr) * 2 - sizeof(*msr), "has no MSR that is not in the profile");
	is(machine_state_check(machine, left.data, left.len, why), 0, "but is good");
	section(&state, 1)[sizeof(struct vireo_cpuid_entry) + offsetof(struct vireo_cpuid_entry, edx)] |= 1;
	is(machine_state_load(machine, state.data, state.len, why), -ENODEV, "a feature that the profile does not have");
	ok(strstr(why, "what those of its CPU profile have not: fpu"), "says so: %s", why);

	description = description_make(machine->config, machine_cpu_profile(machine));
	profile = json_object_get(json_array_get(description, 0), "cpu-profile");
	is(cpu_profile_parse(profile, &got, why), 0, "its description has the profile itself");
	ok(!memcmp(&got, &machine->profile, sizeof(got)), "the same");
	json_decref(description);
	state_buffer_free(&state);
	state_buffer_free(&left);
	return EXIT_FAULT;
}

static void test_limited(void)
{
	const struct machine_source source = { load_limited, NULL, true, false, NULL };

	fake_reset();
	is(at_rest_run_with(&source, 64,
			    ", \"cpu-profile\": {\"vireo-cpu-profile\": 1, \"vendor\": \"\", \"physical_address_bits\": 39, \"tsc_khz\": 2000000,"
			    " \"msrs\": [\"0x174\"], \"cpuid\": ["
			    "{\"leaf\": \"0\", \"eax\": \"1\", \"ebx\": \"0\", \"ecx\": \"0\", \"edx\": \"0\"},"
			    "{\"leaf\": \"1\", \"eax\": \"1\", \"ebx\": \"0\", \"ecx\": \"0\", \"edx\": \"0\"},"
			    "{\"leaf\": \"0x80000008\", \"eax\": \"0x3027\", \"ebx\": \"0\", \"ecx\": \"0\", \"edx\": \"0\"}]}"),
	   EXIT_FAULT, "and ends");
}

static int load_nothing(struct machine *machine, void *opaque)
{
	(void)opaque;
	ok(machine->nr_cpus == AT_REST_CPUS && !fake.vcpu[0].runs, "the machine is there, and has not run");
	return EXIT_FAULT;
}

static void test_failure(void)
{
	const struct machine_source source = { load_nothing, NULL, true, false, NULL };

	fake_reset();
	is(at_rest_run(&source, 64), EXIT_FAULT, "a source that fails ends it");
	is(fake.vcpu[0].runs + fake.vcpu[1].runs, 0, "and no vCPU has run");
	is(fake.open_fds, 0, "nothing stays open");
}

static json_t *describe(const char *text)
{
	return json_loads(text, 0, NULL);
}

/* What a description makes is described by it, in the same order. */
static void test_description(void)
{
	static const char text[] =
		"[{\"kernel\": \"/k,ernel\", \"cmdline\": \"a \\\"b\\\" c\", \"memory\": \"98304K\", \"cpus\": 3, \"name\": \"web\","
		"  \"debug-exit\": \"none\", \"debug-console\": \"0xe9\", \"paravirt\": \"-pv-eoi\", \"initrd\": \"/in\","
		"  \"hugepages\": \"2M\", \"no-reboot\": true, \"stats\": true, \"console\": \"file:/tmp/x\","
		"  \"module\": [\"/m,text\"], \"fw-cfg\": [\"opt/x=/f\"],"
		"  \"disk\": [{\"path\": \"/a,b\", \"readonly\": \"on\"}, {\"path\": \"nbd://host/e\"}],"
		"  \"net\": [{\"kind\": \"user\"}]},"
		" {\"disk\": [{\"path\": \"/c\"}], \"rng\": [{}]}]";
	json_t *description = describe(text), *again;
	struct machine_config config;
	struct config_file file;
	char *got, *cwd = getcwd(NULL, 0);
	char want[512];

	is(description_parse(&config, &file, "test", description), 0, "a description is understood");
	again = description_make(&config, NULL);
	got = json_dumps(again, JSON_INDENT(1));
	ok(json_equal(again, description), "and made again: %s", got);
	free(got);
	is(config.nr_devices, 5, "all devices are there");
	ok(!strcmp(config.device[2].option->name, "net") && !strcmp(config.device[3].option->name, "disk"),
	   "in their order");
	json_decref(again);
	config.kernel = "some/where";
	again = description_make(&config, NULL);
	snprintf(want, sizeof(want), "%s/some/where", cwd);
	ok(!strcmp(json_string_value(json_object_get(json_array_get(again, 0), "kernel")), want),
	   "paths are absolute");
	free(cwd);
	json_decref(again);
	description_free(&config, &file);
	json_decref(description);
}

static void test_bad_description(void)
{
	static const char *const bad[] = {
		"{}", "[1]", "[{}]", "[{\"kernel\": 1.5}]", "[{\"kernel\": \"x\", \"config\": \"y\"}]",
		"[{\"kernel\": \"x\"}, {\"cpus\": 0}]", "[{\"kernel\": \"x\"}, {\"unknown\": true}]",
		"[{\"kernel\": \"x\", \"disk\": [[1]]}]",
	};
	struct machine_config config;
	struct config_file file;
	json_t *description;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		description = describe(bad[i]);
		is(description_parse(&config, &file, "test", description), EXIT_USAGE, "not a description: %s", bad[i]);
		description_free(&config, &file);
		json_decref(description);
	}
}

int main(void)
{
	at_rest_begin();
	test_description();
	test_bad_description();
	test_machine();
	test_limited();
	test_failure();
	at_rest_end();
	return tap_done();
}
