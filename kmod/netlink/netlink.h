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

#endif /* VIREO_NETLINK_H */
