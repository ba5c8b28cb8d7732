// SPDX-License-Identifier: GPL-2.0-only
/*
 * A message is sent with its vector's lock held: once the guest has masked a vector and its write is
 * done, nothing of that vector comes any more.
 */
#include <string.h>

#include "msix.h"
#include "../util.h"

#define CAP_BYTES	12
#define CAP_CONTROL	2
#define CAP_TABLE	4
#define CAP_PBA		8
#define CONTROL_ENABLE	0x80		/* of the upper byte */
#define CONTROL_MASK	0x40
#define ENTRY_BYTES	16
#define ENTRY_MASKED	1U

/* The vector's lock is held. */
static void send(struct pci_msix *msix, unsigned int vector)
{
	struct board *board = msix->function->device.board;

	msix->pending[vector] = 0;
	board->host_ops->send_msi(board->host, msix->address[vector], msix->data[vector]);
}

/**
 * pci_msix_send() - interrupt; any thread
 * @msix: it
 * @vector: which, below its number of them
 */
void pci_msix_send(struct pci_msix *msix, unsigned int vector)
{
	pthread_mutex_lock(&msix->lock[vector]);
	if (__atomic_load_n(&msix->on, __ATOMIC_RELAXED) && !(msix->control[vector] & ENTRY_MASKED))
		send(msix, vector);
	else
		msix->pending[vector] = pci_msix_enabled(msix);
	pthread_mutex_unlock(&msix->lock[vector]);
}

/* What waits may go now. */
static void flush(struct pci_msix *msix, unsigned int vector)
{
	pthread_mutex_lock(&msix->lock[vector]);
	if (msix->pending[vector] && msix->on && !(msix->control[vector] & ENTRY_MASKED))
		send(msix, vector);
	pthread_mutex_unlock(&msix->lock[vector]);
}

/**
 * pci_msix_changed() - the capability or the command register may have been written
 * @msix: it
 */
void pci_msix_changed(struct pci_msix *msix)
{
	uint8_t control = msix->function->config[msix->cap + CAP_CONTROL + 1];
	bool enabled = control & CONTROL_ENABLE;
	bool on = enabled && !(control & CONTROL_MASK) && pci_master(msix->function);
	unsigned int i;

	__atomic_store_n(&msix->enabled, enabled, __ATOMIC_RELAXED);
	if (on == msix->on)
		return;
	__atomic_store_n(&msix->on, on, __ATOMIC_RELAXED);
	/* Also waits until nobody is sending under the old rule. */
	for (i = 0; i < msix->nr; i++)
		flush(msix, i);
}

/**
 * pci_msix_reset() - nothing is pending, all is masked; configuration space is reset already
 * @msix: it
 */
void pci_msix_reset(struct pci_msix *msix)
{
	unsigned int i;

	for (i = 0; i < msix->nr; i++) {
		pthread_mutex_lock(&msix->lock[i]);
		msix->address[i] = 0;
		msix->data[i] = 0;
		msix->control[i] = ENTRY_MASKED;
		msix->pending[i] = 0;
		pthread_mutex_unlock(&msix->lock[i]);
	}
	pci_msix_changed(msix);
}

/**
 * pci_msix_possible() - could a table be like that?
 * @msix: with vectors that come from outside
 *
 * Return: true if a guest could have brought it there.
 */
bool pci_msix_possible(const struct pci_msix *msix)
{
	unsigned int i;

	for (i = 0; i < msix->nr; i++)
		if (msix->address[i] & 3 || msix->control[i] & ~ENTRY_MASKED || msix->pending[i] > 1)
			return false;
	return true;
}

static uint32_t pending_bits(struct pci_msix *msix, unsigned int first)
{
	uint32_t bits = 0;
	unsigned int i;

	for (i = first; i < msix->nr && i < first + 32; i++) {
		pthread_mutex_lock(&msix->lock[i]);
		if (msix->pending[i])
			bits |= BIT(i - first);
		pthread_mutex_unlock(&msix->lock[i]);
	}
	return bits;
}

