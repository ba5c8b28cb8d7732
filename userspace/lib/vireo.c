// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Device, virtual machine and vCPU.
 *
 * Each function is one ioctl. What is added to it: the size fields, the check
 * of the ABI's version at the only place where nothing has happened yet, and
 * the mapping of the shared page.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"
#include "sys.h"

_Static_assert(sizeof(struct vireo_run) <= VIREO_RUN_SIZE, "the shared page is one page");

/**
 * vireo_open() - open the hypervisor
 * @path: device file, or NULL for $VIREO_DEVICE, or else VIREO_DEVICE_PATH
 * @out: the handle, on success
 *
 * Return: 0; -ENOENT (module not loaded), -EACCES (no permission), -ENOTTY
 * (not a Vireo device), -EPROTO (the module speaks another version of the
 * ABI), or another negative errno.
 */
int vireo_open(const char *path, struct vireo **out)
{
	struct vireo *vireo;
	int r;

	if (!path)
		path = getenv("VIREO_DEVICE");
	if (!path || !*path)
		path = VIREO_DEVICE_PATH;

	vireo = calloc(1, sizeof(*vireo));
	if (!vireo)
		return -ENOMEM;

	vireo->fd = vireo_sys_open(path);
	if (vireo->fd < 0) {
		r = vireo->fd;
		goto out_free;
	}
	vireo->info.size = sizeof(vireo->info);
	r = vireo_sys_ioctl(vireo->fd, VIREO_GET_INFO, &vireo->info);
	if (r < 0)
		goto out_close;
	if (vireo->info.abi != VIREO_ABI_VERSION ||
	    vireo->info.run_size < sizeof(struct vireo_run)) {
		r = -EPROTO;
		goto out_close;
	}
	/* Callers print it: do not trust the terminator. */
	vireo->info.version[sizeof(vireo->info.version) - 1] = '\0';
	*out = vireo;
	return 0;

out_close:
	vireo_sys_close(vireo->fd);
out_free:
	free(vireo);
	return r;
}

/**
 * vireo_close() - close what vireo_open() opened
 * @vireo: the handle, may be NULL
 *
 * VMs made from it live on.
 */
void vireo_close(struct vireo *vireo)
{
	if (!vireo)
		return;
	vireo_sys_close(vireo->fd);
	free(vireo);
}

/**
 * vireo_fd() - file descriptor of the device
 * @vireo: the device
 *
 * Return: the descriptor; it stays the library's.
 */
int vireo_fd(const struct vireo *vireo)
{
	return vireo->fd;
}

/**
 * vireo_get_info() - what processor and module offer
 * @vireo: the device
 *
 * Return: the answer to VIREO_GET_INFO that vireo_open() got.
 */
const struct vireo_info *vireo_get_info(const struct vireo *vireo)
{
	return &vireo->info;
}

static int cpuid_ioctl(int fd, unsigned long request, struct vireo_cpuid_entry *entries,
		       unsigned int *count)
{
	struct vireo_cpuid arg = {
		.size = sizeof(arg),
		.count = *count,
		.entries = (uintptr_t)entries,
	};
	int r = vireo_sys_ioctl(fd, request, &arg);

	if (!r || r == -ENOSPC)
		*count = arg.count;
	return r;
}

/**
 * vireo_supported_cpuid() - the largest CPUID table that a vCPU can be given
 * @vireo: the device
 * @entries: room for the table
 * @count: in: entries at @entries; out: entries there are
 *
 * Return: 0; -ENOSPC if there are more than fit; or another negative errno.
 */
int vireo_supported_cpuid(struct vireo *vireo, struct vireo_cpuid_entry *entries,
			  unsigned int *count)
{
	return cpuid_ioctl(vireo->fd, VIREO_GET_SUPPORTED_CPUID, entries, count);
}

/**
 * vireo_msr_list() - MSRs that belong to a vCPU's state
 * @vireo: the device
 * @indices: room for their numbers
 * @count: in: numbers at @indices; out: MSRs there are
 *
 * Return: 0; -ENOSPC if there are more than fit; or another negative errno.
 */
int vireo_msr_list(struct vireo *vireo, uint32_t *indices, unsigned int *count)
{
	struct vireo_msr_list arg = {
		.size = sizeof(arg),
		.count = *count,
		.indices = (uintptr_t)indices,
	};
	int r = vireo_sys_ioctl(vireo->fd, VIREO_GET_MSR_LIST, &arg);

	if (!r || r == -ENOSPC)
		*count = arg.count;
	return r;
}

