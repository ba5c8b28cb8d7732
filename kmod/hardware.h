/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Virtualisation on the processors: on while a VM exists, on every CPU.
 */
#ifndef VIREO_HARDWARE_H
#define VIREO_HARDWARE_H

/**
 * vireo_hw_get() - switch virtualisation on everywhere if this is the first VM
 *
 * Return: 0; -EBUSY if another hypervisor owns a processor and does not share
 * (the log names it); -EIO if a processor refused; -ENOMEM.
 */
int vireo_hw_get(void);

/* Undo one vireo_hw_get(); switches off with the last. */
void vireo_hw_put(void);

/* Is the processor shared with KVM at present? */
bool vireo_hw_shared(void);

#endif /* VIREO_HARDWARE_H */
