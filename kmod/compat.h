/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between the kernels that Vireo builds against.  The only place
 * that looks at LINUX_VERSION_CODE.
 */
#ifndef VIREO_COMPAT_H
#define VIREO_COMPAT_H

#include <linux/rcupdate.h>
#include <linux/smp.h>
#include <linux/version.h>
#include <asm/fpu/api.h>

/* 6.6 gave the copy to user space a mask of components; so did 6.1's stable updates. */
static inline void vireo_fpu_to_uabi(struct fpu_guest *fpu, void *buf, unsigned int size,
				     u64 xfeatures)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0) || \
	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 60) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0))
	fpu_copy_guest_fpstate_to_uabi(fpu, buf, size, xfeatures, 0);
#else
	fpu_copy_guest_fpstate_to_uabi(fpu, buf, size, 0);
#endif
}

/* 6.8 signals by one, always. */
#include <linux/eventfd.h>

static inline void vireo_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* Running a guest is to RCU what running a program is.  6.3 dropped the argument. */
static inline void vireo_rcu_quiescent(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	rcu_virt_note_context_switch();
#else
	rcu_virt_note_context_switch(smp_processor_id());
#endif
}

/*
 * Later kernels, and 6.12 after a stable update, hand the callbacks a pointer and keep the
 * list node outside of the operations.  Kbuild looks into the header, as no version tells.
 */
#include <linux/syscore_ops.h>

#ifdef VIREO_HAVE_STRUCT_SYSCORE
#define VIREO_SYSCORE_ARG void *unused
#define vireo_syscore_register(ops_ptr)						\
	do {									\
		static struct syscore vireo_syscore = { .ops = (ops_ptr) };	\
										\
		vireo_syscore_node = &vireo_syscore;				\
		register_syscore(&vireo_syscore);				\
	} while (0)
#define vireo_syscore_unregister(ops_ptr) unregister_syscore(vireo_syscore_node)
#define VIREO_SYSCORE_NODE static struct syscore *vireo_syscore_node
#else
#define VIREO_SYSCORE_ARG void
#define vireo_syscore_register(ops_ptr) register_syscore_ops(ops_ptr)
#define vireo_syscore_unregister(ops_ptr) unregister_syscore_ops(ops_ptr)
#define VIREO_SYSCORE_NODE struct syscore_ops
#endif

/*
 * get_user_pages(): 6.2 lets a signal end the wait for a page that is being brought in; since
 * 6.6 one must ask for NUMA hints to be resolved, without which the page stays inaccessible.
 */
#include <linux/mm.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define VIREO_FOLL_INTERRUPTIBLE FOLL_INTERRUPTIBLE
#else
#define VIREO_FOLL_INTERRUPTIBLE 0
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#define VIREO_FOLL_NUMA FOLL_HONOR_NUMA_FAULT
#else
#define VIREO_FOLL_NUMA 0
#endif

/*
 * Page frame behind a VM_PFNMAP address, as it is at this moment; under mmap_lock.
 * 6.12 has a call that also knows large mappings.  0, or -EINVAL: not mapped now.
 */
static inline int vireo_follow_pfn(struct vm_area_struct *vma, unsigned long address,
				   unsigned long *pfn, bool *writable)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	struct follow_pfnmap_args args = { .vma = vma, .address = address };
	int r = follow_pfnmap_start(&args);

	if (r)
		return r;
	*pfn = args.pfn;
	*writable = args.writable;
	follow_pfnmap_end(&args);
#else
	spinlock_t *lock;
	pte_t *ptep, pte;
	int r;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
	r = follow_pte(vma, address, &ptep, &lock);
#else
	r = follow_pte(vma->vm_mm, address, &ptep, &lock);
#endif
	if (r)
		return r;
	__acquire(lock);	/* for sparse: follow_pte() is not annotated */
	pte = READ_ONCE(*ptep);
	*pfn = pte_pfn(pte);
	*writable = pte_write(pte);
	pte_unmap_unlock(ptep, lock);
#endif
	return 0;
}

/* Since 6.7 the kernel allocates shrinkers. */
#include <linux/shrinker.h>
#include <linux/slab.h>

typedef unsigned long (*vireo_shrink)(struct shrinker *shrinker, struct shrink_control *control);

static inline struct shrinker *vireo_shrinker_create(const char *name, vireo_shrink count,
						     vireo_shrink scan)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	struct shrinker *shrinker = shrinker_alloc(0, "%s", name);
#else
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);
#endif

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	shrinker_register(shrinker);
#else
	shrinker->seeks = DEFAULT_SEEKS;
	if (register_shrinker(shrinker, "%s", name)) {
		kfree(shrinker);
		return NULL;
	}
#endif
	return shrinker;
}

static inline void vireo_shrinker_destroy(struct shrinker *shrinker)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	shrinker_free(shrinker);
#else
	unregister_shrinker(shrinker);
	kfree(shrinker);
#endif
}

/* load_gs_index() moved to a header of its own in 6.3. */
#include <asm/special_insns.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#include <asm/gsseg.h>
#endif

/* Attributes of the request that a dump answers; 6.6 moved them. */
#include <net/genetlink.h>

static inline struct nlattr **vireo_nl_dump_attrs(struct netlink_callback *cb)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	return genl_info_dump(cb)->attrs;
#else
	return genl_dumpit_info(cb)->attrs;
#endif
}

/*
 * 6.8 has a filter for who gets a multicast. Without, all who have joined do: then only they may who may see everything.
 * Takes @skb.
 */
static inline void vireo_nl_multicast(const struct genl_family *family, struct net *net, struct sk_buff *skb,
				      unsigned int group,
				      int (*filter)(struct sock *sk, struct sk_buff *skb, void *data), void *data)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	genlmsg_multicast_netns_filtered(family, net, skb, 0, group, GFP_KERNEL, filter, data);
#else
	genlmsg_multicast_netns(family, net, skb, 0, group, GFP_KERNEL);
#endif
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
#define VIREO_NL_GROUP_FLAGS 0
#else
#define VIREO_NL_GROUP_FLAGS GENL_MCAST_CAP_NET_ADMIN
#endif

#endif /* VIREO_COMPAT_H */
