// SPDX-License-Identifier: GPL-2.0-only
/*
 * Proof of the shadow tables: every page is held against the guest's tables, the regions, the host's
 * page table and the lists.
 *
 * VIREO_CHECK asks for it.  On a kernel with KASAN it also runs by itself, every so many faults and
 * invalidations and at the end, and what it finds ends the VM.
 *
 * The rules are written down here once more, and not by the functions that build the tables, so
 * that a mistake there does not prove itself.  Nothing found is followed before it has been
 * found sound: ids before pages, pages before lists.
 *
 * Two kinds of tables are not held against the guest's: those out of step, which is what that means, and
 * those that no vCPU's root leads to.  The latter are followed too, but a launcher may write,
 * for a device, to what was a table once.
 *
 * Locking: mmu->lock held for writing.  The host's tables are read with interrupts off.
 */
#include <linux/mem_encrypt.h>
#include <linux/stdarg.h>

#include "host.h"
#include "notifier.h"
#include "shadow.h"

/* Automatic checks: one for so many calls. */
#define CHECK_EVERY	1024

/**
 * struct check - a check while it goes on
 * @vm: whose tables
 * @s: the same
 * @map: its regions
 * @result: what is told
 * @guest: the guest's tables can be read: this is the VM's own mm
 * @sound: structure found good so far: it can be followed
 * @leaves: leaves of each level
 * @links: entries that point to tables
 * @tables: pages that follow a table
 */
struct check {
	struct vireo_vm *vm;
	struct vireo_shadow *s;
	const struct vireo_mem_map *map;
	struct vireo_check *result;
	bool guest;
	bool sound;
	u64 leaves[TDP_MAX_LEVEL + 1];
	u64 links;
	u64 tables;
};

static __printf(2, 3) void violation(struct check *c, const char *format, ...)
{
	va_list args;

	if (c->result->violations++)
		return;
	va_start(args, format);
	vscnprintf(c->result->text, sizeof(c->result->text), format, args);
	va_end(args);
}

/* One that makes it unsafe to go on. */
#define broken(c, ...)			\
do {					\
	violation(c, __VA_ARGS__);	\
	(c)->sound = false;		\
} while (0)

/* Which page, for the text. */
#define PAGE_FORMAT	"page %u (gfn %#llx, role %#x)"
#define PAGE_ARGS(sp)	(sp)->id, (sp)->gfn, (sp)->role.word

/* ------------------------------------------------------------------ */
/* Pages: numbers, hash, lists, counters                                */

static bool id_is_page(const struct vireo_shadow *s, u32 id)
{
	return id && id < s->capacity && !((unsigned long)s->by_id[id] & 1);
}

static void check_one_page(struct check *c, struct shadow_page *sp)
{
	struct vireo_shadow *s = c->s;
	const struct shadow_page *other;
	unsigned int i, same = 0;

	if (!id_is_page(s, sp->id) || s->by_id[sp->id] != sp) {
		broken(c, PAGE_FORMAT ": not under its number", PAGE_ARGS(sp));
		return;
	}
	if (shadow_page_of(sp->table) != sp)
		broken(c, PAGE_FORMAT ": its table is another's", PAGE_ARGS(sp));
	if (sp->invalid)
		broken(c, PAGE_FORMAT ": cut off, but in use", PAGE_ARGS(sp));
	if (!sp->role.level || sp->role.level > (sp->role.format == SHADOW_5LEVEL ? 5 : 4))
		broken(c, PAGE_FORMAT ": no such level", PAGE_ARGS(sp));
	hlist_for_each_entry(other, shadow_bucket(s, sp->gfn), hash)
		same += other->gfn == sp->gfn && other->role.word == sp->role.word;
	if (same != 1)
		broken(c, PAGE_FORMAT ": found %u times by frame and role", PAGE_ARGS(sp), same);
	for (i = 0; i < SHADOW_ENTRIES; i++) {
		if (test_bit(i, sp->used) != !!sp->table[i]) {
			broken(c, PAGE_FORMAT ": entry %u is %#llx, but %sin use", PAGE_ARGS(sp), i,
			       sp->table[i], test_bit(i, sp->used) ? "" : "not ");
			return;
		}
	}
	sp->live = sp->roots;
	if (shadow_is_direct(sp))
		return;
	c->tables++;
	if (!vireo_mem_find(c->map, sp->gfn))
		broken(c, PAGE_FORMAT ": follows a table outside of all regions", PAGE_ARGS(sp));
	else if (sp->hva != vireo_mem_hva(vireo_mem_find(c->map, sp->gfn), sp->gfn))
		violation(c, PAGE_FORMAT ": its table is at another address", PAGE_ARGS(sp));
}

