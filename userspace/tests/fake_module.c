// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_module.h"
#include "../lib/sys.h"

struct fake_module fake = { .lock = PTHREAD_MUTEX_INITIALIZER, .kick = PTHREAD_COND_INITIALIZER };

static int bad(const char *why)
{
	fake.bad++;
	fake.why = why;
	return -EINVAL;
}

/* A small table of the usual leaves, with recognisable content. */
static const struct vireo_cpuid_entry usual[] = {
	{ .leaf = 0, .eax = 0xb },
	{ .leaf = 1, .eax = 0x600, .ebx = 0x00ff0800, .edx = 0x1 },
	{ .leaf = 4, .subleaf = 0, .flags = VIREO_CPUID_SUBLEAF, .eax = 0x121 },
	{ .leaf = 4, .subleaf = 1, .flags = VIREO_CPUID_SUBLEAF, .eax = 0x163 },
	{ .leaf = 4, .subleaf = 2, .flags = VIREO_CPUID_SUBLEAF, .eax = 0 },
	{ .leaf = 0xb, .subleaf = 0, .flags = VIREO_CPUID_SUBLEAF },
	{ .leaf = 0xb, .subleaf = 1, .flags = VIREO_CPUID_SUBLEAF },
	{ .leaf = 0x40000000, .ebx = 0x4b4d564b },
	{ .leaf = 0x40000001, .eax = 0x01002aeb },
	{ .leaf = 0x80000008, .eax = 0x3028 },
};

void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	pthread_mutex_init(&fake.lock, NULL);
	pthread_cond_init(&fake.kick, NULL);
	fake.device_fd = -1;
	fake.vm_fd = -1;
	memcpy(fake.supported, usual, sizeof(usual));
	fake.nr_supported = sizeof(usual) / sizeof(usual[0]);
	fake.info = (struct vireo_info){
		.abi = VIREO_ABI_VERSION,
		.vendor = VIREO_VENDOR_AMD,
		.phys_bits = 40,
		.features = VIREO_FEATURE_NESTED_PAGING | VIREO_FEATURE_X2APIC,
		.missing = VIREO_FEATURE_PML,
		.mitigations = VIREO_MITIGATION_RSB_FILL,
		.blocks = ((1ULL << VIREO_BLOCK_NR) - 1) & ~1ULL,
		.max_vcpus = VIREO_MAX_VCPUS,
		.max_regions = VIREO_MAX_REGIONS,
		.run_size = VIREO_RUN_SIZE,
		.tsc_khz = 2000000,
		.version = "fake \"1\"",
	};
}

static int new_fd(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		fake.open_fds++;
	return fd;
}

int vireo_sys_open(const char *path)
{
	(void)path;
	if (fake.open_error)
		return fake.open_error;
	fake.device_fd = new_fd();
	return fake.device_fd;
}

int vireo_sys_close(int fd)
{
	fake.open_fds--;
	return close(fd) ? -errno : 0;
}

static struct fake_vcpu *find_vcpu(int fd)
{
	unsigned int i;

	for (i = 0; i < VIREO_MAX_VCPUS; i++)
		if (fake.vcpu[i].used && fake.vcpu[i].fd == fd)
			return &fake.vcpu[i];
	return NULL;
}

void *vireo_sys_map(int fd, uint64_t offset, size_t bytes)
{
	struct fake_vcpu *vcpu = find_vcpu(fd);
	bool ring = offset == VIREO_RING_OFFSET(1);
	void *map;

	if (!vcpu || bytes != (ring ? VIREO_RING_ENTRIES + vcpu->ring_entries * 8 : VIREO_RUN_SIZE) || (offset && !ring)) {
		bad("mmap");
		errno = EINVAL;
		return MAP_FAILED;
	}
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring)
		vcpu->ring = map;
	else
		vcpu->run = map;
	return map;
}

void vireo_sys_unmap(void *map, size_t bytes)
{
	munmap(map, bytes);
}

static int get_info(struct vireo_info *info)
{
	unsigned int size = info->size;

	if (size != sizeof(*info))
		return bad("info size");
	*info = fake.info;
	info->size = size;
	return 0;
}