/**
 * vireo_vm_create() - make a virtual machine
 * @vireo: the device
 * @name: for logs and tools, at most 31 bytes; may be NULL
 * @flags: VIREO_VM_*
 * @out: the machine, on success
 *
 * Return: 0; -ENAMETOOLONG; or the errno of VIREO_CREATE_VM, of which -EBUSY
 * (another hypervisor owns the processor) is the one to explain to people.
 */
int vireo_vm_create(struct vireo *vireo, const char *name, uint64_t flags,
		    struct vireo_vm **out)
{
	struct vireo_vm_config config = { .size = sizeof(config), .flags = flags };
	struct vireo_vm *vm;

	if (name) {
		if (strlen(name) >= sizeof(config.name))
			return -ENAMETOOLONG;
		strcpy(config.name, name);
	}
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return -ENOMEM;
	vm->run_size = vireo->info.run_size;
	vm->fd = vireo_sys_ioctl(vireo->fd, VIREO_CREATE_VM, &config);
	if (vm->fd < 0) {
		int r = vm->fd;

		free(vm);
		return r;
	}
	*out = vm;
	return 0;
}

/**
 * vireo_vm_destroy() - give up a virtual machine
 * @vm: the machine, may be NULL; destroy its vCPUs first
 */
void vireo_vm_destroy(struct vireo_vm *vm)
{
	if (!vm)
		return;
	vireo_sys_close(vm->fd);
	free(vm);
}

/**
 * vireo_vm_fd() - file descriptor of a virtual machine
 * @vm: the machine
 *
 * Return: the descriptor; it stays the library's.
 */
int vireo_vm_fd(const struct vireo_vm *vm)
{
	return vm->fd;
}

/**
 * vireo_vm_set_region() - let guest-physical addresses be memory
 * @vm: the machine
 * @slot: which region; an earlier one in this slot is replaced
 * @flags: VIREO_REGION_*
 * @gpa: guest-physical address
 * @bytes: length
 * @hva: the memory
 *
 * Return: 0, or the errno of VIREO_SET_REGION.
 */
int vireo_vm_set_region(struct vireo_vm *vm, unsigned int slot, uint64_t flags,
			uint64_t gpa, uint64_t bytes, void *hva)
{
	struct vireo_region arg = {
		.size = sizeof(arg),
		.slot = slot,
		.flags = flags,
		.gpa = gpa,
		.bytes = bytes,
		.hva = (uintptr_t)hva,
	};

	return vireo_sys_ioctl(vm->fd, VIREO_SET_REGION, &arg);
}

/**
 * vireo_vm_del_region() - take a region away again
 * @vm: the machine
 * @slot: which one
 *
 * Return: 0, or the errno of VIREO_DEL_REGION.
 */
int vireo_vm_del_region(struct vireo_vm *vm, unsigned int slot)
{
	struct vireo_region arg = { .size = sizeof(arg), .slot = slot };

	return vireo_sys_ioctl(vm->fd, VIREO_DEL_REGION, &arg);
}

/**
 * vireo_vm_send_msi() - send a message-signalled interrupt
 * @vm: the machine
 * @address: message address
 * @data: message data
 *
 * Return: how many local APICs took it, or a negative errno.
 */
int vireo_vm_send_msi(struct vireo_vm *vm, uint64_t address, uint32_t data)
{
	struct vireo_msi arg = { .size = sizeof(arg), .data = data, .address = address };

	return vireo_sys_ioctl(vm->fd, VIREO_SEND_MSI, &arg);
}

/**
 * vireo_vm_ioeventfd() - let a guest's write signal an eventfd without an exit
 * @vm: the machine
 * @fd: the eventfd
 * @addr: port or guest-physical address
 * @len: width in bytes
 * @match: value, with VIREO_IOEVENTFD_MATCH
 * @flags: VIREO_IOEVENTFD_*
 *
 * Return: 0, or the errno of VIREO_SET_IOEVENTFD.
 */
int vireo_vm_ioeventfd(struct vireo_vm *vm, int fd, uint64_t addr, uint32_t len,
		       uint64_t match, uint32_t flags)
{
	struct vireo_ioeventfd arg = {
		.size = sizeof(arg),
		.fd = fd,
		.addr = addr,
		.match = match,
		.len = len,
		.flags = flags,
	};

	return vireo_sys_ioctl(vm->fd, VIREO_SET_IOEVENTFD, &arg);
}

