// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state is a sequence of sections, each a header and bytes that somebody else understands: the kernel's state
 * blocks, CPUID tables, the devices' blocks.
 *
 * Time: all clocks go on where they stood when the machine came to rest. The time-stamp counters are held against
 * the host's at that moment, here and there, so that those that were alike are alike.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "machine_state.h"

#define MAGIC "VMst"
/* As far as two frequencies may be apart to count as one: what measuring them is off by. */
#define TSC_PPM_MAX 250
#define CPUID_1_ECX_OSXSAVE	(1U << 27)
#define CPUID_1_EDX_APIC	(1U << 9)	/* AMD repeats it in 0x80000001 */

enum section_type {
	SECTION_CPUID = 1,	/* struct vireo_cpuid_entry[], for each vCPU */
	SECTION_VCPU,		/* state blocks CPU_BLOCKS, for each vCPU */
	SECTION_INJECT,		/* struct vireo_event: what waits to be injected, for each vCPU */
	SECTION_TSC,		/* struct tsc, for each vCPU */
	SECTION_CLOCK,		/* state block of the VM */
	SECTION_DEVICES,	/* see board_save() */
	SECTION_NR
};

/**
 * struct section_header - what a section begins with
 * @magic: MAGIC
 * @type: &enum section_type
 * @version: MACHINE_STATE_VERSION
 * @index: vCPU, else 0
 * @bytes: of what follows
 */
struct section_header {
	char magic[4];
	uint32_t type;
	uint32_t version;
	uint32_t index;
	uint64_t bytes;
};

/**
 * struct tsc - a vCPU's time-stamp counter
 * @value: when the machine came to rest
 * @khz: its frequency
 * @pad: 0
 */
struct tsc {
	uint64_t value;
	uint32_t khz;
	uint32_t pad;
};

_Static_assert(sizeof(struct section_header) == 24, "a section's header");
_Static_assert(sizeof(struct tsc) == 16, "a section's content");

static const char *const names[SECTION_NR] = {
	[SECTION_CPUID] = "cpuid",   [SECTION_VCPU] = "vcpu",	[SECTION_INJECT] = "inject",
	[SECTION_TSC] = "tsc",	     [SECTION_CLOCK] = "clock", [SECTION_DEVICES] = "devices",
};

/* A section that was found: bytes of the buffer, without alignment. */
struct section {
	const uint8_t *data;
	size_t len;
};

static bool per_cpu(uint32_t type)
{
	return type < SECTION_CLOCK;
}

/* ---- Saving ---- */

static void add(struct state_buffer *out, uint32_t type, unsigned int index, const void *data, size_t len)
{
	struct section_header header = { .type = type, .version = MACHINE_STATE_VERSION, .index = index, .bytes = len };

	memcpy(header.magic, MAGIC, sizeof(header.magic));
	state_append(out, &header, sizeof(header));
	state_append(out, data, len);
}

static int save_tsc(struct cpu *cpu, unsigned int index, uint64_t host, struct state_buffer *out)
{
	struct vireo_blocks blocks = VIREO_BLOCKS_INIT;
	const struct vireo_tsc_offset *offset;
	const struct vireo_tsc *now;
	struct tsc tsc = { 0 };
	int r;

	r = vireo_vcpu_get_state(cpu->vcpu, 1ULL << VIREO_BLOCK_TSC | 1ULL << VIREO_BLOCK_TSC_OFFSET, &blocks);
	if (!r) {
		now = vireo_block_payload(vireo_blocks_find(&blocks, VIREO_BLOCK_TSC), sizeof(*now));
		offset = vireo_block_payload(vireo_blocks_find(&blocks, VIREO_BLOCK_TSC_OFFSET), sizeof(*offset));
		if (now && offset) {
			tsc.value = host + offset->offset;
			tsc.khz = now->khz;
			add(out, SECTION_TSC, index, &tsc, sizeof(tsc));
		} else {
			r = -EPROTO;
		}
	}
	vireo_blocks_free(&blocks);
	return r;
}

