/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The generic-netlink family "vireo": what the rest of the module calls. See Documentation/monitoring.rst.
 */
#ifndef VIREO_NETLINK_H
#define VIREO_NETLINK_H

#include "../vireo.h"

int vireo_nl_setup(void);
void vireo_nl_teardown(void);

/**
 * vireo_nl_vm_add() - a VM becomes visible
 * @vm: new, complete
 *
 * Return: 0, -ENOMEM, -EBUSY (no number is free).
 */
int vireo_nl_vm_add(struct vireo_vm *vm);

/* The VM is not seen any more. */
void vireo_nl_vm_remove(struct vireo_vm *vm);

/* At the very end: nothing of it uses the VM any more. */
void vireo_nl_vm_free(struct vireo_vm *vm);

/* A vCPU's first VIREO_RUN in a thread. */
void vireo_nl_started(struct vireo_vcpu *vcpu);

/* Own thread, may sleep: it is shut down; and it may not be any more, after vcpu->was_shut. */
void vireo_nl_shut(struct vireo_vcpu *vcpu);
void vireo_nl_revived(struct vireo_vcpu *vcpu);

/* vm->dead was set; any context. */
void vireo_nl_dead(struct vireo_vm *vm);

/* VIREO_REPORT; may sleep. */
int vireo_nl_report(struct vireo_vm *vm, const struct vireo_report *report);

/**
 * vireo_nl_point() - a snapshot was taken, gone back to, or dropped
 * @vm: VM; may sleep
 * @kind: VIREO_NL_OP_SNAPSHOT, _ROLLBACK or _DROP
 * @r: 0, or the error
 * @pages: that were copied back
 */
void vireo_nl_point(struct vireo_vm *vm, enum vireo_nl_operation kind, int r, u64 pages);

#endif /* VIREO_NETLINK_H */