/**
 * vireo_vm_irqfd() - let the signals of an eventfd be interrupts, or change which
 * @vm: the machine
 * @fd: the eventfd
 * @address: of the message, as for vireo_vm_send_msi()
 * @data: of the message
 * @resample: eventfd that is signalled at the EOI, with VIREO_IRQFD_RESAMPLE; else ignored
 * @flags: VIREO_IRQFD_*; with VIREO_IRQFD_REMOVE all but @fd is ignored
 *
 * Return: 0, or the errno of VIREO_SET_IRQFD.
 */
int vireo_vm_irqfd(struct vireo_vm *vm, int fd, uint64_t address, uint32_t data, int resample,
		   uint32_t flags)
{
	bool remove = flags & VIREO_IRQFD_REMOVE;
	struct vireo_irqfd arg = {
		.size = sizeof(arg),
		.fd = fd,
		.address = remove ? 0 : address,
		.data = remove ? 0 : data,
		.flags = flags,
		.resample = flags & VIREO_IRQFD_RESAMPLE ? resample : 0,
	};

	return vireo_sys_ioctl(vm->fd, VIREO_SET_IRQFD, &arg);
}

/* Cut to fit; what cannot be printed becomes a question mark. */
static void copy_text(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; from && from[i] && i < size - 1; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? '?' : from[i];
}

/**
 * vireo_vm_report() - say what is done with the machine, for those who follow it by netlink
 * @vm: the machine
 * @kind: &enum vireo_report_kind
 * @phase: of an operation, else NULL
 * @pages: of an operation: pages that it is about or has done, else 0
 * @total: likewise: of so many
 * @cause: why, or NULL
 *
 * Return: 0, or the errno of VIREO_REPORT; -ENOTTY from modules that do not have it.
 */
int vireo_vm_report(struct vireo_vm *vm, uint32_t kind, const char *phase, uint64_t pages, uint64_t total, const char *cause)
{
	struct vireo_report arg = { .size = sizeof(arg), .kind = kind, .pages = pages, .total = total };

	copy_text(arg.phase, sizeof(arg.phase), phase);
	copy_text(arg.cause, sizeof(arg.cause), cause);
	return vireo_sys_ioctl(vm->fd, VIREO_REPORT, &arg);
}

/**
 * vireo_vm_check() - have the module prove its shadow page tables
 * @vm: the machine
 * @check: what was found, on success; violations says whether anything is wrong
 *
 * Return: 0, or the errno of VIREO_CHECK: -EOPNOTSUPP if there are no such tables.
 */
int vireo_vm_check(struct vireo_vm *vm, struct vireo_check *check)
{
	memset(check, 0, sizeof(*check));
	check->size = sizeof(*check);
	return vireo_sys_ioctl(vm->fd, VIREO_CHECK, check);
}

/**
 * vireo_vcpu_create() - add a processor to a virtual machine
 * @vm: the machine
 * @id: its number and APIC id; 0 is the bootstrap processor
 * @out: the processor, on success
 *
 * Return: 0, or a negative errno.
 */
int vireo_vcpu_create(struct vireo_vm *vm, unsigned int id, struct vireo_vcpu **out)
{
	struct vireo_vcpu_config config = { .size = sizeof(config), .id = id };
	struct vireo_vcpu *vcpu = calloc(1, sizeof(*vcpu));
	int r;

	if (!vcpu)
		return -ENOMEM;
	vcpu->id = id;
	vcpu->run_size = vm->run_size;
	vcpu->fd = vireo_sys_ioctl(vm->fd, VIREO_CREATE_VCPU, &config);
	if (vcpu->fd < 0) {
		r = vcpu->fd;
		goto out_free;
	}
	vcpu->run = vireo_sys_map(vcpu->fd, 0, vcpu->run_size);
	if (vcpu->run == MAP_FAILED) {
		r = -errno;
		goto out_close;
	}
	*out = vcpu;
	return 0;

out_close:
	vireo_sys_close(vcpu->fd);
out_free:
	free(vcpu);
	return r;
}

/**
 * vireo_vcpu_destroy() - give up a processor
 * @vcpu: the processor, may be NULL; it must not be running
 */
void vireo_vcpu_destroy(struct vireo_vcpu *vcpu)
{
	if (!vcpu)
		return;
	vireo_sys_unmap(vcpu->run, vcpu->run_size);
	vireo_sys_close(vcpu->fd);
	free(vcpu);
}