static u32 list_length(const struct list_head *head)
{
	const struct list_head *p;
	u32 n = 0;

	list_for_each(p, head)
		n++;
	return n;
}

static void check_pages(struct check *c)
{
	struct vireo_shadow *s = c->s;
	u32 nr = 0, hashed = 0, free = 0, cut = 0, unsync = 0, id, i;
	struct shadow_page *sp;

	list_for_each_entry(sp, &s->pages, list) {
		nr++;
		check_one_page(c, sp);
		if (!c->sound)
			return;
		unsync += !list_empty(&sp->unsync);
	}
	for (i = 0; i < ARRAY_SIZE(s->hash); i++) {
		hlist_for_each_entry(sp, &s->hash[i], hash) {
			hashed++;
			if (shadow_bucket(s, sp->gfn) != &s->hash[i])
				broken(c, PAGE_FORMAT ": in the wrong bucket", PAGE_ARGS(sp));
		}
	}
	/* Cut off while a root: they have their number until the last vCPU lets go. */
	for (id = 1; id < s->capacity; id++) {
		if (!id_is_page(s, id)) {
			free++;
			continue;
		}
		sp = s->by_id[id];
		if (sp->invalid) {
			cut++;
			if (!sp->roots || sp->parents || !bitmap_empty(sp->used, SHADOW_ENTRIES))
				broken(c, PAGE_FORMAT ": cut off, but not empty", PAGE_ARGS(sp));
		}
	}
	if (hashed != nr)
		broken(c, "%u pages, of which %u can be found", nr, hashed);
	if (nr + cut != s->nr || nr + cut + free != s->capacity - 1)
		broken(c, "%u pages, %u cut off, %u numbers free of %u: counted are %u", nr, cut,
		       free, s->capacity - 1, s->nr);
	for (i = 0, id = s->free_id; id; i++) {
		if (id >= s->capacity || id_is_page(s, id) || i >= free) {
			broken(c, "number %u is not free", id);
			return;
		}
		id = (unsigned long)s->by_id[id] >> 1;
	}
	if (i != free)
		broken(c, "%u free numbers are lost", free - i);
	if (list_length(&s->limbo) != s->nr_limbo || list_length(&s->spare) != s->nr_spare)
		broken(c, "spare pages or those that wait for a flush are not as many as counted");
	list_for_each_entry(sp, &s->unsync, unsync) {
		unsync--;
		if (sp->role.level != 1 || shadow_is_direct(sp))
			violation(c, PAGE_FORMAT ": out of step", PAGE_ARGS(sp));
	}
	if (unsync)
		violation(c, "list of the pages out of step: %u too %s", abs((int)unsync),
			  (int)unsync > 0 ? "few" : "many");
	list_for_each_entry(sp, &s->spare, list) {
		if (memchr_inv(sp->table, 0, PAGE_SIZE) || !bitmap_empty(sp->used, SHADOW_ENTRIES))
			broken(c, "a spare page is not empty");
	}
	c->result->pages = nr;
	c->result->unsync = list_length(&s->unsync);
}

/* ------------------------------------------------------------------ */
/* Roots                                                                */

static u32 count_roots(struct check *c, const struct shadow_page *sp)
{
	struct vireo_vcpu *vcpu;
	u32 n = 0, i, k;

	vireo_for_each_vcpu(i, vcpu, c->vm) {
		n += vcpu->shadow.root == sp;
		for (k = 0; k < 4; k++)
			n += vcpu->shadow.pd[k] == sp;
	}
	return n;
}

