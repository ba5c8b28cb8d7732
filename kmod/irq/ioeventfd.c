// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfds: a write of the guest to an address becomes a signal of an eventfd.
 *
 * The table is an open-addressed hash, at most half full, never changed:
 * a new one replaces it (RCU and vm->srcu), and the lookup, which stands in the shortest exit
 * path that does I/O, is a multiplication and in nearly all cases one or two
 * comparisons.  Several entries may share an address with different lengths and
 * values; they lie behind each other in the order in which they are tried, the more
 * specific first: with a value to match before any value, with a length before any length.
 */
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "../compat.h"
#include "ioeventfd.h"

/* Also the longest chain that the guest can make the kernel follow with interrupts off. */
#define VIREO_MAX_IOEVENTFDS	512

/* No guest-physical address is higher. */
#define VIREO_IO_LAST_ADDRESS	(BIT_ULL(52) - 1)

static u64 ioeventfd_mask(u32 len)
{
	return len >= 8 ? U64_MAX : BIT_ULL(len * 8) - 1;
}

bool vireo_ioeventfd_signal(struct vireo_vm *vm, bool pio, u64 addr, u32 len, u64 data)
{
	struct vireo_ioeventfds *table;
	struct ioeventfd *e;

	table = rcu_dereference_check(vm->ioeventfds,
				      irqs_disabled() || srcu_read_lock_held(&vm->srcu));
	if (!table)
		return false;
	/* There the eventfd's lock sleeps; the slow path comes again with interrupts on. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT) && irqs_disabled())
		return false;
	e = vireo_ioeventfd_find(table, pio, addr, len, data);
	if (!e)
		return false;
	vireo_eventfd_signal(e->ctx);
	return true;
}

/* More specific first; else by address, so that the order does not depend on history. */
static int ioeventfd_compare(const void *left, const void *right)
{
	const struct ioeventfd *a = left, *b = right;

	if (!a->compare != !b->compare)
		return a->compare ? -1 : 1;
	if (!a->len != !b->len)
		return a->len ? -1 : 1;
	return a->key < b->key ? -1 : a->key > b->key;
}

static void ioeventfd_insert(struct vireo_ioeventfds *table, const struct ioeventfd *e)
{
	u32 i = hash_64(e->key, table->bits);

	while (table->slot[i].ctx)
		i = (i + 1) & table->mask;
	table->slot[i] = *e;
	table->nr++;
}

/* A table of @nr entries, which are sorted in place. */
struct vireo_ioeventfds *vireo_ioeventfd_build(struct ioeventfd *entries, u32 nr)
{
	struct vireo_ioeventfds *table;
	u32 bits = order_base_2(2 * max(nr, 1U)), i;

	table = kvzalloc(struct_size(table, slot, 1U << bits), GFP_KERNEL_ACCOUNT);
	if (!table)
		return NULL;
	table->bits = bits;
	table->mask = (1U << bits) - 1;
	sort(entries, nr, sizeof(*entries), ioeventfd_compare, NULL);
	for (i = 0; i < nr; i++)
		ioeventfd_insert(table, &entries[i]);
	return table;
}

/* 0 and @e filled but for its ctx, or -EINVAL. */
int vireo_ioeventfd_check(const struct vireo_ioeventfd *arg, struct ioeventfd *e)
{
	bool pio = arg->flags & VIREO_IOEVENTFD_PIO, match = arg->flags & VIREO_IOEVENTFD_MATCH;
	u64 last = pio ? 0xffff : VIREO_IO_LAST_ADDRESS;

	if (arg->flags & ~(VIREO_IOEVENTFD_PIO | VIREO_IOEVENTFD_MATCH | VIREO_IOEVENTFD_REMOVE))
		return -EINVAL;
	switch (arg->len) {
	case 0:
		/* A value has a width. */
		if (pio || match)
			return -EINVAL;
		break;
	case 8:
		if (pio)
			return -EINVAL;
		break;
	case 1:
	case 2:
	case 4:
		break;
	default:
		return -EINVAL;
	}
	if (arg->addr > last || last - arg->addr + 1 < arg->len)
		return -EINVAL;
	/* A value wider than the write never comes. */
	if (match && (arg->match & ~ioeventfd_mask(arg->len)))
		return -EINVAL;

	*e = (struct ioeventfd) {
		.key = pio ? arg->addr | VIREO_IO_PORTS : arg->addr,
		.len = arg->len,
		.compare = match ? ioeventfd_mask(arg->len) : 0,
		.match = match ? arg->match : 0,
	};
	return 0;
}

static bool ioeventfd_same(const struct ioeventfd *a, const struct ioeventfd *b)
{
	return a->key == b->key && a->len == b->len && a->compare == b->compare &&
	       a->match == b->match;
}

/* Copy the entries of @table but for @except; returns their number. */
static u32 ioeventfd_copy(const struct vireo_ioeventfds *table, const struct ioeventfd *except,
			  struct ioeventfd *to)
{
	u32 i, nr = 0;

	for (i = 0; table && i <= table->mask; i++) {
		if (table->slot[i].ctx && &table->slot[i] != except)
			to[nr++] = table->slot[i];
	}
	return nr;
}

static struct ioeventfd *ioeventfd_lookup(struct vireo_ioeventfds *table, const struct ioeventfd *e)
{
	u32 i;

	for (i = 0; table && i <= table->mask; i++) {
		if (table->slot[i].ctx && ioeventfd_same(&table->slot[i], e))
			return &table->slot[i];
	}
	return NULL;
}

static void ioeventfd_replace(struct vireo_vm *vm, struct vireo_ioeventfds *new)
{
	struct vireo_ioeventfds *old;

	old = rcu_replace_pointer(vm->ioeventfds, new, lockdep_is_held(&vm->lock));
	if (!old)
		return;
	/* Readers have interrupts off or hold vm->srcu. */
	synchronize_rcu();
	synchronize_srcu(&vm->srcu);
	kvfree(old);
}

int vireo_ioeventfd_set(struct vireo_vm *vm, const struct vireo_ioeventfd *arg)
{
	bool remove = arg->flags & VIREO_IOEVENTFD_REMOVE;
	struct vireo_ioeventfds *table, *new = NULL;
	struct ioeventfd e, *found, *entries;
	struct eventfd_ctx *ctx;
	u32 nr;
	int r;

	lockdep_assert_held(&vm->lock);
	r = vireo_ioeventfd_check(arg, &e);
	if (r)
		return r;
	ctx = eventfd_ctx_fdget(arg->fd);
	if (IS_ERR(ctx))
		return PTR_ERR(ctx);

	table = rcu_dereference_protected(vm->ioeventfds, lockdep_is_held(&vm->lock));
	found = ioeventfd_lookup(table, &e);
	nr = table ? table->nr : 0;
	if (remove) {
		r = -ENOENT;
		if (!found || found->ctx != ctx)
			goto put;
	} else {
		r = -EEXIST;
		if (found)
			goto put;
		r = -ENOSPC;
		if (nr >= VIREO_MAX_IOEVENTFDS)
			goto put;
	}

	r = -ENOMEM;
	entries = kvmalloc_array(nr + 1, sizeof(*entries), GFP_KERNEL_ACCOUNT);
	if (!entries)
		goto put;
	nr = ioeventfd_copy(table, found, entries);
	if (!remove) {
		e.ctx = ctx;
		entries[nr++] = e;
	}
	if (nr)
		new = vireo_ioeventfd_build(entries, nr);
	kvfree(entries);
	if (nr && !new)
		goto put;

	ioeventfd_replace(vm, new);
	if (remove) {
		/* The table's reference, and the one of the lookup. */
		eventfd_ctx_put(ctx);
		eventfd_ctx_put(ctx);
	}
	return 0;
put:
	eventfd_ctx_put(ctx);
	return r;
}

void vireo_ioeventfd_destroy(struct vireo_vm *vm)
{
	/* No vCPU runs any more, and nobody has the VM's file. */
	struct vireo_ioeventfds *table = rcu_dereference_protected(vm->ioeventfds, true);
	u32 i;

	if (!table)
		return;
	RCU_INIT_POINTER(vm->ioeventfds, NULL);
	for (i = 0; i <= table->mask; i++) {
		if (table->slot[i].ctx)
			eventfd_ctx_put(table->slot[i].ctx);
	}
	kvfree(table);
}