/* A block behind others, of its version */
static void *add_block(struct vireo_blocks *blocks, const struct vireo_block *block)
{
	struct vireo_block *added = vireo_blocks_add(blocks, block->type, block + 1, block->len);

	if (added)
		added[-1].version = block->version;
	return added;
}

/* The same blocks, with those MSRs only that are in a profile */
static int drop_msrs(struct vireo_blocks *blocks, const struct cpu_profile *profile)
{
	struct vireo_blocks kept = VIREO_BLOCKS_INIT;
	struct vireo_block *block = NULL;
	struct vireo_msr *msr;
	unsigned int i, n;

	while ((block = vireo_blocks_next(blocks, block))) {
		if (block->type == VIREO_BLOCK_MSRS) {
			msr = vireo_block_payload(block, 0);
			for (i = n = 0; i < block->len / sizeof(*msr); i++)
				if (cpu_profile_has_msr(profile, msr[i].index))
					msr[n++] = msr[i];
			block->len = n * (uint32_t)sizeof(*msr);
			add_block(&kept, block);
			/* Where the next block is */
			block->len = i * (uint32_t)sizeof(*msr);
		} else {
			add_block(&kept, block);
		}
	}
	vireo_blocks_free(blocks);
	*blocks = kept;
	return kept.error;
}

static int save_cpu(struct cpu *cpu, unsigned int index, uint64_t host, bool leaves, struct state_buffer *out)
{
	const struct cpu_profile *profile = leaves ? machine_cpu_profile(cpu->machine) : NULL;
	uint64_t types = CPU_BLOCKS & vireo_get_info(cpu->machine->vireo)->blocks;
	struct vireo_cpuid_entry entries[VIREO_MAX_CPUID];
	struct vireo_blocks blocks = VIREO_BLOCKS_INIT;
	unsigned int count = VIREO_MAX_CPUID;
	struct vireo_event inject;
	int r;

	r = vireo_vcpu_get_cpuid(cpu->vcpu, entries, &count);
	if (r)
		return r;
	add(out, SECTION_CPUID, index, entries, count * sizeof(entries[0]));
	r = vireo_vcpu_get_state(cpu->vcpu, types, &blocks);
	if (!r && profile)
		r = drop_msrs(&blocks, profile);
	if (!r) {
		add(out, SECTION_VCPU, index, blocks.data, blocks.len);
		inject = cpu->run->inject.valid ? cpu->run->inject : (struct vireo_event){ 0 };
		add(out, SECTION_INJECT, index, &inject, sizeof(inject));
		r = save_tsc(cpu, index, host, out);
	}
	vireo_blocks_free(&blocks);
	return r;
}

/**
 * machine_state_save() - take the state of a machine
 * @machine: the machine, at rest
 * @leaves: it may be loaded on another host, which has no more than the machine's CPU profile, if it has one
 * @out: the state is appended; to be freed by the caller in any case
 *
 * Return: 0; -EBUSY (board_busy() tells why), or another negative errno.
 */
int machine_state_save(struct machine *machine, bool leaves, struct state_buffer *out)
{
	struct state_buffer devices = { 0 };
	uint64_t host = machine->rest_tsc;
	unsigned int i;
	bool busy;
	int r;

	board_lock(&machine->board);
	busy = board_busy(&machine->board);
	board_unlock(&machine->board);
	r = busy ? -EBUSY : 0;
	for (i = 0; i < machine->nr_cpus && !r; i++)
		r = save_cpu(&machine->cpu[i], i, host, leaves, out);
	add(out, SECTION_CLOCK, 0, machine->clock.data, machine->clock.len);
	board_lock(&machine->board);
	board_save(&machine->board, &devices);
	board_unlock(&machine->board);
	add(out, SECTION_DEVICES, 0, devices.data, devices.len);
	if (!r)
		r = devices.error ? devices.error : out->error;
	state_buffer_free(&devices);
	return r;
}

/* ---- Checking ---- */

