// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests with one answer.
 */
#include <asm/tsc.h>

#include "../core.h"
#include "../stats.h"
#include "family.h"

static struct sk_buff *answer_new(struct genl_info *info, void **head)
{
	struct sk_buff *answer = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!answer)
		return NULL;
	*head = genlmsg_put_reply(answer, info, &vireo_nl_family, 0, info->genlhdr->cmd);
	if (*head)
		return answer;
	nlmsg_free(answer);
	return NULL;
}

/* @r: what putting the attributes came to. */
static int answer_send(struct sk_buff *answer, struct genl_info *info, void *head, int r)
{
	if (r) {
		nlmsg_free(answer);
		return r;
	}
	genlmsg_end(answer, head);
	return genlmsg_reply(answer, info);
}

int vireo_nl_get_info(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *answer;
	void *head;
	int r = 0;

	answer = answer_new(info, &head);
	if (!answer)
		return -ENOMEM;
	if (nla_put_string(answer, VIREO_NL_A_VERSION, VIREO_VERSION) ||
	    nla_put_u32(answer, VIREO_NL_A_ABI, VIREO_ABI_VERSION) ||
	    nla_put_u64_64bit(answer, VIREO_NL_A_FEATURES, vireo_features(), VIREO_NL_A_PAD) ||
	    nla_put_u32(answer, VIREO_NL_A_VENDOR, vireo_caps.vendor) ||
	    nla_put_u32(answer, VIREO_NL_A_TSC_KHZ, tsc_khz) ||
	    nla_put_u32(answer, VIREO_NL_A_STATS, static_key_enabled(&vireo_timed)))
		r = -EMSGSIZE;
	return answer_send(answer, info, head, r);
}

static int put_one_vm(struct sk_buff *answer, struct vireo_vm *vm, const struct vireo_nl_viewer *viewer,
		      struct genl_info *info)
{
	return vireo_nl_put_vm(answer, vm, viewer);
}

static int put_one_vcpu(struct sk_buff *answer, struct vireo_vm *vm, const struct vireo_nl_viewer *viewer,
			struct genl_info *info)
{
	const struct nlattr *attr = info->attrs[VIREO_NL_A_VCPU];
	struct vireo_vcpu *vcpu;

	if (!attr) {
		NL_SET_ERR_ATTR_MISS(info->extack, NULL, VIREO_NL_A_VCPU);
		NL_SET_ERR_MSG(info->extack, "the id of a vCPU is missing");
		return -EINVAL;
	}
	vcpu = vireo_vcpu_by_id(vm, nla_get_u32(attr));
	if (!vcpu) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "the VM has no such vCPU");
		return -ENOENT;
	}
	return vireo_nl_put_vcpu(answer, vcpu, viewer);
}

/* What @put says of the VM that is asked for. */
static int answer_about(struct sk_buff *skb, struct genl_info *info,
			int (*put)(struct sk_buff *answer, struct vireo_vm *vm, const struct vireo_nl_viewer *viewer,
				   struct genl_info *info))
{
	struct vireo_nl_viewer viewer;
	struct sk_buff *answer;
	struct vireo_vm *vm;
	void *head;
	int r;

	vireo_nl_viewer(skb, &viewer);
	answer = answer_new(info, &head);
	if (!answer)
		return -ENOMEM;
	mutex_lock(&vireo_vms_lock);
	vm = vireo_nl_find(&viewer, info->attrs[VIREO_NL_A_VM], info->extack);
	r = IS_ERR(vm) ? PTR_ERR(vm) : put(answer, vm, &viewer, info);
	mutex_unlock(&vireo_vms_lock);
	return answer_send(answer, info, head, r);
}

int vireo_nl_get_vm(struct sk_buff *skb, struct genl_info *info)
{
	return answer_about(skb, info, put_one_vm);
}

int vireo_nl_get_vcpu(struct sk_buff *skb, struct genl_info *info)
{
	return answer_about(skb, info, put_one_vcpu);
}