static int supported_cpuid(struct vireo_cpuid *arg)
{
	unsigned int room = arg->count;

	if (arg->size != sizeof(*arg))
		return bad("cpuid size");
	arg->count = fake.nr_supported;
	if (room < fake.nr_supported)
		return -ENOSPC;
	memcpy((void *)(uintptr_t)arg->entries, fake.supported, fake.nr_supported * sizeof(fake.supported[0]));
	return 0;
}

static int create_vm(struct vireo_vm_config *config)
{
	if (config->size != sizeof(*config) || config->pad || config->flags)
		return bad("vm config");
	if (fake.vm_error)
		return fake.vm_error;
	memcpy(fake.name, config->name, sizeof(fake.name));
	fake.vm_fd = new_fd();
	return fake.vm_fd;
}

static int set_region(const struct vireo_region *region)
{
	unsigned int i;

	if (region->size != sizeof(*region) || region->slot >= FAKE_REGIONS || region->flags ||
	    region->gpa & 4095 || region->hva & 4095 || region->bytes & 4095 || !region->bytes)
		return bad("region");
	for (i = 0; i < FAKE_REGIONS; i++)
		if (i != region->slot && fake.region[i].bytes &&
		    region->gpa < fake.region[i].gpa + fake.region[i].bytes &&
		    fake.region[i].gpa < region->gpa + region->bytes)
			return -EEXIST;
	fake.region[region->slot] = *region;
	return 0;
}

static void power_on(struct fake_vcpu *vcpu)
{
	struct vireo_sregs *sregs = (void *)vcpu->block[VIREO_BLOCK_SREGS];
	struct vireo_regs *regs = (void *)vcpu->block[VIREO_BLOCK_REGS];
	struct vireo_events *events = (void *)vcpu->block[VIREO_BLOCK_EVENTS];
	unsigned int i;

	static const unsigned int len[VIREO_BLOCK_NR] = {
		[VIREO_BLOCK_REGS] = sizeof(struct vireo_regs),
		[VIREO_BLOCK_SREGS] = sizeof(struct vireo_sregs),
		[VIREO_BLOCK_DEBUGREGS] = sizeof(struct vireo_debugregs),
		[VIREO_BLOCK_XSAVE] = 576,
		[VIREO_BLOCK_MSRS] = 2 * sizeof(struct vireo_msr),
		[VIREO_BLOCK_LAPIC] = sizeof(struct vireo_lapic),
		[VIREO_BLOCK_EVENTS] = sizeof(struct vireo_events),
		[VIREO_BLOCK_TSC] = sizeof(struct vireo_tsc),
		[VIREO_BLOCK_TSC_OFFSET] = sizeof(struct vireo_tsc_offset),
	};

	for (i = 0; i < VIREO_BLOCK_NR; i++)
		vcpu->block_len[i] = len[i];
	regs->rip = 0xfff0;
	regs->rflags = 2;
	sregs->cr0 = 0x60000010;
	sregs->xcr0 = 1;
	sregs->apic_base = 0xfee00800 | (vcpu->id ? 0 : 0x100);
	((struct vireo_tsc *)vcpu->block[VIREO_BLOCK_TSC])->khz = fake.info.tsc_khz;
	events->mp_state = vcpu->id ? VIREO_MP_WAIT_SIPI : VIREO_MP_RUNNABLE;
}

static int create_vcpu(const struct vireo_vcpu_config *config)
{
	struct fake_vcpu *vcpu;

	if (config->size != sizeof(*config) || config->flags || config->id >= VIREO_MAX_VCPUS)
		return bad("vcpu config");
	vcpu = &fake.vcpu[config->id];
	if (vcpu->used)
		return -EEXIST;
	vcpu->used = true;
	vcpu->id = config->id;
	vcpu->fd = new_fd();
	power_on(vcpu);
	return vcpu->fd;
}