/* The header at *at, checked in itself, and *at behind the section; -ENODATA at the end. */
static int next_section(const uint8_t *data, size_t len, size_t *at, struct section_header *header,
			struct section *section)
{
	if (*at == len)
		return -ENODATA;
	if (len - *at < sizeof(*header))
		return -EINVAL;
	memcpy(header, data + *at, sizeof(*header));
	*at += sizeof(*header);
	if (memcmp(header->magic, MAGIC, sizeof(header->magic)))
		return -EINVAL;
	/* What is behind it may have another form. */
	if (header->version != MACHINE_STATE_VERSION)
		return -EOPNOTSUPP;
	if (!header->type || header->type >= SECTION_NR)
		return -EOPNOTSUPP;
	if (header->bytes > len - *at || header->index >= (per_cpu(header->type) ? VIREO_MAX_VCPUS : 1))
		return -EINVAL;
	*section = (struct section){ data + *at, (size_t)header->bytes };
	*at += section->len;
	return 0;
}

/* The structure is known to be good. */
static struct section find(const uint8_t *data, size_t len, uint32_t type, unsigned int index)
{
	struct section_header header;
	struct section section;
	size_t at = 0;

	while (!next_section(data, len, &at, &header, &section))
		if (header.type == type && header.index == index)
			return section;
	return (struct section){ NULL, 0 };
}

static int no(char *why, int error, const char *text)
{
	snprintf(why, MACHINE_STATE_WHY, "%s", text);
	return error;
}

/* Each section once, and those of all vCPUs that there are: no more, no fewer. */
static int check_sections(const struct machine *machine, const uint8_t *data, size_t len, char *why)
{
	uint64_t seen[SECTION_NR] = { 0 }, cpus;
	struct section_header header;
	struct section section;
	size_t at = 0;
	uint32_t type;
	int r;

	_Static_assert(VIREO_MAX_VCPUS <= 64, "a bit for each vCPU");
	while (!(r = next_section(data, len, &at, &header, &section))) {
		if (seen[header.type] & 1ULL << header.index)
			return no(why, -EINVAL, "the state has a part twice");
		seen[header.type] |= 1ULL << header.index;
	}
	if (r == -EOPNOTSUPP)
		return no(why, r, "the state is of another version of vireo");
	if (r != -ENODATA)
		return no(why, r, "the state is malformed");
	cpus = machine->nr_cpus == 64 ? ~0ULL : (1ULL << machine->nr_cpus) - 1;
	for (type = 1; type < SECTION_NR; type++)
		if (seen[type] != (per_cpu(type) ? cpus : 1))
			return no(why, -EINVAL, "the state is that of a machine with other vCPUs");
	return 0;
}

/* Blocks that fill the section exactly. To be freed in any case. */
static int read_blocks(struct section section, struct vireo_blocks *blocks)
{
	struct vireo_block *block = NULL;
	size_t end = 0;

	*blocks = (struct vireo_blocks)VIREO_BLOCKS_INIT;
	if (!section.len || section.len > UINT32_MAX)
		return -EINVAL;
	blocks->data = malloc(section.len);
	if (!blocks->data)
		return -ENOMEM;
	memcpy(blocks->data, section.data, section.len);
	blocks->len = (uint32_t)section.len;
	blocks->room = blocks->len;
	while ((block = vireo_blocks_next(blocks, block)))
		end = (size_t)((uint8_t *)block - blocks->data) + ALIGN_UP(sizeof(*block) + block->len, 8);
	return end == section.len ? 0 : -EINVAL;
}

/* What its processors have, this host's have, and the machine's own CPU profile, if there is one. */
static int check_cpuid(struct machine *machine, struct section section, char *why)
{
	struct vireo_cpuid_entry host[VIREO_MAX_CPUID], saved[VIREO_MAX_CPUID];
	struct cpu_table table = { saved, (unsigned int)(section.len / sizeof(saved[0])) };
	struct cpu_table ours = { host, VIREO_MAX_CPUID };
	int r;

	if (!section.len || section.len > sizeof(saved) || section.len % sizeof(saved[0]))
		return no(why, -EINVAL, "the state has a malformed CPUID table");
	memcpy(saved, section.data, section.len);
	if (!cpu_leaf(table, 0, 0))
		return no(why, -EINVAL, "the state has a CPUID table without a vendor");
	r = vireo_supported_cpuid(machine->vireo, host, &ours.nr);
	if (r)
		return no(why, r, "the module does not tell its CPUID table");
	r = cpu_check(table, ours, "this host's", why, MACHINE_STATE_WHY);
	if (!r && machine_cpu_profile(machine))
		r = cpu_check(table, cpu_profile_table(&machine->profile), "those of its CPU profile", why,
			      MACHINE_STATE_WHY);
	return r ? -ENODEV : 0;
}

