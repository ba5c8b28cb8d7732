/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The board: what devices are plugged into.
 *
 * A device knows the board and nothing of the launcher around it, so that the
 * unit tests give it a board of their own. The board's two buses are built
 * before the guest runs; everything else of it, and all state of all devices,
 * is protected by @lock. Who takes it: vCPU threads around a bus access, an
 * EOI or the acknowledge of the PIC; the event loop around timers and console
 * input; the main thread around a reset. Inside it nobody blocks: output goes
 * to a buffer that the console's own thread empties. No other lock but the
 * console's (struct console) is taken inside.
 */
#ifndef VIREO_BOARD_H
#define VIREO_BOARD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus.h"
#include "timers.h"

struct balloon;
struct board;
struct device;
struct device_state;
struct guest_memory;
struct pci_bus;
struct state_buffer;

/**
 * struct device_ops - what a board does with a device
 * @reset: bring it into the state after power-on; may be NULL
 * @destroy: free it; may be NULL
 * @stop: nothing of it goes on by itself until start(); called without the board's lock, while no vCPU
 *	  runs. May be NULL
 * @start: the machine goes on after stop(); may be NULL
 * @state: how its state is read and written; the structure that it speaks of begins with struct device
 */
struct device_ops {
	void (*reset)(struct device *device);
	void (*destroy)(struct device *device);
	void (*stop)(struct device *device);
	void (*start)(struct device *device);
	const struct device_state *state;
};

/**
 * struct device - the common part of all devices
 * @name: for messages
 * @ops: see there
 * @board: where it is plugged in
 * @next: the board's list
 */
struct device {
	const char *name;
	const struct device_ops *ops;
	struct board *board;
	struct device *next;
};

enum board_request {
	BOARD_NOTHING,
	BOARD_RESET,		/* the guest wants to start again */
	BOARD_POWEROFF,		/* the guest has switched itself off */
	BOARD_EXIT,		/* the guest ends the launcher with a status */
};

/**
 * struct board_host - what a board needs of those around it
 * @send_msi: deliver a message-signalled interrupt; how many local APICs took it
 * @extint: the 8259's output to the bootstrap processor has changed
 * @request: the guest wants the machine to end or to start again; @status
 *	     belongs to BOARD_EXIT. Returns before that has happened.
 *
 * @event: tell those who watch the machine of @name ("disk-full"), with a sentence; any thread
 * @pause: stop the machine until somebody resumes it; any thread. Returns before that has happened. @reason: a word,
 *	   such as "disk-full"
 * @ioeventfd: signal @fd when the guest writes @len bytes (0: any) at @addr of memory; -EOPNOTSUPP if
 *	       there is no such thing: the write then comes to the bus. @on: add or remove
 *
 * Those without "any thread", but for send_msi and ioeventfd, are called with the board's lock held, and none may take it.
 */
struct board_host {
	int (*send_msi)(void *host, uint64_t address, uint32_t data);
	void (*extint)(void *host, bool level);
	void (*request)(void *host, enum board_request request, int status);
	void (*event)(void *host, const char *name, const char *text);
	void (*pause)(void *host, const char *reason);
	int (*ioeventfd)(void *host, int fd, uint64_t addr, unsigned int len, bool on);
};

/**
 * struct irq_sink - an interrupt controller
 * @set: line @line has become @level
 * @opaque: handed to @set
 */
struct irq_sink {
	void (*set)(void *opaque, unsigned int line, bool level);
	void *opaque;
};

#define BOARD_GSIS 24
#define BOARD_ISA_IRQS 16

struct board {
	pthread_mutex_t lock;
	struct bus pio;
	struct bus mmio;
	struct timers timers;
	struct irq_sink pic;
	struct irq_sink ioapic;
	struct device *devices;
	struct pci_bus *pci;
	struct balloon *balloon;	/* NULL: there is none */
	struct guest_memory *memory;
	unsigned int nr_cpus;		/* set before devices are made; 1 by default */
	const struct board_host *host_ops;
	void *host;
};

int board_init(struct board *board, struct guest_memory *memory,
	       const struct board_host *host_ops, void *host);
void board_destroy(struct board *board);
void board_plug(struct board *board, struct device *device, const char *name,
		const struct device_ops *ops);
void board_reset(struct board *board);
void board_stop(struct board *board);
void board_start(struct board *board);
const char *board_busy(struct board *board);
void board_save(struct board *board, struct state_buffer *out);
int board_load(struct board *board, const void *data, size_t len);
void board_request(struct board *board, enum board_request request, int status);
void vireo_irq_set(struct board *board, unsigned int gsi, bool level);

static inline void board_lock(struct board *board)
{
	pthread_mutex_lock(&board->lock);
}

static inline void board_unlock(struct board *board)
{
	pthread_mutex_unlock(&board->lock);
}

#endif /* VIREO_BOARD_H */
