// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory regions, and copies to and from guest-physical memory.
 *
 * The map is immutable once published.  A change builds a new one and publishes it
 * under vm->mmu.lock held for writing, together with the removal of the mappings that
 * it ends: whoever holds that lock sees map and mappings agree, so neither a
 * fault nor an MMU notifier can fall between the two.
 *
 * Locking: changes under vm->lock.  Readers: vm->srcu if they may sleep, else RCU or interrupts off.
 */
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mmu/mmu.h"
#include "mmu/rollback.h"
#include "mmu/track.h"
#include "region.h"

/* The map as it is allocated. */
struct mem_map_head {
	struct rcu_head rcu;
	struct vireo_mem_map map;
};

static struct mem_map_head *mem_map_head(const struct vireo_mem_map *map)
{
	return container_of(map, struct mem_map_head, map);
}

static struct vireo_mem_map *mem_map_alloc(u32 nr, u64 gen)
{
	struct mem_map_head *head;

	head = kvzalloc(sizeof(*head) + array_size(nr, sizeof(head->map.mem[0])),
			GFP_KERNEL_ACCOUNT);
	if (!head)
		return NULL;
	head->map.gen = gen;
	head->map.nr = nr;
	return &head->map;
}

const struct vireo_mem_map *vireo_mem_map(struct vireo_vm *vm)
{
	return vireo_mem_map_inline(vm);
}

const struct vireo_mem *vireo_mem_find(const struct vireo_mem_map *map, u64 gfn)
{
	u32 low = 0, high = map->nr;

	/* Invariant: regions below @low start at or before @gfn, those from @high on after it. */
	while (low < high) {
		u32 mid = (low + high) / 2;

		if (map->mem[mid].gfn <= gfn)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || !vireo_mem_holds(&map->mem[low - 1], gfn))
		return NULL;
	return &map->mem[low - 1];
}

const struct vireo_mem *vireo_vcpu_mem(struct vireo_vcpu *vcpu, u64 gfn)
{
	return vireo_mem_lookup(vcpu, vireo_mem_map_inline(vcpu->vm), gfn);
}

int vireo_regions_create(struct vireo_vm *vm)
{
	/* From 1: a new vCPU's last_mem_gen of 0 never matches. */
	struct vireo_mem_map *map = mem_map_alloc(0, 1);

	if (!map)
		return -ENOMEM;
	RCU_INIT_POINTER(vm->mem, map);
	return 0;
}

void vireo_regions_destroy(struct vireo_vm *vm)
{
	struct vireo_mem_map *map = rcu_dereference_protected(vm->mem, true);
	u32 i;

	RCU_INIT_POINTER(vm->mem, NULL);
	if (!map)
		return;
	for (i = 0; i < map->nr; i++) {
		vireo_shadow_free_region(&map->mem[i]);
		vireo_track_free(map->mem[i].track);
	}
	kvfree(mem_map_head(map));
}

/* A guest-physical address must fit the processor and the nested tables. */
static u64 region_limit(struct vireo_vm *vm)
{
	unsigned int bits = 12 + 9 * vm->mmu.levels;

	return 1ULL << min_t(unsigned int, bits, vireo_caps.phys_bits);
}

static int region_check(struct vireo_vm *vm, const struct vireo_region *arg)
{
	u64 end;

	if (arg->slot >= VIREO_MAX_REGIONS || (arg->flags & ~VIREO_REGION_READONLY))
		return -EINVAL;
	if (!arg->bytes || !PAGE_ALIGNED(arg->gpa | arg->bytes | arg->hva))
		return -EINVAL;
	if (check_add_overflow(arg->gpa, arg->bytes, &end) || end > region_limit(vm))
		return -EINVAL;
	if (!access_ok((void __user *)(unsigned long)arg->hva, arg->bytes))
		return -EINVAL;
	return 0;
}

static const struct vireo_mem *region_find_slot(const struct vireo_mem_map *map, u32 slot)
{
	u32 i;

	for (i = 0; i < map->nr; i++) {
		if (map->mem[i].slot == slot)
			return &map->mem[i];
	}
	return NULL;
}