/* @offset is a multiple of four. */
static uint32_t read_word(struct pci_msix *msix, uint64_t offset)
{
	unsigned int vector = (unsigned int)(offset / ENTRY_BYTES);
	uint32_t value = 0;

	if (offset >= PCI_MSIX_PBA)
		return pending_bits(msix, (unsigned int)(offset - PCI_MSIX_PBA) * 8);
	if (vector >= msix->nr)
		return 0;
	/* Only threads with the board's lock write. */
	switch (offset % ENTRY_BYTES) {
	case 0:
		value = (uint32_t)msix->address[vector];
		break;
	case 4:
		value = (uint32_t)(msix->address[vector] >> 32);
		break;
	case 8:
		value = msix->data[vector];
		break;
	case 12:
		value = msix->control[vector];
		break;
	}
	return value;
}

static void write_word(struct pci_msix *msix, uint64_t offset, uint32_t value)
{
	unsigned int vector = (unsigned int)(offset / ENTRY_BYTES);

	if (vector >= msix->nr)
		return;		/* the pending bits are there, too: read-only */
	pthread_mutex_lock(&msix->lock[vector]);
	switch (offset % ENTRY_BYTES) {
	case 0:
		msix->address[vector] = (msix->address[vector] & ~0xffffffffULL) | (value & ~3U);
		break;
	case 4:
		msix->address[vector] = (uint32_t)msix->address[vector] | (uint64_t)value << 32;
		break;
	case 8:
		msix->data[vector] = value;
		break;
	case 12:
		msix->control[vector] = value & ENTRY_MASKED;
		break;
	}
	pthread_mutex_unlock(&msix->lock[vector]);
	flush(msix, vector);
}

/**
 * pci_msix_read() - read of the BAR
 * @msix: it
 * @offset: where, aligned to @size, or all ones come
 * @size: 4 or 8 bytes, or all ones come
 *
 * Return: what is there.
 */
uint64_t pci_msix_read(struct pci_msix *msix, uint64_t offset, unsigned int size)
{
	if ((size != 4 && size != 8) || offset % size)
		return ~0ULL;
	if (size == 4)
		return read_word(msix, offset);
	return read_word(msix, offset) | (uint64_t)read_word(msix, offset + 4) << 32;
}

/**
 * pci_msix_write() - write to the BAR
 * @msix: it
 * @offset: where, aligned to @size, or nothing happens
 * @size: 4 or 8 bytes, or nothing happens
 * @value: what
 */
void pci_msix_write(struct pci_msix *msix, uint64_t offset, unsigned int size, uint64_t value)
{
	if ((size != 4 && size != 8) || offset % size)
		return;
	write_word(msix, offset, (uint32_t)value);
	if (size == 8)
		write_word(msix, offset + 4, (uint32_t)(value >> 32));
}

/**
 * pci_msix_init() - give a function messages; before pci_plug()
 * @msix: to be initialised
 * @function: whose
 * @bar: BAR for the table
 * @nr: vectors, 1 to PCI_MSIX_MAX
 */
void pci_msix_init(struct pci_msix *msix, struct pci_function *function, unsigned int bar,
		   unsigned int nr)
{
	uint32_t table = bar, pba = PCI_MSIX_PBA | bar;
	unsigned int i;

	memset(msix, 0, sizeof(*msix));
	msix->function = function;
	msix->nr = nr;
	msix->bar = bar;
	for (i = 0; i < nr; i++) {
		pthread_mutex_init(&msix->lock[i], NULL);
		msix->control[i] = ENTRY_MASKED;
	}
	pci_add_bar(function, bar, &(struct pci_bar){ .bytes = PCI_MSIX_BAR_BYTES });
	msix->cap = pci_add_cap(function, PCI_CAP_MSIX, CAP_BYTES);
	function->config[msix->cap + CAP_CONTROL] = (uint8_t)(nr - 1);
	function->writable[msix->cap + CAP_CONTROL + 1] = CONTROL_ENABLE | CONTROL_MASK;
	memcpy(&function->config[msix->cap + CAP_TABLE], &table, sizeof(table));
	memcpy(&function->config[msix->cap + CAP_PBA], &pba, sizeof(pba));
	function->msix = msix;
}

/**
 * pci_msix_destroy() - nobody sends any more
 * @msix: it
 */
void pci_msix_destroy(struct pci_msix *msix)
{
	unsigned int i;

	for (i = 0; i < msix->nr; i++)
		pthread_mutex_destroy(&msix->lock[i]);
}
