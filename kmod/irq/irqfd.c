// SPDX-License-Identifier: GPL-2.0-only
/*
 * irqfds: a signal of an eventfd becomes an interrupt.
 *
 * An entry waits at its eventfd.  Its callback runs in whatever context signals, with the eventfd's own
 * lock held, and that is the only lock there is: it also guards the entry's message and mask.  What an
 * interrupt needs beyond that (vCPUs, their APICs) is read without locks.
 *
 * There is no table of routes.  Each entry has its message, as the launcher's devices have theirs in
 * MSI-X tables and IOAPIC pins; changing one is one call and touches nothing else.
 *
 * While an entry is masked its signals stay in the eventfd, where the launcher can see them.
 *
 * Level-triggered lines (with a second eventfd, "resample"): from the message to the EOI of its vector
 * an entry waits, and signals of the line are dropped.  The EOI signals the second eventfd; whoever
 * drives the line then looks, and signals again if the line is still up.
 */
#include <linux/bitmap.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "../compat.h"
#include "irq.h"

#define VIREO_MAX_IRQFDS	1024

/**
 * struct irqfd - one entry
 * @list: in vm->irqfds; under vm->lock
 * @level: with @resample: in vm->irqfd_levels; RCU
 * @ctx: eventfd, referenced
 * @resample: eventfd, referenced; NULL: edge-triggered
 * @vm: VM
 * @wait: waits at the eventfd
 * @head: where; its lock is the eventfd's
 * @table: only to get there
 * @address: of the message; under @head's lock
 * @data: of the message; under @head's lock, read elsewhere
 * @waits: with @resample: the message is on its way or in service; anyone
 * @masked: under @head's lock
 * @gone: the eventfd's file is closed; under @head's lock
 */
struct irqfd {
	struct list_head list;
	struct list_head level;
	struct eventfd_ctx *ctx;
	struct eventfd_ctx *resample;
	struct vireo_vm *vm;
	wait_queue_entry_t wait;
	wait_queue_head_t *head;
	poll_table table;
	u64 address;
	u32 data;
	int waits;
	bool masked;
	bool gone;
};

/* The message goes out; under the eventfd's lock. */
static void irqfd_send(struct irqfd *e)
{
	this_cpu_inc(e->vm->cpu->msis);
	if (e->resample) {
		/*
		 * Pairs with irqfd_ended(): either this sees that the EOI has been, or the signal of
		 * the EOI comes after this one.
		 */
		if (xchg(&e->waits, 1))
			return;
		/* Nobody took it, so no EOI will come. */
		if (!vireo_send_msi(e->vm, e->address, e->data))
			xchg(&e->waits, 0);
		return;
	}
	vireo_send_msi(e->vm, e->address, e->data);
}

/* What the eventfd holds becomes an interrupt; under its lock.  True if there was something to take. */
static bool irqfd_take(struct irqfd *e)
{
	u64 count;

	if (e->masked || e->gone)
		return false;
	eventfd_ctx_do_read(e->ctx, &count);
	if (!count)
		return false;
	irqfd_send(e);
	return true;
}

static int irqfd_wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *e = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);

	/* Closed: what is left of the entry goes with the next call, or with the VM. */
	if (events & EPOLLHUP)
		e->gone = true;
	if (!(events & EPOLLIN))
		return 0;
	/* Taken: nothing is left for others who wait. */
	return irqfd_take(e);
}

static void irqfd_join(struct file *file, wait_queue_head_t *head, poll_table *table)
{
	struct irqfd *e = container_of(table, struct irqfd, table);

	e->head = head;
	add_wait_queue_priority(head, &e->wait);
}

/* The EOI for which an entry waits has come.  False: it did not wait. */
static bool irqfd_ended(struct irqfd *e)
{
	if (!READ_ONCE(e->waits) || !xchg(&e->waits, 0))
		return false;
	vireo_eventfd_signal(e->resample);
	return true;
}

bool vireo_irqfd_eoi(struct vireo_vm *vm, u8 vector)
{
	bool ended = false;
	struct irqfd *e;

	if (list_empty(&vm->irqfd_levels))
		return false;
	/* There the eventfd's lock sleeps: vireo_irqfd_eois() comes with interrupts on. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT) && irqs_disabled())
		return false;
	rcu_read_lock();
	list_for_each_entry_rcu(e, &vm->irqfd_levels, level) {
		if ((READ_ONCE(e->data) & 0xff) == vector)
			ended |= irqfd_ended(e);
	}
	rcu_read_unlock();
	/* Messages of VIREO_SEND_MSI may have had the same vector. */
	return ended && !test_and_clear_bit(vector, vm->level_sent);
}

void vireo_irqfd_eois(struct vireo_vm *vm, u64 vectors[4])
{
	u32 vector;

	if (!IS_ENABLED(CONFIG_PREEMPT_RT) || list_empty(&vm->irqfd_levels))
		return;
	for_each_set_bit(vector, (unsigned long *)vectors, 256) {
		if (vireo_irqfd_eoi(vm, vector))
			vectors[vector / 64] &= ~BIT_ULL(vector % 64);
	}
}

static void irqfd_free(struct irqfd *e)
{
	eventfd_ctx_put(e->ctx);
	if (e->resample)
		eventfd_ctx_put(e->resample);
	kfree(e);
}

/*
 * Take an entry out: no callback runs when this returns, and what the eventfd holds stays there.
 * Then synchronize_rcu(), then irqfd_free().
 */
