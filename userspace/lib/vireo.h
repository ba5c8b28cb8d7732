/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvireo: a thin C library over the ABI of the Vireo hypervisor.
 *
 * It opens files, fills the size fields, keeps the mapping of the page that a
 * vCPU shares with the kernel, and puts names to numbers; policy is left to
 * the launcher. All functions that can fail return a negative errno, none
 * prints, none keeps global state. Objects may be used from several threads as
 * the ABI allows: one thread runs a vCPU, any thread may kick it.
 */
#ifndef LIBVIREO_H
#define LIBVIREO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/vireo.h>

#ifdef __cplusplus
extern "C" {
#endif

/** LIBVIREO_VERSION - of this header; vireo_version() tells the library's */
#define LIBVIREO_VERSION "0.1.0"

/** VIREO_DEVICE_PATH - what vireo_open(NULL, ...) opens, unless $VIREO_DEVICE is set */
#define VIREO_DEVICE_PATH "/dev/vireo"

struct vireo;		/* an open /dev/vireo */
struct vireo_vm;	/* a virtual machine */
struct vireo_vcpu;	/* one of its processors */
struct vireo_ring;	/* what a processor writes, page by page */

/* Device */
int vireo_open(const char *path, struct vireo **out);
void vireo_close(struct vireo *vireo);
int vireo_fd(const struct vireo *vireo);
const struct vireo_info *vireo_get_info(const struct vireo *vireo);
int vireo_supported_cpuid(struct vireo *vireo, struct vireo_cpuid_entry *entries,
			  unsigned int *count);
int vireo_msr_list(struct vireo *vireo, uint32_t *indices, unsigned int *count);

/* Virtual machine */
int vireo_vm_create(struct vireo *vireo, const char *name, uint64_t flags,
		    struct vireo_vm **out);
void vireo_vm_destroy(struct vireo_vm *vm);
int vireo_vm_fd(const struct vireo_vm *vm);
int vireo_vm_set_region(struct vireo_vm *vm, unsigned int slot, uint64_t flags,
			uint64_t gpa, uint64_t bytes, void *hva);
int vireo_vm_del_region(struct vireo_vm *vm, unsigned int slot);
int vireo_vm_send_msi(struct vireo_vm *vm, uint64_t address, uint32_t data);
int vireo_vm_ioeventfd(struct vireo_vm *vm, int fd, uint64_t addr, uint32_t len,
		       uint64_t match, uint32_t flags);
int vireo_vm_irqfd(struct vireo_vm *vm, int fd, uint64_t address, uint32_t data, int resample,
		   uint32_t flags);
int vireo_vm_check(struct vireo_vm *vm, struct vireo_check *check);
int vireo_vm_set_tracking(struct vireo_vm *vm, unsigned int slot, unsigned int consumer, bool on);
int vireo_vm_get_dirty(struct vireo_vm *vm, unsigned int slot, unsigned int consumer, uint64_t first,
		       uint64_t pages, uint64_t *bitmap, uint64_t *found);
int vireo_vm_mark_dirty(struct vireo_vm *vm, uint64_t gpa, uint64_t bytes);
int vireo_vm_will_write(struct vireo_vm *vm, uint64_t gpa, uint64_t bytes);
int vireo_vm_snapshot(struct vireo_vm *vm, uint32_t flags, uint32_t *id);
int vireo_vm_rollback(struct vireo_vm *vm, uint32_t id, struct vireo_snapshot *result);
int vireo_vm_drop_snapshot(struct vireo_vm *vm, uint32_t id);
int vireo_vm_report(struct vireo_vm *vm, uint32_t kind, const char *phase, uint64_t pages, uint64_t total,
		    const char *cause);
int vireo_vm_reset_rings(struct vireo_vm *vm, unsigned int consumer, uint64_t *pages);

/* vCPU */
int vireo_vcpu_create(struct vireo_vm *vm, unsigned int id, struct vireo_vcpu **out);
void vireo_vcpu_destroy(struct vireo_vcpu *vcpu);
int vireo_vcpu_fd(const struct vireo_vcpu *vcpu);
unsigned int vireo_vcpu_id(const struct vireo_vcpu *vcpu);
struct vireo_run *vireo_vcpu_page(struct vireo_vcpu *vcpu);
int vireo_vcpu_run(struct vireo_vcpu *vcpu);
int vireo_vcpu_kick(struct vireo_vcpu *vcpu);
int vireo_vcpu_inject_nmi(struct vireo_vcpu *vcpu);
int vireo_vcpu_set_cpuid(struct vireo_vcpu *vcpu, const struct vireo_cpuid_entry *entries,
			 unsigned int count);
int vireo_vcpu_get_cpuid(struct vireo_vcpu *vcpu, struct vireo_cpuid_entry *entries,
			 unsigned int *count);
int vireo_vcpu_translate(struct vireo_vcpu *vcpu, uint64_t gva,
			 struct vireo_translation *out);
int vireo_vcpu_get_stats(struct vireo_vcpu *vcpu, struct vireo_stats *out);

/* Rings of dirty pages, of one processor each */
int vireo_ring_create(struct vireo_vcpu *vcpu, unsigned int consumer, uint32_t entries, struct vireo_ring **out);
void vireo_ring_destroy(struct vireo_ring *ring);
unsigned int vireo_ring_read(struct vireo_ring *ring, uint64_t *entries, unsigned int room);
bool vireo_ring_lost(struct vireo_ring *ring);

/* State as blocks */

/**
 * struct vireo_blocks - a growing sequence of state blocks
 * @data: the blocks as VIREO_GET_STATE and VIREO_SET_STATE have them
 * @len: bytes in use
 * @room: bytes allocated
 * @error: first error of the vireo_blocks_add() calls, 0 if none; once set,
 *	   adding does nothing, and vireo_vcpu_set_state() returns it, so that
 *	   a builder checks once
 */
struct vireo_blocks {
	unsigned char *data;
	uint32_t len;
	uint32_t room;
	int error;
};

#define VIREO_BLOCKS_INIT { NULL, 0, 0, 0 }

void vireo_blocks_free(struct vireo_blocks *blocks);
void *vireo_blocks_add(struct vireo_blocks *blocks, uint16_t type, const void *payload,
		       uint32_t len);
struct vireo_block *vireo_blocks_next(const struct vireo_blocks *blocks,
				      const struct vireo_block *previous);
struct vireo_block *vireo_blocks_find(const struct vireo_blocks *blocks, uint16_t type);
void *vireo_block_payload(struct vireo_block *block, uint32_t at_least);

int vireo_vcpu_get_state(struct vireo_vcpu *vcpu, uint64_t types, struct vireo_blocks *blocks);
int vireo_vcpu_set_state(struct vireo_vcpu *vcpu, const struct vireo_blocks *blocks);
int vireo_vm_get_state(struct vireo_vm *vm, uint64_t types, struct vireo_blocks *blocks);
int vireo_vm_set_state(struct vireo_vm *vm, const struct vireo_blocks *blocks);

int vireo_vcpu_get_regs(struct vireo_vcpu *vcpu, struct vireo_regs *regs);
int vireo_vcpu_set_regs(struct vireo_vcpu *vcpu, const struct vireo_regs *regs);
int vireo_vcpu_get_sregs(struct vireo_vcpu *vcpu, struct vireo_sregs *sregs);
int vireo_vcpu_set_sregs(struct vireo_vcpu *vcpu, const struct vireo_sregs *sregs);
int vireo_vcpu_get_events(struct vireo_vcpu *vcpu, struct vireo_events *events);
int vireo_vcpu_set_events(struct vireo_vcpu *vcpu, const struct vireo_events *events);

/* Names */
const char *vireo_version(void);
const char *vireo_exit_name(unsigned int reason);
const char *vireo_vendor_name(unsigned int vendor);
const char *vireo_feature_name(unsigned int bit);
const char *vireo_feature_text(unsigned int bit);
const char *vireo_mitigation_name(unsigned int bit);
const char *vireo_mitigation_text(unsigned int bit);
const char *vireo_block_name(unsigned int type);

#ifdef __cplusplus
}
#endif

#endif /* LIBVIREO_H */
