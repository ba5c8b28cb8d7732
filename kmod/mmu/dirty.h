/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The set of a region's pages that were written, as one who follows it has it; track.c and rollback.c.
 */
#ifndef VIREO_DIRTY_H
#define VIREO_DIRTY_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/rcupdate.h>

/* Pages that a word of the summary stands for. */
#define TRACK_SPAN ((u64)BITS_PER_LONG * BITS_PER_LONG)

struct vireo_copies;

/**
 * struct vireo_dirty - the pages of a region that one consumer has to hear of
 * @rcu: faults with interrupts off may still mark when it goes
 * @kept: VIREO_TRACK_SNAPSHOT: the newest snapshot's copies; NULL: there is none
 * @summary: a bit for each word that may not be 0; behind @words, a multiple of eight words long
 * @words: a bit for each page
 */
struct vireo_dirty {
	struct rcu_head rcu;
	struct vireo_copies **kept;
	unsigned long *summary;
	unsigned long words[];
};

/*
 * The bits, then the summary's: a reader takes them in the other order.  The summary's is set also by who finds
 * the pages marked: whoever marked them may not have come to that yet.  If @ask: which of them were not marked.
 */
static __always_inline unsigned long dirty_mark(struct vireo_dirty *dirty, u64 word, unsigned long bits, const bool ask)
{
	unsigned long new = bits & ~READ_ONCE(dirty->words[word]);

	if (new && ask)
		new = bits & ~atomic_long_fetch_or(bits, (atomic_long_t *)&dirty->words[word]);
	else if (new)
		atomic_long_or(bits, (atomic_long_t *)&dirty->words[word]);
	/* Against the reader's: it clears the summary's bit before it takes the word. */
	smp_mb__after_atomic();
	if (!test_bit(word % BITS_PER_LONG, &dirty->summary[word / BITS_PER_LONG]))
		set_bit(word % BITS_PER_LONG, &dirty->summary[word / BITS_PER_LONG]);
	return new;
}

#endif /* VIREO_DIRTY_H */