static void check_roots(struct check *c)
{
	struct shadow_page *sp;
	struct vireo_vcpu *vcpu;
	u32 i, id, k;

	for (id = 1; id < c->s->capacity; id++) {
		if (!id_is_page(c->s, id))
			continue;
		sp = c->s->by_id[id];
		if (count_roots(c, sp) != sp->roots)
			broken(c, PAGE_FORMAT ": root of %u vCPUs, counted are %u", PAGE_ARGS(sp),
			       count_roots(c, sp), sp->roots);
	}
	vireo_for_each_vcpu(i, vcpu, c->vm) {
		const struct vireo_shadow_vcpu *sv = &vcpu->shadow;
		bool pd = sv->pd[0] || sv->pd[1] || sv->pd[2] || sv->pd[3];

		if (sv->root && pd)
			broken(c, "vCPU %u: roots of two kinds", vcpu->id);
		if (sv->root && sv->root->role.level < 4)
			broken(c, "vCPU %u: root of level %u", vcpu->id, sv->root->role.level);
		/* A vCPU without any root may have left its tables, and what is here, behind. */
		for (k = 0; k < 4 && (sv->root || pd); k++) {
			u64 want = sv->pd[k] ? __sme_set(virt_to_phys(sv->pd[k]->table)) |
					       PT_PRESENT : 0;

			/* QEMU 7.2 sets the accessed bit there, as in the guest's (walk.c). */
			if ((sv->pae[k] ^ want) & ~PT_ACCESSED)
				broken(c, "vCPU %u: entry %u of PAE's four is %#llx, not %#llx",
				       vcpu->id, k, sv->pae[k], want);
			if (sv->pd[k] && sv->pd[k]->role.level != 2)
				broken(c, "vCPU %u: root %u of level %u", vcpu->id, k,
				       sv->pd[k]->role.level);
		}
	}
}

/* ------------------------------------------------------------------ */
/* Lists of entries                                                     */

/* The page that an entry's number is of, NULL: of none that uses it. */
static struct shadow_page *entry_page(const struct vireo_shadow *s, u32 entry)
{
	struct shadow_page *sp;

	if (!id_is_page(s, entry / SHADOW_ENTRIES))
		return NULL;
	sp = shadow_by_id(s, entry);
	return test_bit(entry % SHADOW_ENTRIES, sp->used) ? sp : NULL;
}

/* The list that entry @i should be on; NULL: what it points to is nothing of ours. */
static u32 *entry_head(struct check *c, struct shadow_page *sp, unsigned int i)
{
	const u64 entry = sp->table[i];
	const struct vireo_mem *mem;
	struct shadow_page *child;

	if (shadow_is_leaf(sp, entry)) {
		mem = vireo_mem_find(c->map, sp->gfns[i]);
		return mem && sp->role.level <= TDP_MAX_LEVEL ?
			&shadow_frame(mem, sp->gfns[i], sp->role.level)->first : NULL;
	}
	if (!pfn_valid((__sme_clr(entry) & PT_ADDRESS) >> PAGE_SHIFT))
		return NULL;
	child = shadow_child(entry);
	/* It may be any page's private word: read, but believed only if the number's page is it. */
	if (!virt_addr_valid(child) || !id_is_page(c->s, child->id) ||
	    c->s->by_id[child->id] != child)
		return NULL;
	return &child->parents;
}

/* All entries of the list at @head are of it; their number is added to *@n. */
static void check_list(struct check *c, const u32 *head, u64 *n)
{
	u64 most = c->leaves[1] + c->leaves[2] + c->leaves[3] + c->links;
	u32 entry = *head, before = 0;
	struct shadow_page *sp;

	while (entry) {
		const unsigned int i = entry % SHADOW_ENTRIES;

		sp = entry_page(c->s, entry);
		if (!sp || ++*n > most) {
			broken(c, "a list has entry %u of page %u, which is not in use or on it twice",
			       i, entry / SHADOW_ENTRIES);
			return;
		}
		if (sp->prev[i] != before || entry_head(c, sp, i) != head) {
			broken(c, PAGE_FORMAT ": entry %u, %#llx, is on the wrong list",
			       PAGE_ARGS(sp), i, sp->table[i]);
			return;
		}
		before = entry;
		entry = sp->next[i];
	}
}