/**
 * machine_same_tsc() - whether two time-stamp counters have one frequency
 * @a: of one, kHz
 * @b: of the other
 *
 * Return: they have, as far as it can be measured.
 */
bool machine_same_tsc(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) * 1000000 <= a * TSC_PPM_MAX;
}

static int check_tsc(struct machine *machine, struct section section, char *why)
{
	uint64_t here = vireo_get_info(machine->vireo)->tsc_khz, there;
	struct tsc tsc;

	if (section.len != sizeof(tsc))
		return no(why, -EINVAL, "the state has a malformed time-stamp counter");
	memcpy(&tsc, section.data, sizeof(tsc));
	there = tsc.khz;
	if (tsc.pad)
		return no(why, -EINVAL, "the state has a malformed time-stamp counter");
	if (!machine_same_tsc(here, there)) {
		snprintf(why, MACHINE_STATE_WHY, "the machine's time-stamp counter has %llu kHz, this host's %llu",
			 (unsigned long long)there, (unsigned long long)here);
		return -ENODEV;
	}
	return 0;
}

/* What the launcher itself puts there: an interrupt of the 8259. */
static int check_inject(struct section section, char *why)
{
	static const struct vireo_event none;
	struct vireo_event event, expected;

	if (section.len == sizeof(event)) {
		memcpy(&event, section.data, sizeof(event));
		expected = (struct vireo_event){ .valid = 1, .type = VIREO_EVENT_IRQ, .vector = event.vector };
		if (!memcmp(&event, &none, sizeof(event)) || !memcmp(&event, &expected, sizeof(event)))
			return 0;
	}
	return no(why, -EINVAL, "the state has a malformed interrupt");
}

static int check_blocks(struct section section, uint64_t types, char *why)
{
	struct vireo_blocks blocks;
	struct vireo_block *block = NULL;
	uint64_t seen = 0;
	int r;

	r = read_blocks(section, &blocks);
	while (!r && (block = vireo_blocks_next(&blocks, block))) {
		if (block->type > 63 || !(types >> block->type & 1))
			r = -EINVAL;
		else
			seen |= 1ULL << block->type;
	}
	vireo_blocks_free(&blocks);
	if (r == -ENOMEM)
		return no(why, r, "there is no memory");
	if (r || seen != types)
		return no(why, -EINVAL, "the state of a vCPU, or the clock, is malformed or not complete");
	return 0;
}

/**
 * machine_state_check() - whether a state is good and belongs to a machine like this one
 * @machine: the machine
 * @data: what machine_state_save() has written, or somebody else
 * @len: its length
 * @why: MACHINE_STATE_WHY bytes for a sentence
 *
 * The values of registers are the kernel's to judge, those of devices the devices': they do that when it is loaded.
 *
 * Return: 0; -EINVAL (malformed, or of another machine), -EOPNOTSUPP (another version), -ENODEV (not on this host), -ENOMEM.
 */
int machine_state_check(struct machine *machine, const void *data, size_t len, char *why)
{
	uint64_t types = CPU_BLOCKS & vireo_get_info(machine->vireo)->blocks;
	unsigned int i;
	int r;

	r = check_sections(machine, data, len, why);
	for (i = 0; i < machine->nr_cpus && !r; i++) {
		r = check_cpuid(machine, find(data, len, SECTION_CPUID, i), why);
		if (!r)
			r = check_tsc(machine, find(data, len, SECTION_TSC, i), why);
		if (!r)
			r = check_inject(find(data, len, SECTION_INJECT, i), why);
		if (!r)
			r = check_blocks(find(data, len, SECTION_VCPU, i), types, why);
	}
	if (!r)
		r = check_blocks(find(data, len, SECTION_CLOCK, 0), 1ULL << VIREO_BLOCK_CLOCK, why);
	if (!r && state_count(find(data, len, SECTION_DEVICES, 0).data, find(data, len, SECTION_DEVICES, 0).len) < 0)
		r = no(why, -EINVAL, "the state of the devices is malformed");
	return r;
}