const struct vireo_mem *vireo_region_find(struct vireo_vm *vm, u32 slot)
{
	return region_find_slot(vireo_mem_map(vm), slot);
}

/* Have @next in place of @map; frames from @start to @end are not what they were. */
static void region_publish(struct vireo_vm *vm, struct vireo_mem_map *map, struct vireo_mem_map *next,
			   u64 start, u64 end)
{
	vireo_mmu_publish(vm, next, start, end);
	/*
	 * The launcher may reuse the memory as soon as it hears of the removal: wait
	 * for copies of the module's own that still go there.  Those with interrupts off
	 * have ended in vireo_mmu_publish().  Without vCPUs there are none.
	 */
	if (vm->nr_vcpus)
		synchronize_srcu_expedited(&vm->srcu);
}

/*
 * Replace @old, NULL if the slot is empty, by @new, NULL to delete.
 * Everything that can fail comes first.
 */
static int region_replace(struct vireo_vm *vm, const struct vireo_mem *old,
			  const struct vireo_mem *new)
{
	struct vireo_mem_map *map = rcu_dereference_protected(vm->mem, lockdep_is_held(&vm->lock));
	struct vireo_mem_map *next;
	struct vireo_mem gone = {};
	u32 i, n = 0;

	next = mem_map_alloc(map->nr - !!old + !!new, map->gen + 1);
	if (!next)
		return -ENOMEM;
	for (i = 0; i < map->nr; i++) {
		if (&map->mem[i] == old) {
			gone = *old;
			continue;
		}
		if (new && map->mem[i].gfn > new->gfn) {
			next->mem[n++] = *new;
			new = NULL;
		}
		next->mem[n++] = map->mem[i];
	}
	if (new)
		next->mem[n++] = *new;

	region_publish(vm, map, next, old ? old->gfn : 0, old ? old->gfn + old->pages : 0);
	vireo_shadow_free_region(&gone);
	vireo_track_free(gone.track);
	kvfree_rcu(mem_map_head(map), rcu);
	return 0;
}

int vireo_region_track(struct vireo_vm *vm, const struct vireo_mem *mem, struct vireo_track *track,
		       bool drop)
{
	struct vireo_mem_map *map = rcu_dereference_protected(vm->mem, lockdep_is_held(&vm->lock));
	struct vireo_track *old = mem->track;
	struct vireo_mem_map *next;

	next = mem_map_alloc(map->nr, map->gen + 1);
	if (!next)
		return -ENOMEM;
	memcpy(next->mem, map->mem, array_size(map->nr, sizeof(map->mem[0])));
	next->mem[mem - map->mem].track = track;
	region_publish(vm, map, next, mem->gfn, drop ? mem->gfn + mem->pages : mem->gfn);
	if (old)
		kfree_rcu(old, rcu);
	kvfree_rcu(mem_map_head(map), rcu);
	return 0;
}

int vireo_region_set(struct vireo_vm *vm, const struct vireo_region *arg)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	const struct vireo_mem *old;
	struct vireo_mem new;
	u32 i;
	int r;

	lockdep_assert_held(&vm->lock);
	r = region_check(vm, arg);
	if (r)
		return r;
	if (!list_empty(&vm->points))
		return -EBUSY;

	new = (struct vireo_mem) {
		.gfn = arg->gpa >> PAGE_SHIFT,
		.pages = arg->bytes >> PAGE_SHIFT,
		.hva = arg->hva,
		.flags = arg->flags,
		.slot = arg->slot,
	};
	old = region_find_slot(map, arg->slot);
	if (old && old->gfn == new.gfn && old->pages == new.pages && old->hva == new.hva &&
	    old->flags == new.flags)
		return 0;
	for (i = 0; i < map->nr; i++) {
		const struct vireo_mem *mem = &map->mem[i];

		if (mem != old && new.gfn < mem->gfn + mem->pages && mem->gfn < new.gfn + new.pages)
			return -EEXIST;
	}
	r = vireo_shadow_add_region(vm, &new);
	if (r)
		return r;
	r = region_replace(vm, old, &new);
	if (r)
		vireo_shadow_free_region(&new);
	return r;
}