static int get_state(struct fake_vcpu *vcpu, struct vireo_state *state)
{
	unsigned char *out = (void *)(uintptr_t)state->buf;
	unsigned int type, need = 0;

	if (state->size != sizeof(*state) || state->flags || state->pad)
		return bad("get state");
	for (type = 1; type < VIREO_BLOCK_NR; type++)
		if (state->types >> type & 1)
			need += 8 + ((vcpu->block_len[type] + 7) & ~7U);
	if (state->len < need) {
		state->len = need;
		return -ENOSPC;
	}
	state->len = need;
	for (type = 1; type < VIREO_BLOCK_NR; type++) {
		struct vireo_block *head = (void *)out;

		if (!(state->types >> type & 1))
			continue;
		*head = (struct vireo_block){ (uint16_t)type, 1, vcpu->block_len[type] };
		memcpy(head + 1, vcpu->block[type], vcpu->block_len[type]);
		out += 8 + ((vcpu->block_len[type] + 7) & ~7U);
	}
	return 0;
}

static int set_state(struct fake_vcpu *vcpu, const struct vireo_state *state)
{
	const unsigned char *in = (const void *)(uintptr_t)state->buf;
	const struct vireo_regs *regs;
	unsigned int at = 0;

	if (state->size != sizeof(*state) || state->flags || state->types)
		return bad("set state");
	for (at = 0; at < state->len;) {
		const struct vireo_block *head = (const void *)(in + at);

		if (at + 8 > state->len || at + 8 + head->len > state->len ||
		    head->type >= VIREO_BLOCK_NR || head->version != 1 ||
		    head->len != vcpu->block_len[head->type])
			return bad("block");
		regs = (const void *)(head + 1);
		if (head->type == VIREO_BLOCK_REGS && fake.refused_rip && regs->rip == fake.refused_rip)
			return -EINVAL;
		at += 8 + ((head->len + 7) & ~7U);
	}
	for (at = 0; at < state->len;) {
		const struct vireo_block *head = (const void *)(in + at);

		memcpy(vcpu->block[head->type], head + 1, head->len);
		at += 8 + ((head->len + 7) & ~7U);
	}
	fake.set_states++;
	return 0;
}

/* vCPUs without a guest of their own wait for a kick, as halted ones do. */
static int wait_kick(struct fake_vcpu *vcpu)
{
	pthread_mutex_lock(&fake.lock);
	while (!vcpu->kicked)
		pthread_cond_wait(&fake.kick, &fake.lock);
	vcpu->kicked = false;
	pthread_mutex_unlock(&fake.lock);
	vcpu->run->exit_reason = VIREO_EXIT_KICK;
	return 0;
}

static int run(struct fake_vcpu *vcpu)
{
	bool kicked;

	if (vcpu->run->immediate_exit)
		return -EINTR;
	vcpu->runs++;
	pthread_mutex_lock(&fake.lock);
	kicked = vcpu->kicked;
	vcpu->kicked = false;
	pthread_mutex_unlock(&fake.lock);
	if (kicked) {
		vcpu->run->exit_reason = VIREO_EXIT_KICK;
		return 0;
	}
	if (vcpu->id == 0 && fake.guest)
		return fake.guest(vcpu, vcpu->run);
	return wait_kick(vcpu);
}

/* A VM's only state is its clock, which here goes on by a second at each look. */
static int get_clock(struct vireo_state *state)
{
	struct vireo_block head = { VIREO_BLOCK_CLOCK, 1, sizeof(fake.clock) };
	unsigned char *out = (void *)(uintptr_t)state->buf;

	if (state->types != 1ULL << VIREO_BLOCK_CLOCK)
		return bad("get clock");
	if (state->len < sizeof(head) + sizeof(fake.clock)) {
		state->len = sizeof(head) + sizeof(fake.clock);
		return -ENOSPC;
	}
	state->len = sizeof(head) + sizeof(fake.clock);
	fake.clock += 1000000000;
	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), &fake.clock, sizeof(fake.clock));
	return 0;
}

static int set_clock(const struct vireo_state *state)
{
	const unsigned char *in = (const void *)(uintptr_t)state->buf;
	const struct vireo_block *head = (const void *)in;

	if (state->len != sizeof(*head) + sizeof(fake.clock) || head->type != VIREO_BLOCK_CLOCK ||
	    head->version != 1 ||
	    head->len != sizeof(fake.clock))
		return bad("set clock");
	memcpy(&fake.clock, head + 1, sizeof(fake.clock));
	return 0;
}