/* ---- Loading ---- */

/* Without what the module makes follow from the vCPU's state: OSXSAVE, whether there is an APIC, and XSAVE's size for this XCR0. */
static void settle(struct vireo_cpuid_entry *entries, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct vireo_cpuid_entry *entry = &entries[i];

		if (entry->leaf == 1)
			entry->ecx &= ~CPUID_1_ECX_OSXSAVE;
		if (entry->leaf == 1 || entry->leaf == 0x80000001)
			entry->edx &= ~CPUID_1_EDX_APIC;
		if (entry->leaf == 0xd && !entry->subleaf)
			entry->ebx = 0;
	}
}

/* A table can be given only until the vCPU runs; what is the same need not be given. */
static int load_cpuid(struct cpu *cpu, struct section section)
{
	struct vireo_cpuid_entry now[VIREO_MAX_CPUID], saved[VIREO_MAX_CPUID];
	unsigned int count = VIREO_MAX_CPUID;
	int r;

	r = vireo_vcpu_get_cpuid(cpu->vcpu, now, &count);
	if (r)
		return r;
	if (count * sizeof(now[0]) == section.len) {
		memcpy(saved, section.data, section.len);
		settle(now, count);
		settle(saved, count);
		if (!memcmp(now, saved, section.len))
			return 0;
	}
	memcpy(saved, section.data, section.len);
	r = vireo_vcpu_set_cpuid(cpu->vcpu, saved, (unsigned int)(section.len / sizeof(saved[0])));
	return r ? r : cpu_read_initial(cpu);
}

/* The counter before the local APIC, whose timer may be compared with it. */
static int load_blocks(struct cpu *cpu, struct section section, struct section tsc_section, uint64_t host)
{
	struct vireo_blocks saved, blocks = VIREO_BLOCKS_INIT;
	struct vireo_block *block = NULL;
	struct vireo_tsc_offset offset;
	struct tsc tsc;
	int r;

	memcpy(&tsc, tsc_section.data, sizeof(tsc));
	offset.offset = tsc.value - host;
	vireo_blocks_add(&blocks, VIREO_BLOCK_TSC_OFFSET, &offset, sizeof(offset));
	r = read_blocks(section, &saved);
	/* The kernel shall look at the versions, too. */
	while (!r && (block = vireo_blocks_next(&saved, block)))
		add_block(&blocks, block);
	if (!r)
		r = vireo_vcpu_set_state(cpu->vcpu, &blocks);
	vireo_blocks_free(&saved);
	vireo_blocks_free(&blocks);
	return r;
}

static int load_cpu(struct cpu *cpu, unsigned int index, const uint8_t *data, size_t len, uint64_t host, char *why)
{
	int r;

	r = load_cpuid(cpu, find(data, len, SECTION_CPUID, index));
	if (r) {
		snprintf(why, MACHINE_STATE_WHY,
			 "vCPU %u has features that this processor, or the module, does not give it (%s)",
			 index, strerror(-r));
		return r;
	}
	r = load_blocks(cpu, find(data, len, SECTION_VCPU, index), find(data, len, SECTION_TSC, index), host);
	if (r) {
		snprintf(why, MACHINE_STATE_WHY, "the module refuses the state of vCPU %u: %s", index,
			 strerror(-r));
		return r;
	}
	memcpy(&cpu->run->inject, find(data, len, SECTION_INJECT, index).data, sizeof(cpu->run->inject));
	cpu->run->want_irq_window = 0;
	/* Whether it would take one now, it says at its next exit. */
	cpu->irq_ready = false;
	cpu->error = 0;
	return 0;
}