static void irqfd_leave(struct irqfd *e)
{
	remove_wait_queue(e->head, &e->wait);
	list_del(&e->list);
	if (e->resample)
		list_del_rcu(&e->level);
	e->vm->nr_irqfds--;
}

static void irqfd_remove(struct irqfd *e)
{
	irqfd_leave(e);
	if (e->resample)
		synchronize_rcu();
	irqfd_free(e);
}

/* Entries whose eventfd has been closed. */
static void irqfd_sweep(struct vireo_vm *vm)
{
	struct irqfd *e, *next;

	list_for_each_entry_safe(e, next, &vm->irqfds, list) {
		if (READ_ONCE(e->gone))
			irqfd_remove(e);
	}
}

static struct irqfd *irqfd_find(struct vireo_vm *vm, const struct eventfd_ctx *ctx)
{
	struct irqfd *e;

	list_for_each_entry(e, &vm->irqfds, list) {
		if (e->ctx == ctx)
			return e;
	}
	return NULL;
}

/* Another message or mask.  What came while it was masked, and all that comes from now on, has the new one. */
static int irqfd_update(struct irqfd *e, const struct vireo_irqfd *arg,
			const struct eventfd_ctx *resample)
{
	bool other;

	if (resample != e->resample)
		return -EBUSY;
	spin_lock_irq(&e->head->lock);
	other = e->address != arg->address || e->data != arg->data;
	e->address = arg->address;
	WRITE_ONCE(e->data, arg->data);
	e->masked = arg->flags & VIREO_IRQFD_MASKED;
	irqfd_take(e);
	spin_unlock_irq(&e->head->lock);
	/* The EOI of the old vector is nobody's any more, and the line may be up: have it looked at. */
	if (other && resample)
		irqfd_ended(e);
	return 0;
}

static int irqfd_add(struct vireo_vm *vm, const struct vireo_irqfd *arg, struct file *file,
		     struct eventfd_ctx *ctx, struct eventfd_ctx *resample)
{
	struct irqfd *e;

	if (vm->nr_irqfds >= VIREO_MAX_IRQFDS)
		return -ENOSPC;
	e = kzalloc(sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	e->vm = vm;
	e->ctx = ctx;
	e->resample = resample;
	e->address = arg->address;
	e->data = arg->data;
	e->masked = arg->flags & VIREO_IRQFD_MASKED;
	init_waitqueue_func_entry(&e->wait, irqfd_wake);
	init_poll_funcptr(&e->table, irqfd_join);

	list_add_tail(&e->list, &vm->irqfds);
	if (resample)
		list_add_tail_rcu(&e->level, &vm->irqfd_levels);
	vm->nr_irqfds++;
	vfs_poll(file, &e->table);
	/* What it held before, and has woken nobody. */
	spin_lock_irq(&e->head->lock);
	irqfd_take(e);
	spin_unlock_irq(&e->head->lock);
	return 0;
}

static int irqfd_check(const struct vireo_irqfd *arg)
{
	const u32 known = VIREO_IRQFD_RESAMPLE | VIREO_IRQFD_MASKED | VIREO_IRQFD_REMOVE;

	if (arg->pad || (arg->flags & ~known))
		return -EINVAL;
	if (arg->flags & VIREO_IRQFD_REMOVE)
		return arg->flags != VIREO_IRQFD_REMOVE || arg->address || arg->data ||
		       arg->resample ? -EINVAL : 0;
	if (!(arg->flags & VIREO_IRQFD_RESAMPLE))
		return arg->resample ? -EINVAL : 0;
	/* Only a message for a level has its EOI told; one with no vector has none. */
	if ((arg->data & (VIREO_MSI_LEVEL | VIREO_MSI_ASSERT)) != (VIREO_MSI_LEVEL | VIREO_MSI_ASSERT) ||
	    (arg->data >> 8 & 7) > 1)
		return -EINVAL;
	return 0;
}

int vireo_irqfd_set(struct vireo_vm *vm, const struct vireo_irqfd *arg)
{
	struct eventfd_ctx *ctx, *resample = NULL;
	struct irqfd *e;
	struct file *file;
	int r;

	lockdep_assert_held(&vm->lock);
	r = irqfd_check(arg);
	if (r)
		return r;
	file = eventfd_fget(arg->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	ctx = eventfd_ctx_fileget(file);
	if (arg->flags & VIREO_IRQFD_RESAMPLE) {
		resample = eventfd_ctx_fdget(arg->resample);
		if (IS_ERR(resample)) {
			r = PTR_ERR(resample);
			resample = NULL;
			goto put;
		}
		/* An EOI that raises the line by itself would never end. */
		r = -EINVAL;
		if (resample == ctx)
			goto put;
	}

	irqfd_sweep(vm);
	e = irqfd_find(vm, ctx);
	if (arg->flags & VIREO_IRQFD_REMOVE) {
		r = -ENOENT;
		if (e) {
			irqfd_remove(e);
			r = 0;
		}
	} else if (e) {
		r = irqfd_update(e, arg, resample);
	} else {
		r = irqfd_add(vm, arg, file, ctx, resample);
		/* The references are the entry's. */
		if (!r)
			goto out;
	}
put:
	eventfd_ctx_put(ctx);
	if (resample)
		eventfd_ctx_put(resample);
out:
	fput(file);
	return r;
}

void vireo_irqfd_destroy(struct vireo_vm *vm)
{
	struct irqfd *e, *next;

	/* No vCPU runs any more, so nobody reads the list of levels. */
	list_for_each_entry_safe(e, next, &vm->irqfds, list) {
		irqfd_leave(e);
		irqfd_free(e);
	}
}