static int msr_list(struct vireo_msr_list *list)
{
	static const uint32_t msrs[] = { 0x174, 0x175, 0x176 };
	unsigned int room = list->count;

	list->count = sizeof(msrs) / sizeof(msrs[0]);
	if (room < list->count)
		return -ENOSPC;
	memcpy((void *)(uintptr_t)list->indices, msrs, sizeof(msrs));
	return 0;
}

static int set_tracking(const struct vireo_tracking *tracking)
{
	uint64_t **dirty;

	if (tracking->size != sizeof(*tracking))
		return bad("set tracking");
	fake.tracking = *tracking;
	if (!fake.tracks)
		return 0;
	if (tracking->slot >= FAKE_REGIONS || tracking->consumer >= VIREO_TRACK_CONSUMERS)
		return bad("tracking");
	dirty = &fake.dirty[tracking->slot][tracking->consumer];
	if (!(tracking->on)) {
		free(*dirty);
		*dirty = NULL;
		return 0;
	}
	if (*dirty)
		return -EALREADY;
	*dirty = calloc((fake.region[tracking->slot].bytes / 4096 + 63) / 64, sizeof(uint64_t));
	return 0;
}

void fake_written(uint64_t gpa, uint64_t bytes)
{
	unsigned int slot, i;
	uint64_t page;

	for (slot = 0; slot < FAKE_REGIONS; slot++) {
		const struct vireo_region *region = &fake.region[slot];

		if (gpa < region->gpa || gpa - region->gpa >= region->bytes)
			continue;
		for (i = 0; i < VIREO_TRACK_CONSUMERS; i++)
			for (page = (gpa - region->gpa) / 4096; page <= (gpa + bytes - 1 - region->gpa) / 4096; page++)
				if (fake.dirty[slot][i])
					__atomic_fetch_or(&fake.dirty[slot][i][page / 64], 1ULL << page % 64, __ATOMIC_RELAXED);
	}
}

static int mark_dirty(const struct vireo_dirty_range *range)
{
	fake.dirty_range = *range;
	if (range->size != sizeof(*range))
		return bad("mark dirty");
	if (!fake.mark_error)
		fake_written(range->gpa, range->bytes);
	return fake.mark_error;
}

static int get_dirty(struct vireo_dirty_log *log)
{
	uint64_t *bitmap = (uint64_t *)(uintptr_t)log->bitmap, *dirty;
	uint64_t i, word;

	if (log->size != sizeof(*log) || log->flags || log->first % 64)
		return bad("get dirty");
	fake.dirty_log = *log;
	if (fake.tracks) {
		dirty = log->slot < FAKE_REGIONS && log->consumer < VIREO_TRACK_CONSUMERS ? fake.dirty[log->slot][log->consumer] : NULL;
		if (!dirty)
			return bad("get dirty of one who does not follow");
		log->found = 0;
		for (i = 0; i < (log->pages + 63) / 64; i++) {
			word = __atomic_exchange_n(&dirty[log->first / 64 + i], 0, __ATOMIC_RELAXED);
			bitmap[i] |= word;
			log->found += (uint64_t)__builtin_popcountll(word);
		}
		return 0;
	}
	for (i = 0; i < (log->pages + 63) / 64; i++)
		bitmap[i] |= 1;
	log->found = i;
	return 0;
}

/* There is one, with number 7. */
static int snapshot(unsigned long request, struct vireo_snapshot *arg)
{
	if (arg->size != sizeof(*arg) || arg->pad || (request != VIREO_SNAPSHOT && arg->flags))
		return bad("snapshot");
	fake.snapshot = *arg;
	fake.snapshot_call = request;
	if (request != VIREO_SNAPSHOT && arg->id != 7)
		return -ENOENT;
	arg->id = 7;
	arg->pages = 5;
	return 0;
}

static int set_ring(struct fake_vcpu *vcpu, const struct vireo_ring_config *config)
{
	if (config->size != sizeof(*config) || config->flags)
		return bad("set ring");
	if (config->consumer != 1)
		return -EINVAL;
	if (!config->entries == !vcpu->ring_entries)
		return config->entries ? -EEXIST : -ENOENT;
	vcpu->ring_entries = config->entries;
	return 0;
}