/* The reverse map of a region, and how many tables it says there are. */
static void check_frames(struct check *c, const struct vireo_mem *mem, u64 *listed, u64 *tables)
{
	int level;
	u64 i, k;

	for (level = 1; level <= TDP_MAX_LEVEL; level++) {
		const unsigned int shift = TDP_INDEX_BITS * (level - 1);
		const u64 first = mem->gfn >> shift;
		const u64 nr = ((mem->gfn + mem->pages - 1) >> shift) - first + 1;

		for (i = 0; i < nr && c->sound; i++) {
			const struct shadow_frame *frame = &mem->frames[level - 1][i];
			u64 below = 0;

			check_list(c, &frame->first, listed);
			if (level == 1) {
				*tables += frame->tables;
				continue;
			}
			/* As many as in the frames of 4 KiB that it has in the region. */
			for (k = max((first + i) << shift, mem->gfn);
			     k < min((first + i + 1) << shift, mem->gfn + mem->pages); k++)
				below += mem->frames[0][k - mem->gfn].tables;
			if (below != frame->tables)
				violation(c, "level %d, frame %#llx: %u tables, there are %llu",
					  level, first + i, frame->tables, below);
			if (frame->tables && frame->first)
				violation(c, "level %d, frame %#llx: mapped large, with tables in it",
					  level, first + i);
		}
	}
}

static void check_lists(struct check *c)
{
	u64 listed = 0, tables = 0, entries;
	struct shadow_page *sp;
	unsigned int i;
	u32 n;

	list_for_each_entry(sp, &c->s->pages, list) {
		for_each_set_bit(i, sp->used, SHADOW_ENTRIES) {
			if (!shadow_is_leaf(sp, sp->table[i])) {
				c->links++;
			} else if (sp->role.level <= TDP_MAX_LEVEL) {
				c->leaves[sp->role.level]++;
			} else {
				broken(c, PAGE_FORMAT ": leaf %#llx", PAGE_ARGS(sp), sp->table[i]);
				return;
			}
		}
	}
	entries = c->leaves[1] + c->leaves[2] + c->leaves[3] + c->links;
	c->result->entries = entries;

	for (n = 0; n < c->map->nr && c->sound; n++)
		check_frames(c, &c->map->mem[n], &listed, &tables);
	list_for_each_entry(sp, &c->s->pages, list) {
		if (c->sound)
			check_list(c, &sp->parents, &listed);
	}
	/* All that were found are in use and different, so none is missing. */
	if (c->sound && listed != entries)
		broken(c, "%llu entries, of which %llu are on a list", entries, listed);
	if (tables != c->tables)
		violation(c, "%llu tables are followed, counted are %llu", c->tables, tables);
	/* Nested tables count in the same place. */
	for (i = 1; i <= TDP_MAX_LEVEL && !vireo_caps.nested_paging; i++) {
		if (atomic_long_read(&c->vm->mmu.pages[i]) != c->leaves[i])
			violation(c, "level %u: %llu leaves, counted are %ld", i, c->leaves[i],
				  atomic_long_read(&c->vm->mmu.pages[i]));
	}
}

/* ------------------------------------------------------------------ */
/* Leaves and the host                                                  */

static void check_leaf(struct check *c, const struct shadow_page *sp, unsigned int i)
{
	const int level = sp->role.level;
	const u64 gfn = sp->gfns[i], entry = sp->table[i], span = tdp_pages(level);
	const struct vireo_mem *mem = vireo_mem_find(c->map, gfn);
	const unsigned long hva = vireo_mem_hva(mem, gfn);
	u64 host, *hostp;
	int host_level;

	if ((gfn & (span - 1)) || !vireo_mem_holds(mem, gfn + span - 1)) {
		violation(c, PAGE_FORMAT ": entry %u maps gfn %#llx, beyond its region",
			  PAGE_ARGS(sp), i, gfn);
		return;
	}
	if ((entry & PT_WRITE) && (mem->flags & VIREO_REGION_READONLY))
		violation(c, PAGE_FORMAT ": entry %u: read-only gfn %#llx is writable",
			  PAGE_ARGS(sp), i, gfn);
	/* The range that is marked may be wider than what has been dropped of it. */
	if (vireo_invalidating(&c->vm->mmu, hva, hva + (span << PAGE_SHIFT)))
		return;
	host_level = host_leaf(c->vm->mm, hva, &host, &hostp);
	if (host_level < level || (host & HOST_NEED) != HOST_NEED) {
		violation(c, PAGE_FORMAT ": entry %u maps gfn %#llx, which the host has not",
			  PAGE_ARGS(sp), i, gfn);
		return;
	}
	if (((host_page(host, host_level, hva) ^ __sme_clr(entry)) & PT_ADDRESS & PTE_PFN_MASK))
		violation(c, PAGE_FORMAT ": entry %u, %#llx, maps gfn %#llx elsewhere than %#llx",
			  PAGE_ARGS(sp), i, entry, gfn, host);
	if ((entry & PT_WRITE) && (host & HOST_ODD ? !(host & _PAGE_RW) : !host_writable(host)))
		violation(c, PAGE_FORMAT ": entry %u: gfn %#llx is writable, the host's is %#llx",
			  PAGE_ARGS(sp), i, gfn, host);
}