int vireo_region_delete(struct vireo_vm *vm, u32 slot)
{
	const struct vireo_mem *old;

	lockdep_assert_held(&vm->lock);
	if (slot >= VIREO_MAX_REGIONS)
		return -EINVAL;
	old = region_find_slot(vireo_mem_map(vm), slot);
	if (!old)
		return -ENOENT;
	if (!list_empty(&vm->points))
		return -EBUSY;
	return region_replace(vm, old, NULL);
}

/*
 * Copies.  Nearly all are a few bytes (an instruction, an operand, a descriptor), where
 * calling the general functions costs several times what the copy does.  What is not a
 * power of two is done by two accesses that overlap; a power of two is one access.
 * That the addresses are user addresses was checked when the region was set.
 */
#define COPY_SMALL 32

#define COPY_GET(type, at) \
	unsafe_get_user(*(type *)(data + (at)), (const type __user *)(from + (at)), fault)
#define COPY_PUT(type, at) \
	unsafe_put_user(*(const type *)(data + (at)), (type __user *)(to + (at)), fault)

#define COPY(access)					\
do {							\
	size_t at;					\
							\
	if (len >= 8) {					\
		for (at = 0; at + 8 <= len; at += 8)	\
			access(u64, at);		\
		if (at < len)				\
			access(u64, len - 8);		\
	} else if (len >= 4) {				\
		access(u32, 0);				\
		if (len > 4)				\
			access(u32, len - 4);		\
	} else if (len >= 2) {				\
		access(u16, 0);				\
		if (len > 2)				\
			access(u16, len - 2);		\
	} else if (len) {				\
		access(u8, 0);				\
	}						\
} while (0)

static __always_inline bool copy_in(void *data, const void __user *from, size_t len)
{
	if (len > COPY_SMALL)
		return !__copy_from_user_inatomic(data, from, len);
	__uaccess_begin_nospec();
	COPY(COPY_GET);
	__uaccess_end();
	return true;
fault:
	__uaccess_end();
	return false;
}

static __always_inline bool copy_out(void __user *to, const void *data, size_t len)
{
	if (len > COPY_SMALL)
		return !__copy_to_user_inatomic(to, data, len);
	__uaccess_begin_nospec();
	COPY(COPY_PUT);
	__uaccess_end();
	return true;
fault:
	__uaccess_end();
	return false;
}

bool vireo_hva_read16(unsigned long hva, u64 data[2])
{
	const u64 __user *from = (const u64 __user *)hva;

	__uaccess_begin_nospec();
	unsafe_get_user(data[0], from, fault);
	unsafe_get_user(data[1], from + 1, fault);
	__uaccess_end();
	return true;
fault:
	__uaccess_end();
	return false;
}

bool vireo_hva_read(unsigned long hva, void *data, size_t len)
{
	return copy_in(data, (const void __user *)hva, len);
}

bool vireo_hva_write(unsigned long hva, const void *data, size_t len)
{
	return copy_out((void __user *)hva, data, len);
}

/*
 * Bytes of [@gpa, @gpa + @len) that lie together in user memory, where, and in which region; 0 if none.
 * @len is not 0.
 */
static __always_inline size_t gpa_piece(struct vireo_vcpu *vcpu, u64 gpa, size_t len, bool write,
					unsigned long *hva, const struct vireo_mem **in)
{
	const struct vireo_mem *mem = vireo_mem_lookup(vcpu, vireo_mem_map_inline(vcpu->vm),
						       gpa >> PAGE_SHIFT);
	u64 left;

	*in = mem;
	if (!mem || (write && (mem->flags & VIREO_REGION_READONLY)))
		return 0;
	*hva = vireo_mem_hva(mem, gpa >> PAGE_SHIFT) + offset_in_page(gpa);
	left = ((mem->gfn + mem->pages) << PAGE_SHIFT) - gpa;
	return min_t(u64, len, left);
}

