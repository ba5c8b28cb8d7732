/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The generic-netlink family "vireo": requests, and the multicast groups.
 *
 * Functions answer 0 or a negative errno, and then family.why is a sentence for people.
 */
#ifndef VIREO_MONITOR_FAMILY_H
#define VIREO_MONITOR_FAMILY_H

#include "message.h"

struct nl_sock;

/**
 * struct family - a connection to the module
 * @requests: socket for them
 * @events: socket of the multicast groups; NULL before family_join()
 * @id: the family's number
 * @info: the module
 * @why: what went wrong
 */
struct family {
	struct nl_sock *requests;
	struct nl_sock *events;
	int id;
	struct monitor_info info;
	char why[320];
};

/**
 * struct monitor_vms - VMs
 * @at: nanoseconds of CLOCK_BOOTTIME, just before they were asked for
 * @vm: in the order of their numbers
 * @nr: how many
 */
struct monitor_vms {
	uint64_t at;
	struct monitor_vm *vm;
	size_t nr;
};

/**
 * struct monitor_stats - all there is to know of a VM
 * @at: nanoseconds of CLOCK_BOOTTIME, just before it was asked for
 * @vm: the VM
 * @vcpu: its vCPUs
 * @nr: how many
 */
struct monitor_stats {
	uint64_t at;
	struct monitor_vm vm;
	struct monitor_vcpu *vcpu;
	size_t nr;
};

int family_open(struct family *family);
void family_close(struct family *family);

int family_vms(struct family *family, struct monitor_vms *vms);
int family_find(struct family *family, const char *word, uint32_t *number);
int family_vm(struct family *family, uint32_t number, struct monitor_vm *vm);
int family_stats(struct family *family, uint32_t number, struct monitor_stats *stats);
int family_set_limits(struct family *family, uint32_t number, const uint64_t *limit, unsigned int which);

int family_join(struct family *family);
int family_events_fd(const struct family *family);
int family_next_events(struct family *family, void (*take)(void *context, const struct monitor_event *event), void *context);

const struct monitor_vm *monitor_vms_find(const struct monitor_vms *vms, const char *word, char *why, size_t room);
void monitor_vms_free(struct monitor_vms *vms);
void monitor_stats_free(struct monitor_stats *stats);

#endif /* VIREO_MONITOR_FAMILY_H */