/* ------------------------------------------------------------------ */
/* Entries and the guest's                                              */

static u64 guest_large_gfn(const struct shadow_page *sp, unsigned int i, u64 guest)
{
	if (sp->role.format != SHADOW_2LEVEL)
		return ((guest & PT_ADDRESS) >> PAGE_SHIFT) & ~(tdp_pages(sp->role.level) - 1);
	/* 4 MiB, of which each of ours maps a half; PSE-36: SDM vol. 3, 4.3. */
	return (guest & GENMASK(31, 22)) >> PAGE_SHIFT | (guest & GENMASK(20, 13)) << 7 |
	       (i & 1) * 512;
}

static bool guest_is_large(const struct shadow_page *sp, u64 guest)
{
	return sp->role.level > 1 && (guest & PT_LARGE) &&
	       (sp->role.format != SHADOW_2LEVEL || sp->role.pse);
}

/* What entry @i leads to: a leaf's frame, or a page's frame and role. */
static void check_target(struct check *c, const struct shadow_page *sp, unsigned int i, u64 gfn,
			 union shadow_role role)
{
	const u64 entry = sp->table[i];
	const struct shadow_page *child;

	if (shadow_is_leaf(sp, entry)) {
		if (sp->gfns[i] != gfn || (sp->role.level > 1 && role.format != SHADOW_DIRECT))
			violation(c, PAGE_FORMAT ": entry %u maps gfn %#x, should lead to %#llx",
				  PAGE_ARGS(sp), i, sp->gfns[i], gfn);
		return;
	}
	child = shadow_child(entry);
	if (child->gfn != gfn || child->role.word != role.word)
		violation(c, PAGE_FORMAT ": entry %u leads to gfn %#llx role %#x, not %#llx, %#x",
			  PAGE_ARGS(sp), i, child->gfn, child->role.word, gfn, role.word);
}

static void check_guest(struct check *c, const struct shadow_page *sp, unsigned int i)
{
	const u64 need = PT_PRESENT | PT_ACCESSED, entry = sp->table[i];
	union shadow_role role = { .word = 0 };
	u64 guest, gfn, allowed;
	bool large, leaf;

	if (!shadow_guest_entry(sp, i, &guest))
		return;
	if ((guest & need) != need) {
		violation(c, PAGE_FORMAT ": entry %u, %#llx: the guest's is %#llx", PAGE_ARGS(sp), i,
			  entry, guest);
		return;
	}
	large = guest_is_large(sp, guest);
	leaf = large || sp->role.level == 1;
	allowed = guest & (PT_WRITE | PT_USER);
	/* CR0.WP = 0: links leave it to the leaf, and that is for the supervisor's writes or for all that is no write. */
	if (sp->role.wp0 && !leaf)
		allowed |= PT_WRITE;
	else if (sp->role.wp0 && (sp->role.readonly || !(guest & PT_WRITE)))
		allowed = entry & PT_USER ? allowed & ~PT_WRITE : PT_WRITE;
	if (leaf && !(guest & PT_DIRTY))
		allowed &= ~PT_WRITE;
	if ((entry & (PT_WRITE | PT_USER) & ~allowed) || (guest & ~entry & PT_NX))
		violation(c, PAGE_FORMAT ": entry %u, %#llx, allows more than the guest's, %#llx",
			  PAGE_ARGS(sp), i, entry, guest);
	if ((guest & PT_NX) && !sp->role.nx)
		violation(c, PAGE_FORMAT ": entry %u: the guest's, %#llx, has a reserved bit",
			  PAGE_ARGS(sp), i, guest);
	if (!large) {
		gfn = (guest & (sp->role.format == SHADOW_2LEVEL ? GENMASK(31, 12) : PT_ADDRESS)) >>
		      PAGE_SHIFT;
		role = sp->role;
		role.quadrant = sp->role.format == SHADOW_2LEVEL ? i & 1 : 0;
		role.readonly |= sp->role.wp0 && !(guest & PT_WRITE);
	} else {
		gfn = guest_large_gfn(sp, i, guest);
	}
	role.level = sp->role.level - 1;
	check_target(c, sp, i, gfn, role);
}