/* Is all of the range there?  So that a refused write has written nothing. */
static noinline bool gpa_range_ok(struct vireo_vcpu *vcpu, u64 gpa, size_t len, bool write)
{
	const struct vireo_mem *mem;
	unsigned long hva;
	size_t n;

	for (; len; gpa += n, len -= n) {
		n = gpa_piece(vcpu, gpa, len, write, &hva, &mem);
		if (!n)
			return false;
	}
	return true;
}

static __always_inline int gpa_copy(struct vireo_vcpu *vcpu, u64 gpa, void *data, size_t len,
				    bool write)
{
	const struct vireo_mem *mem;
	bool checked = false;
	unsigned long hva;
	bool ok;

	while (len) {
		size_t n = gpa_piece(vcpu, gpa, len, write, &hva, &mem);

		if (!n)
			return -EFAULT;
		if (unlikely(n < len) && !checked) {
			if (!gpa_range_ok(vcpu, gpa, len, write))
				return -EFAULT;
			checked = true;
		}
		if (write && vireo_before_write(vcpu->vm, mem, gpa, n, pagefault_disabled()))
			return -EFAULT;
		if (write)
			ok = copy_out((void __user *)hva, data, n);
		else
			ok = copy_in(data, (const void __user *)hva, n);
		/* A copy that failed may have got somewhere. */
		if (write)
			vireo_track_gpa(mem, gpa, n);
		if (!ok)
			return -EFAULT;
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}

/* How often a page is brought in that the host takes away again at once. */
#define WRITE_TRIES 16

/* Have the page writable, so that the next try does not fault. */
static bool gpa_fault_in(unsigned long hva, size_t len)
{
	return !fault_in_safe_writeable((char __user *)hva, len);
}

/*
 * A write to what may be one of the guest's page tables: what shadows it follows before
 * anybody else looks.  @nofault: neither the lock nor the page is waited for.
 */
static noinline int gpa_write_watched(struct vireo_vcpu *vcpu, u64 gpa, const void *data, size_t len,
				      bool nofault)
{
	struct vireo_vm *vm = vcpu->vm;
	const struct vireo_mem *mem;
	unsigned long hva;
	int tries = 0;

	if (!gpa_range_ok(vcpu, gpa, len, true))
		return -EFAULT;
	while (len) {
		size_t n = min_t(size_t, len, PAGE_SIZE - offset_in_page(gpa));
		bool ok;

		/* The regions may be others than a moment ago. */
		if (gpa_piece(vcpu, gpa, n, true, &hva, &mem) < n || vireo_before_write(vm, mem, gpa, n, nofault))
			return -EFAULT;
		if (!vireo_shadow_lock(vm))
			return -EFAULT;
		pagefault_disable();
		ok = copy_out((void __user *)hva, data, n);
		pagefault_enable();
		vireo_track_gpa(mem, gpa, n);
		if (ok)
			vireo_shadow_written(vm, mem, gpa, n);
		write_unlock(&vm->mmu.lock);
		if (!ok) {
			if (nofault || ++tries > WRITE_TRIES || !gpa_fault_in(hva, n))
				return -EFAULT;
			continue;
		}
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}

int vireo_read_gpa(struct vireo_vcpu *vcpu, u64 gpa, void *data, size_t len)
{
	might_fault();
	return gpa_copy(vcpu, gpa, data, len, false);
}

int vireo_write_gpa(struct vireo_vcpu *vcpu, u64 gpa, const void *data, size_t len)
{
	might_fault();
	if (vcpu->vm->mmu.shadow)
		return gpa_write_watched(vcpu, gpa, data, len, false);
	return gpa_copy(vcpu, gpa, (void *)data, len, true);
}

int vireo_read_gpa_nofault(struct vireo_vcpu *vcpu, u64 gpa, void *data, size_t len)
{
	int r;

	pagefault_disable();
	r = gpa_copy(vcpu, gpa, data, len, false);
	pagefault_enable();
	return r;
}

int vireo_write_gpa_nofault(struct vireo_vcpu *vcpu, u64 gpa, const void *data, size_t len)
{
	int r;

	if (vcpu->vm->mmu.shadow)
		return gpa_write_watched(vcpu, gpa, data, len, true);
	pagefault_disable();
	r = gpa_copy(vcpu, gpa, (void *)data, len, true);
	pagefault_enable();
	return r;
}

/* Without atomicity: what a processor locks the bus for, which no host likes. */
static int cmpxchg_parts(unsigned long hva, void *old, const void *new, u32 len)
{
	u8 now[16];

	if (!copy_in(now, (const void __user *)hva, len))
		return -EFAULT;
	if (memcmp(now, old, len)) {
		memcpy(old, now, len);
		return 0;
	}
	return copy_out((void __user *)hva, new, len) ? 0 : -EFAULT;
}

static int cmpxchg16(unsigned long hva, void *old, const void *new)
{
	const u64 *want = new;
	u64 *have = old;
	int r = 0;

	/* Every processor with VMX or SVM has it; some early ones of long mode had not. */
	if (!boot_cpu_has(X86_FEATURE_CX16))
		return cmpxchg_parts(hva, old, new, 16);
	__uaccess_begin_nospec();
	asm volatile("1: lock cmpxchg16b %[mem]\n"
		     "2:\n"
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG, %[r])
		     : [r] "+r" (r), [mem] "+m" (*(u8 (*)[16])hva),
		       "+a" (have[0]), "+d" (have[1])
		     : "b" (want[0]), "c" (want[1])
		     : "memory", "cc");
	__uaccess_end();
	return r;
}

static int hva_cmpxchg(unsigned long hva, void *old, const void *new, u32 len)
{
	int r;

	/* 16 bytes have to be aligned; of less, a line is enough: across two, hosts may forbid it. */
	if (len == 16 ? hva & 15 : (hva & 63) + len > 64)
		return cmpxchg_parts(hva, old, new, len);
	/* A comparison that fails is an answer too: the value found is in *@old. */
	switch (len) {
	case 1:
		r = __try_cmpxchg_user((u8 __user *)hva, (u8 *)old, *(const u8 *)new, byte);
		break;
	case 2:
		r = __try_cmpxchg_user((u16 __user *)hva, (u16 *)old, *(const u16 *)new, word);
		break;
	case 4:
		r = __try_cmpxchg_user((u32 __user *)hva, (u32 *)old, *(const u32 *)new, dword);
		break;
	case 8:
		r = __try_cmpxchg_user((u64 __user *)hva, (u64 *)old, *(const u64 *)new, qword);
		break;
	case 16:
		r = cmpxchg16(hva, old, new);
		break;
	default:
		r = -EFAULT;
		break;
	}
	return r < 0 ? r : 0;
}

int vireo_cmpxchg_gpa(struct vireo_vcpu *vcpu, u64 gpa, void *old, const void *new, u32 len)
{
	struct vireo_vm *vm = vcpu->vm;
	const struct vireo_mem *mem;
	unsigned long hva;
	int tries, r;

	might_fault();
	if (gpa_piece(vcpu, gpa, len, true, &hva, &mem) != len)
		return -EFAULT;
	if (vireo_before_write(vm, mem, gpa, len, false))
		return -EFAULT;
	if (!vm->mmu.shadow) {
		r = hva_cmpxchg(hva, old, new, len);
		vireo_track_gpa(mem, gpa, len);
		return r;
	}
	for (tries = 0; tries < WRITE_TRIES; tries++) {
		write_lock(&vm->mmu.lock);
		pagefault_disable();
		r = hva_cmpxchg(hva, old, new, len);
		pagefault_enable();
		vireo_track_gpa(mem, gpa, len);
		if (!r)
			vireo_shadow_written(vm, mem, gpa, len);
		write_unlock(&vm->mmu.lock);
		if (!r || !gpa_fault_in(hva, len))
			break;
	}
	return r;
}
