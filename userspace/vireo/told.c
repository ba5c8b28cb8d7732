// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the launcher does with a machine, for those who follow it from outside: the module tells them (vireo events).
 */
#include "machine.h"

/**
 * machine_told() - tell it
 * @machine: the machine; nothing happens without a VM
 * @kind: what
 * @phase: of an operation; NULL for the others
 * @pages: that it is about, or has done
 * @total: of so many
 * @why: a sentence, or NULL
 *
 * A module that does not know how is no reason to stop.
 */
void machine_told(const struct machine *machine, enum vireo_report_kind kind, const char *phase, uint64_t pages,
		  uint64_t total, const char *why)
{
	if (machine->vm)
		vireo_vm_report(machine->vm, kind, phase, pages, total, why);
}