static void check_direct(struct check *c, const struct shadow_page *sp, unsigned int i)
{
	union shadow_role role = { .word = 0 };

	role.level = sp->role.level - 1;
	check_target(c, sp, i, sp->gfn + i * tdp_pages(sp->role.level), role);
}

/* A table that is followed step by step: the guest cannot write to it unseen. */
static void check_protected(struct check *c, const struct shadow_page *sp)
{
	const struct vireo_mem *mem = vireo_mem_find(c->map, sp->gfn);
	u32 entry = shadow_frame(mem, sp->gfn, 1)->first;

	while (entry) {
		const struct shadow_page *other = shadow_by_id(c->s, entry);
		const unsigned int i = entry % SHADOW_ENTRIES;

		if (other->table[i] & PT_WRITE)
			violation(c, PAGE_FORMAT ": its table is writable by entry %u of page %u",
				  PAGE_ARGS(sp), i, other->id);
		entry = other->next[i];
	}
}

/* Which pages a root leads to: level by level, from the top. */
static void mark_live(struct check *c)
{
	struct shadow_page *sp;
	unsigned int level, i;

	for (level = 5; level > 1; level--) {
		list_for_each_entry(sp, &c->s->pages, list) {
			if (sp->role.level != level || !sp->live)
				continue;
			for_each_set_bit(i, sp->used, SHADOW_ENTRIES) {
				if (!shadow_is_leaf(sp, sp->table[i]))
					shadow_child(sp->table[i])->live = true;
			}
		}
	}
}

static void check_entries(struct check *c)
{
	struct shadow_page *sp;
	unsigned long flags;
	unsigned int i;

	mark_live(c);
	list_for_each_entry(sp, &c->s->pages, list) {
		const bool direct = shadow_is_direct(sp), step = list_empty(&sp->unsync);
		const bool guest = c->guest && !direct && step && sp->live &&
			!vireo_invalidating(&c->vm->mmu, sp->hva, sp->hva + PAGE_SIZE);

		if (!direct && step)
			check_protected(c, sp);
		for_each_set_bit(i, sp->used, SHADOW_ENTRIES) {
			const u64 entry = sp->table[i];

			if (!(entry & PT_PRESENT)) {
				violation(c, PAGE_FORMAT ": entry %u is %#llx", PAGE_ARGS(sp), i,
					  entry);
				continue;
			}
			if (shadow_is_leaf(sp, entry)) {
				/* Briefly: the host's tables stay as long as that. */
				local_irq_save(flags);
				check_leaf(c, sp, i);
				local_irq_restore(flags);
			}
			if (direct)
				check_direct(c, sp, i);
			else if (guest)
				check_guest(c, sp, i);
		}
	}
}

static void shadow_check(struct vireo_vm *vm, struct vireo_check *result)
{
	struct check c = {
		.vm = vm,
		.s = vm->mmu.shadow,
		.map = shadow_map(vm),
		.result = result,
		.guest = current->mm && current->mm == vm->mm,
		.sound = true,
	};

	lockdep_assert_held_write(&vm->mmu.lock);
	result->limit = c.s->limit;
	result->reclaimed = c.s->reclaimed;
	check_pages(&c);
	if (c.sound)
		check_roots(&c);
	if (c.sound)
		check_lists(&c);
	if (c.sound)
		check_entries(&c);
}

int vireo_shadow_check(struct vireo_vm *vm, struct vireo_check *check)
{
	if (!vm->mmu.shadow)
		return -EOPNOTSUPP;
	*check = (struct vireo_check){ .size = check->size };
	write_lock(&vm->mmu.lock);
	shadow_check(vm, check);
	write_unlock(&vm->mmu.lock);
	return 0;
}

#if IS_ENABLED(CONFIG_KASAN)
void vireo_shadow_check_now(struct vireo_vm *vm)
{
	struct vireo_check result = {};

	if (!vm->mmu.shadow)
		return;
	shadow_check(vm, &result);
	if (result.violations) {
		WARN_ONCE(1, "shadow tables: %u violations: %s\n", result.violations, result.text);
		vireo_vm_kill(vm, "its shadow tables are wrong");
	}
}

void shadow_check_sometimes(struct vireo_vm *vm)
{
	if (!(++vm->mmu.shadow->changes % CHECK_EVERY))
		vireo_shadow_check_now(vm);
}
#endif