/* Of vCPU 0, the only one that has one. */
static int reset_rings(struct vireo_ring_reset *reset)
{
	if (reset->size != sizeof(*reset) || reset->pages)
		return bad("reset rings");
	if (reset->consumer != 1)
		return -EINVAL;
	reset->pages = fake.vcpu[0].ring->tail;
	return 0;
}

static int vcpu_ioctl(struct fake_vcpu *vcpu, unsigned long request, void *arg)
{
	switch (request) {
	case VIREO_RUN:
		return run(vcpu);
	case VIREO_KICK:
		pthread_mutex_lock(&fake.lock);
		vcpu->kicked = true;
		pthread_cond_broadcast(&fake.kick);
		pthread_mutex_unlock(&fake.lock);
		return 0;
	case VIREO_SET_CPUID: {
		struct vireo_cpuid *cpuid = arg;

		if (cpuid->size != sizeof(*cpuid) || cpuid->count > VIREO_MAX_CPUID)
			return bad("set cpuid");
		if (fake.cpuid_error)
			return fake.cpuid_error;
		memcpy(vcpu->cpuid, (void *)(uintptr_t)cpuid->entries,
		       cpuid->count * sizeof(vcpu->cpuid[0]));
		vcpu->nr_cpuid = cpuid->count;
		return 0;
	}
	case VIREO_GET_CPUID: {
		struct vireo_cpuid *cpuid = arg;
		unsigned int room = cpuid->count;

		cpuid->count = vcpu->nr_cpuid;
		if (room < vcpu->nr_cpuid)
			return -ENOSPC;
		memcpy((void *)(uintptr_t)cpuid->entries, vcpu->cpuid,
		       vcpu->nr_cpuid * sizeof(vcpu->cpuid[0]));
		return 0;
	}
	case VIREO_GET_STATE:
		return get_state(vcpu, arg);
	case VIREO_SET_STATE:
		return set_state(vcpu, arg);
	case VIREO_TRANSLATE: {
		struct vireo_translation *t = arg;

		t->valid = t->gva < 1 << 24;
		t->gpa = t->gva;
		return 0;
	}
	case VIREO_GET_STATS:
		((struct vireo_stats *)arg)->entries = vcpu->runs;
		return 0;
	case VIREO_INJECT_NMI:
		return 0;
	case VIREO_SET_RING:
		return set_ring(vcpu, arg);
	}
	return -ENOTTY;
}

int vireo_sys_ioctl(int fd, unsigned long request, void *arg)
{
	struct fake_vcpu *vcpu = find_vcpu(fd);

	if (vcpu)
		return vcpu_ioctl(vcpu, request, arg);
	if (fd == fake.vm_fd) {
		switch (request) {
		case VIREO_SET_REGION:
			return set_region(arg);
		case VIREO_CREATE_VCPU:
			return create_vcpu(arg);
		case VIREO_GET_STATE:
			return get_clock(arg);
		case VIREO_SET_STATE:
			return set_clock(arg);
		case VIREO_SEND_MSI:
			fake.last_msi = *(struct vireo_msi *)arg;
			fake.msis++;
			return 1;
		case VIREO_SET_TRACKING:
			return set_tracking(arg);
		case VIREO_GET_DIRTY:
			return get_dirty(arg);
		case VIREO_SNAPSHOT:
		case VIREO_ROLLBACK:
		case VIREO_DROP_SNAPSHOT:
			return snapshot(request, arg);
		case VIREO_MARK_DIRTY:
			return mark_dirty(arg);
		case VIREO_RESET_RINGS:
			return reset_rings(arg);
		}
		return -ENOTTY;
	}
	switch (request) {
	case VIREO_GET_INFO:
		return get_info(arg);
	case VIREO_GET_SUPPORTED_CPUID:
		return supported_cpuid(arg);
	case VIREO_GET_MSR_LIST:
		return msr_list(arg);
	case VIREO_CREATE_VM:
		return create_vm(arg);
	}
	return -ENOTTY;
}