/**
 * vireo_vcpu_fd() - file descriptor of a processor
 * @vcpu: the processor
 *
 * Return: the descriptor; it stays the library's.
 */
int vireo_vcpu_fd(const struct vireo_vcpu *vcpu)
{
	return vcpu->fd;
}

/**
 * vireo_vcpu_id() - number of a processor
 * @vcpu: the processor
 *
 * Return: the number it was made with.
 */
unsigned int vireo_vcpu_id(const struct vireo_vcpu *vcpu)
{
	return vcpu->id;
}

/**
 * vireo_vcpu_page() - the page shared with the kernel
 * @vcpu: the processor
 *
 * Return: its address, valid until vireo_vcpu_destroy().
 */
struct vireo_run *vireo_vcpu_page(struct vireo_vcpu *vcpu)
{
	return vcpu->run;
}

/**
 * vireo_vcpu_run() - run the guest until it needs the launcher
 * @vcpu: the processor
 *
 * Return: 0 with vireo_run.exit_reason set; -EINTR (a signal, or
 * vireo_run.immediate_exit), -EAGAIN (vireo_run.inject could not be taken
 * now), -EIO (the VM is dead), or another negative errno.
 */
int vireo_vcpu_run(struct vireo_vcpu *vcpu)
{
	return vireo_sys_ioctl(vcpu->fd, VIREO_RUN, NULL);
}

/**
 * vireo_vcpu_kick() - make vireo_vcpu_run() return, from any thread
 * @vcpu: the processor
 *
 * A kick that comes while nobody runs the processor is not lost: the next
 * vireo_vcpu_run() returns at once.
 *
 * Return: 0, or a negative errno.
 */
int vireo_vcpu_kick(struct vireo_vcpu *vcpu)
{
	return vireo_sys_ioctl(vcpu->fd, VIREO_KICK, NULL);
}

/**
 * vireo_vcpu_inject_nmi() - send a non-maskable interrupt, from any thread
 * @vcpu: the processor
 *
 * Return: 0, or a negative errno.
 */
int vireo_vcpu_inject_nmi(struct vireo_vcpu *vcpu)
{
	return vireo_sys_ioctl(vcpu->fd, VIREO_INJECT_NMI, NULL);
}

/**
 * vireo_vcpu_set_cpuid() - say what the guest's CPUID answers
 * @vcpu: the processor, before its first run
 * @entries: the whole table
 * @count: its length
 *
 * Return: 0, or the errno of VIREO_SET_CPUID.
 */
int vireo_vcpu_set_cpuid(struct vireo_vcpu *vcpu, const struct vireo_cpuid_entry *entries,
			 unsigned int count)
{
	struct vireo_cpuid arg = {
		.size = sizeof(arg),
		.count = count,
		.entries = (uintptr_t)entries,
	};

	return vireo_sys_ioctl(vcpu->fd, VIREO_SET_CPUID, &arg);
}

/**
 * vireo_vcpu_get_cpuid() - read what the guest's CPUID answers
 * @vcpu: the processor
 * @entries: room for the table
 * @count: in: entries at @entries; out: entries there are
 *
 * Return: 0; -ENOSPC if there are more than fit; or another negative errno.
 */
int vireo_vcpu_get_cpuid(struct vireo_vcpu *vcpu, struct vireo_cpuid_entry *entries,
			 unsigned int *count)
{
	return cpuid_ioctl(vcpu->fd, VIREO_GET_CPUID, entries, count);
}

/**
 * vireo_vcpu_translate() - walk the guest's page tables
 * @vcpu: the processor, not running
 * @gva: linear address
 * @out: where it leads
 *
 * Return: 0 (look at @out->valid), or a negative errno.
 */
int vireo_vcpu_translate(struct vireo_vcpu *vcpu, uint64_t gva,
			 struct vireo_translation *out)
{
	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	out->gva = gva;
	return vireo_sys_ioctl(vcpu->fd, VIREO_TRANSLATE, out);
}

/**
 * vireo_vcpu_get_stats() - read a processor's counters
 * @vcpu: the processor
 * @out: the counters
 *
 * Return: 0, or a negative errno.
 */
int vireo_vcpu_get_stats(struct vireo_vcpu *vcpu, struct vireo_stats *out)
{
	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	return vireo_sys_ioctl(vcpu->fd, VIREO_GET_STATS, out);
}
