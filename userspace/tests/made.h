/* SPDX-License-Identifier: GPL-2.0-only */
/* Messages of the netlink family as the module makes them. */
#ifndef VIREO_TESTS_MADE_H
#define VIREO_TESTS_MADE_H

#include "../vireo/monitor/message.h"

/**
 * struct made - a message
 * @bytes: its header and all behind it
 * @len: how many
 */
struct made {
	unsigned char bytes[16384] __attribute__((aligned(4)));
	size_t len;
};

#define MADE_FAMILY 0x21	/* the family's number, as if */

void made_info(struct made *made, const struct monitor_info *info);
void made_vm(struct made *made, const struct monitor_vm *vm);
void made_vcpu(struct made *made, const struct monitor_vcpu *vcpu);
void made_event(struct made *made, const struct monitor_event *event);

/* Examples with something in everything */
struct monitor_info made_some_info(void);
struct monitor_vm made_some_vm(uint32_t number, const char *name);
struct monitor_vcpu made_some_vcpu(uint32_t vm, uint32_t id, struct monitor_exit *exits, size_t nr);
struct monitor_event made_some_event(uint8_t kind, uint32_t what);

#endif /* VIREO_TESTS_MADE_H */