static int load_devices(struct machine *machine, struct section section, char *why)
{
	int r;

	board_lock(&machine->board);
	r = board_load(&machine->board, section.data, section.len);
	board_unlock(&machine->board);
	switch (r) {
	case 0:
		return 0;
	case -ENOENT:
		return no(why, r, "the machine has a device of which the state says nothing");
	case -ENODEV:
		return no(why, r, "the state has a device that the machine does not have");
	case -EOPNOTSUPP:
		return no(why, r, "the state of a device is of another version of vireo");
	case -ENOMEM:
		return no(why, r, "there is no memory");
	default:
		return no(why, r, "the state of a device is one that it cannot have");
	}
}

static int load(struct machine *machine, const void *data, size_t len, char *why)
{
	struct vireo_blocks clock;
	uint64_t host = machine->rest_tsc;
	unsigned int i;
	int r;

	r = read_blocks(find(data, len, SECTION_CLOCK, 0), &clock);
	if (r) {
		vireo_blocks_free(&clock);
		return no(why, r, "there is no memory");
	}
	r = load_devices(machine, find(data, len, SECTION_DEVICES, 0), why);
	for (i = 0; i < machine->nr_cpus && !r; i++)
		r = load_cpu(&machine->cpu[i], i, data, len, host, why);
	if (r) {
		vireo_blocks_free(&clock);
		return r;
	}
	/* Set when the machine goes on, before any vCPU does. */
	vireo_blocks_free(&machine->clock);
	machine->clock = clock;
	return 0;
}

/**
 * machine_state_load() - give a machine a state
 * @machine: the machine, at rest; its memory is the caller's business
 * @data: what machine_state_save() has written, or somebody else
 * @len: its length
 * @why: MACHINE_STATE_WHY bytes for a sentence
 *
 * Return: 0; or, with nothing changed, what machine_state_check() says; -ENOENT, -ENODEV (other devices), -EOPNOTSUPP (of another
 * version), or the kernel's errno for a vCPU's state.
 */
int machine_state_load(struct machine *machine, const void *data, size_t len, char *why)
{
	struct state_buffer before = { 0 };
	char ignored[MACHINE_STATE_WHY];
	int r;

	r = machine_state_check(machine, data, len, why);
	if (r)
		return r;
	r = machine_state_save(machine, false, &before);
	if (r) {
		snprintf(why, MACHINE_STATE_WHY, "the state cannot be read: %s", strerror(-r));
	} else {
		r = load(machine, data, len, why);
		/* What was loaded by then goes back. */
		if (r)
			load(machine, before.data, before.len, ignored);
	}
	state_buffer_free(&before);
	return r;
}

/* ---- Looking ---- */

static json_t *list_blocks(struct section section)
{
	json_t *list = json_array();
	struct vireo_block *block = NULL;
	struct vireo_blocks blocks;

	if (!read_blocks(section, &blocks))
		while ((block = vireo_blocks_next(&blocks, block)))
			json_array_append_new(list, json_string(vireo_block_name(block->type)));
	vireo_blocks_free(&blocks);
	return list;
}

/**
 * machine_state_list() - tell what a state is made of
 * @data: the state
 * @len: its length
 *
 * Return: a list of objects with "part", "cpu" for those of a vCPU, "bytes", and "blocks" or "devices"; NULL if the state is malformed or there is
 * no memory.
 */
json_t *machine_state_list(const void *data, size_t len)
{
	json_t *list = json_array(), *object;
	struct section_header header;
	struct section section;
	size_t at = 0;
	int r;

	while (!(r = next_section(data, len, &at, &header, &section))) {
		object = json_pack("{s:s,s:I}", "part", names[header.type], "bytes", (json_int_t)section.len);
		if (per_cpu(header.type))
			json_object_set_new(object, "cpu", json_integer(header.index));
		if (header.type == SECTION_VCPU || header.type == SECTION_CLOCK)
			json_object_set_new(object, "blocks", list_blocks(section));
		if (header.type == SECTION_DEVICES)
			json_object_set_new(object, "devices", state_list(section.data, section.len));
		json_array_append_new(list, object);
	}
	if (r == -ENODATA)
		return list;
	json_decref(list);
	return NULL;
}
