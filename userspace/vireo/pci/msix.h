/* SPDX-License-Identifier: GPL-2.0-only */
/* MSI-X (PCI Local Bus 3.0, 6.8.2): a table and pending bits in a BAR of their own. */
#ifndef VIREO_PCI_MSIX_H
#define VIREO_PCI_MSIX_H

#include "pci.h"

#define PCI_MSIX_MAX		130	/* vectors: 129 queues and a change of configuration */
#define PCI_MSIX_BAR_BYTES	8192
#define PCI_MSIX_PBA		4096

/**
 * struct pci_msix - a function's messages
 * @function: whose
 * @nr: vectors
 * @cap: where its capability is
 * @bar: BAR with the table
 * @on: enabled, unmasked as a whole, and the function may write to memory; any thread may read it
 * @enabled: MSI-X is enabled: there are no interrupts by the line; likewise
 * @lock: protect what follows, one for each vector: device threads send, vCPU threads write the table
 * @address: where to
 * @data: what
 * @control: bit 0: masked
 * @pending: was to be sent while it could not
 *
 * Arrays rather than a structure of each vector, so that a state table can name them.
 */
struct pci_msix {
	struct pci_function *function;
	unsigned int nr;
	unsigned int cap;
	unsigned int bar;
	bool on;
	bool enabled;
	pthread_mutex_t lock[PCI_MSIX_MAX];
	uint64_t address[PCI_MSIX_MAX];
	uint32_t data[PCI_MSIX_MAX];
	uint32_t control[PCI_MSIX_MAX];
	uint8_t pending[PCI_MSIX_MAX];
};

void pci_msix_init(struct pci_msix *msix, struct pci_function *function, unsigned int bar,
		   unsigned int nr);
void pci_msix_destroy(struct pci_msix *msix);
void pci_msix_reset(struct pci_msix *msix);
bool pci_msix_possible(const struct pci_msix *msix);
void pci_msix_changed(struct pci_msix *msix);
uint64_t pci_msix_read(struct pci_msix *msix, uint64_t offset, unsigned int size);
void pci_msix_write(struct pci_msix *msix, uint64_t offset, unsigned int size, uint64_t value);
void pci_msix_send(struct pci_msix *msix, unsigned int vector);

/* Any thread: are interrupts messages? */
static inline bool pci_msix_enabled(const struct pci_msix *msix)
{
	return __atomic_load_n(&msix->enabled, __ATOMIC_RELAXED);
}

#endif /* VIREO_PCI_MSIX_H */
