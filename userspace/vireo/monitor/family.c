// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests and events have a socket each, so that an event is never taken for an answer, and a slow reader of events loses no
 * answer. A request waits for its answer: the module gives it at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "family.h"
#include "text.h"
#include "../util.h"

#define REQUEST_BUFFER	(64 * 1024)	/* larger than any message; the kernel fills it with several */
#define EVENTS_BUFFER	(1024 * 1024)
#define TRIES		5		/* of a dump while VMs come and go */

/* What is given to take() of struct answer */
typedef int (*take_fn)(void *context, const struct nlmsghdr *header);

/**
 * struct answer - to a request
 * @family: where the text of a refusal goes
 * @take: gets each message
 * @context: its
 * @error: the first thing that was wrong
 * @done: it has come
 */
struct answer {
	struct family *family;
	take_fn take;
	void *context;
	int error;
	bool done;
};

static uint64_t boot_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static int fail(struct family *family, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fail(struct family *family, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(family->why, sizeof(family->why), format, args);
	va_end(args);
	return error;
}

static int on_valid(struct nl_msg *msg, void *arg)
{
	struct answer *answer = arg;

	if (!answer->error && answer->take)
		answer->error = answer->take(answer->context, nlmsg_hdr(msg));
	return NL_OK;
}

static int on_finish(struct nl_msg *msg, void *arg)
{
	const struct nlmsghdr *header = nlmsg_hdr(msg);
	struct answer *answer = arg;
	int error = 0;

	/* libnl does not look how a dump has ended. */
	if (nlmsg_datalen(header) >= (int)sizeof(error))
		memcpy(&error, nlmsg_data(header), sizeof(error));
	if (error < 0 && !answer->error)
		answer->error = error;
	answer->done = true;
	return NL_STOP;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	struct answer *answer = arg;

	(void)msg;
	answer->done = true;
	return NL_STOP;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *arg)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)((const char *)error - NLMSG_HDRLEN);
	int skip = (int)sizeof(*error), left = nlmsg_datalen(header);
	struct answer *answer = arg;
	struct nlattr *text = NULL;

	(void)from;
	answer->done = true;
	if (!answer->error)
		answer->error = error->error;
	/* The request comes back before the attributes, unless it was left out. */
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		skip += (int)NLMSG_ALIGN(error->msg.nlmsg_len) - NLMSG_HDRLEN;
	if (header->nlmsg_flags & NLM_F_ACK_TLVS && skip > 0 && skip < left)
		text = nla_find((struct nlattr *)((char *)error + skip), left - skip, NLMSGERR_ATTR_MSG);
	if (text && nla_len(text) > 0)
		snprintf(answer->family->why, sizeof(answer->family->why), "the module says: %.*s", nla_len(text),
			 (const char *)nla_data(text));
	return NL_STOP;
}

/* Wait for what the module has to say. */
static int receive(struct family *family, struct answer *answer)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int r = 0;

	if (!cb)
		return -ENOMEM;
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_valid, answer);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_finish, answer);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_ack, answer);
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, answer);
	while (!answer->done && r >= 0)
		r = nl_recvmsgs(family->requests, cb);
	nl_cb_put(cb);
	if (answer->error)
		return answer->error;
	if (r == -NLE_DUMP_INTR)
		return -EAGAIN;
	return answer->done ? 0 : fail(family, -EIO, "the module's answer was lost: %s", nl_geterror(r));
}

static struct nl_msg *begin(struct family *family, uint8_t command, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (msg && !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, family->id, 0, flags, command, VIREO_NL_VERSION)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return msg;
}

/* Takes @msg. */
static int finish(struct family *family, struct nl_msg *msg, take_fn take, void *context)
{
	struct answer answer = { .family = family, .take = take, .context = context };
	int r = nl_send_auto(family->requests, msg);

	nlmsg_free(msg);
	*family->why = '\0';
	if (r < 0)
		return fail(family, -EIO, "nothing can be asked of the module: %s", nl_geterror(r));
	return receive(family, &answer);
}

/* Why there is no such family: for people. */
static int absent(struct family *family)
{
	if (!access("/sys/module/vireo", F_OK))
		return fail(family, -ENOPROTOOPT, "the module vireo that is loaded has no netlink family: it is older than this program");
	return fail(family, -ENOPROTOOPT, "the module vireo is not loaded");
}

/* @error of a request about @number, or about all with 0: a sentence, if the module has not said one */
static int explain(struct family *family, int error, uint32_t number)
{
	if (!error || *family->why)
		return error;
	/* A family that is gone and a VM that is gone have the same number. */
	if (error == -ENOENT && genl_ctrl_resolve(family->requests, VIREO_NL_FAMILY) != family->id)
		return fail(family, -ENOPROTOOPT, "the module vireo was unloaded");
	switch (error) {
	case -ENOENT:
		return fail(family, error, "there is no VM %u any more, or it is not to be seen from here", number);
	case -EBADMSG:
		return fail(family, error, "the module's answer is not what its netlink family says; is it of another version?");
	case -ENOMEM:
		return fail(family, error, "no memory");
	case -EPERM:
		return fail(family, error, "no permission for VM %u", number);
	}
	return fail(family, error, "the module says: %s", strerror(-error));
}

static int take_info(void *context, const struct nlmsghdr *header)
{
	return message_info(header, context);
}

/**
 * family_open() - find the family
 * @family: to be filled; also with an error
 *
 * Return: 0; -ENOPROTOOPT: there is no module with one; or another negative errno.
 */
int family_open(struct family *family)
{
	struct nl_msg *msg;
	int one = 1, r;

	memset(family, 0, sizeof(*family));
	family->requests = nl_socket_alloc();
	if (!family->requests)
		return fail(family, -ENOMEM, "no memory");
	r = genl_connect(family->requests);
	if (r < 0) {
		r = fail(family, -EIO, "no netlink socket: %s", nl_geterror(r));
		goto close;
	}
	nl_socket_set_msg_buf_size(family->requests, REQUEST_BUFFER);
	setsockopt(nl_socket_get_fd(family->requests), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(nl_socket_get_fd(family->requests), SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	family->id = genl_ctrl_resolve(family->requests, VIREO_NL_FAMILY);
	if (family->id < 0) {
		r = absent(family);
		goto close;
	}
	msg = begin(family, VIREO_NL_CMD_GET_INFO, 0);
	r = msg ? finish(family, msg, take_info, &family->info) : -ENOMEM;
	if (!r)
		return 0;
	explain(family, r, 0);
close:
	nl_socket_free(family->requests);
	family->requests = NULL;
	return r;
}

/**
 * family_close() - done
 * @family: opened or not
 */
void family_close(struct family *family)
{
	nl_socket_free(family->requests);
	nl_socket_free(family->events);
	family->requests = NULL;
	family->events = NULL;
}

static int take_vm(void *context, const struct nlmsghdr *header)
{
	return message_vm(header, context);
}

/**
 * family_vm() - look at a VM
 * @family: the family
 * @number: the VM's
 * @vm: to be filled
 *
 * Return: 0; -ENOENT: it is gone; or another negative errno.
 */
int family_vm(struct family *family, uint32_t number, struct monitor_vm *vm)
{
	struct nl_msg *msg = begin(family, VIREO_NL_CMD_GET_VM, 0);
	int r = -ENOMEM;

	memset(vm, 0, sizeof(*vm));
	if (msg) {
		nla_put_u32(msg, VIREO_NL_A_VM, number);
		r = finish(family, msg, take_vm, vm);
		if (!r && vm->number != number)
			r = -EBADMSG;
	}
	return explain(family, r, number);
}

static int take_vms(void *context, const struct nlmsghdr *header)
{
	struct monitor_vms *vms = context;
	struct monitor_vm *more;
	int r;

	/* Room for 16, 32, 64, ... */
	if (vms->nr % 16 == 0 && (vms->nr & (vms->nr - 1)) == 0) {
		more = reallocarray(vms->vm, vms->nr ? vms->nr * 2 : 16, sizeof(*more));
		if (!more)
			return -ENOMEM;
		vms->vm = more;
	}
	r = message_vm(header, &vms->vm[vms->nr]);
	vms->nr += !r;
	return r;
}

static int by_number(const void *a, const void *b)
{
	const struct monitor_vm *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* In order, and each once: a dump that was disturbed may tell of one twice. */
static void sort(struct monitor_vms *vms)
{
	size_t i, kept = 0;

	if (vms->nr)
		qsort(vms->vm, vms->nr, sizeof(*vms->vm), by_number);
	for (i = 0; i < vms->nr; i++)
		if (!kept || vms->vm[i].number != vms->vm[kept - 1].number)
			vms->vm[kept++] = vms->vm[i];
	vms->nr = kept;
}

/**
 * family_vms() - look at all VMs that are to be seen
 * @family: the family
 * @vms: to be filled; with 0, monitor_vms_free() it
 *
 * Return: 0, or a negative errno.
 */
int family_vms(struct family *family, struct monitor_vms *vms)
{
	unsigned int tries;
	struct nl_msg *msg;
	int r;

	for (tries = 0; tries < TRIES; tries++) {
		memset(vms, 0, sizeof(*vms));
		vms->at = boot_ns();
		msg = begin(family, VIREO_NL_CMD_GET_VM, NLM_F_DUMP);
		r = msg ? finish(family, msg, take_vms, vms) : -ENOMEM;
		if (r != -EAGAIN)
			break;
		if (tries < TRIES - 1)
			monitor_vms_free(vms);
	}
	/* VMs that come and go all the time: what there is of it will do. */
	if (r && r != -EAGAIN) {
		monitor_vms_free(vms);
		return explain(family, r, 0);
	}
	sort(vms);
	return 0;
}

static int take_vcpu(void *context, const struct nlmsghdr *header)
{
	struct monitor_stats *stats = context;
	struct monitor_vcpu *more;
	int r;

	more = reallocarray(stats->vcpu, stats->nr + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	stats->vcpu = more;
	r = message_vcpu(header, &more[stats->nr]);
	if (r)
		return r;
	stats->nr++;
	return more[stats->nr - 1].vm == stats->vm.number ? 0 : -EBADMSG;
}

/* Sums from the same moment as what they are the sums of; MSIs are not any vCPU's. */
static void sum_up(struct monitor_stats *stats)
{
	size_t i, counter;

	for (counter = 0; counter < VIREO_NL_COUNTER_PAD; counter++) {
		if (counter == VIREO_NL_COUNTER_IRQS_MSI)
			continue;
		stats->vm.counter[counter] = 0;
		for (i = 0; i < stats->nr; i++)
			stats->vm.counter[counter] += stats->vcpu[i].counter[counter];
	}
}

/**
 * family_stats() - look at all of a VM
 * @family: the family
 * @number: the VM's
 * @stats: to be filled; with 0, monitor_stats_free() it
 *
 * Return: 0; -ENOENT: it is gone; or another negative errno.
 */
int family_stats(struct family *family, uint32_t number, struct monitor_stats *stats)
{
	unsigned int tries;
	struct nl_msg *msg;
	int r;

	for (tries = 0; tries < TRIES; tries++) {
		memset(stats, 0, sizeof(*stats));
		stats->at = boot_ns();
		r = family_vm(family, number, &stats->vm);
		if (r)
			return r;
		msg = begin(family, VIREO_NL_CMD_GET_STATS, NLM_F_DUMP);
		if (!msg)
			return explain(family, -ENOMEM, number);
		nla_put_u32(msg, VIREO_NL_A_VM, number);
		r = finish(family, msg, take_vcpu, stats);
		if (r != -EAGAIN)
			break;
		if (tries < TRIES - 1)
			monitor_stats_free(stats);
	}
	if (r && r != -EAGAIN) {
		monitor_stats_free(stats);
		return explain(family, r, number);
	}
	sum_up(stats);
	return 0;
}

/**
 * family_set_limits() - change thresholds of a VM
 * @family: the family
 * @number: the VM's
 * @limit: by &enum vireo_nl_limit, 0: none
 * @which: bits of those to be changed
 *
 * Return: 0, or a negative errno.
 */
int family_set_limits(struct family *family, uint32_t number, const uint64_t *limit, unsigned int which)
{
	struct nl_msg *msg = begin(family, VIREO_NL_CMD_SET_THRESHOLDS, 0);
	struct nlattr *nest;

	if (!msg)
		return explain(family, -ENOMEM, number);
	nla_put_u32(msg, VIREO_NL_A_VM, number);
	nest = nla_nest_start(msg, VIREO_NL_A_THRESHOLDS);
	if (which & BIT(VIREO_NL_LIMIT_EXITS))
		nla_put_u64(msg, VIREO_NL_LIMIT_EXITS, limit[VIREO_NL_LIMIT_EXITS]);
	if (which & BIT(VIREO_NL_LIMIT_DIRTY))
		nla_put_u64(msg, VIREO_NL_LIMIT_DIRTY, limit[VIREO_NL_LIMIT_DIRTY]);
	if (which & BIT(VIREO_NL_LIMIT_STALL))
		nla_put_u32(msg, VIREO_NL_LIMIT_STALL, (uint32_t)limit[VIREO_NL_LIMIT_STALL]);
	nla_nest_end(msg, nest);
	return explain(family, finish(family, msg, NULL, NULL), number);
}

/**
 * monitor_vms_find() - which VM is meant
 * @vms: all of them
 * @word: a name, or a number
 * @why: what is wrong, for people; may be NULL
 * @room: bytes there
 *
 * A name comes first: it is what people see. What no VM is called may be a number.
 *
 * Return: the VM, or NULL.
 */
const struct monitor_vm *monitor_vms_find(const struct monitor_vms *vms, const char *word, char *why, size_t room)
{
	const struct monitor_vm *found = NULL, *same = NULL;
	char shown[MONITOR_SHOWN];
	uint64_t number;
	size_t i, used;

	if (!why)
		room = 0;
	for (i = 0; i < vms->nr; i++) {
		if (strcmp(vms->vm[i].name, word))
			continue;
		if (found)
			same = &vms->vm[i];
		else
			found = &vms->vm[i];
	}
	text_clean(shown, sizeof(shown), word);
	if (same) {
		used = (size_t)snprintf(why, room, "several VMs are called \"%s\"; take one by its number:", shown);
		for (i = 0; i < vms->nr && used < room; i++)
			if (!strcmp(vms->vm[i].name, word))
				used += (size_t)snprintf(why + used, room - used, " %u", vms->vm[i].number);
		return NULL;
	}
	if (!found && !parse_number(word, UINT32_MAX, &number))
		for (i = 0; i < vms->nr; i++)
			if (vms->vm[i].number == number)
				found = &vms->vm[i];
	if (!found && vms->nr)
		snprintf(why, room, "there is no VM \"%s\"; \"vireo list\" shows those that are to be seen", shown);
	else if (!found)
		snprintf(why, room, "there is no VM \"%s\", nor any other that is to be seen from here: see vireo-stat(1) about "
			 "users and network namespaces", shown);
	return found;
}

/**
 * family_find() - which VM is meant
 * @family: the family
 * @word: a name, or a number
 * @number: the VM's
 *
 * Return: 0; -ENOENT: there is none; -EEXIST: there are several; or another negative errno.
 */
int family_find(struct family *family, const char *word, uint32_t *number)
{
	const struct monitor_vm *vm;
	struct monitor_vms vms;
	int r = family_vms(family, &vms);

	if (r)
		return r;
	vm = monitor_vms_find(&vms, word, family->why, sizeof(family->why));
	if (vm)
		*number = vm->number;
	monitor_vms_free(&vms);
	return vm ? 0 : -ENOENT;
}

static int join(struct family *family, const char *group)
{
	int r = genl_ctrl_resolve_grp(family->requests, VIREO_NL_FAMILY, group);
	struct utsname name;

	if (r < 0)
		return fail(family, -ENOENT, "the module has no multicast group \"%s\"", group);
	r = nl_socket_add_membership(family->events, r);
	if (!r)
		return 0;
	if (r != -NLE_PERM)
		return fail(family, -EIO, "the multicast group \"%s\" cannot be joined: %s", group, nl_geterror(r));
	uname(&name);
	return fail(family, -EPERM, "events need CAP_NET_ADMIN on this kernel (%s): before Linux 6.8 it cannot choose who gets "
		    "which of them", name.release);
}

/* To be told when the module goes. The controller's group is for everybody; without it, that is not noticed. */
static void join_controller(struct family *family)
{
	int group = genl_ctrl_resolve_grp(family->requests, "nlctrl", "notify");

	if (group > 0)
		nl_socket_add_membership(family->events, group);
}

/**
 * family_join() - get events from now on
 * @family: the family
 *
 * Return: 0; -EPERM; or another negative errno.
 */
int family_join(struct family *family)
{
	static const char *const groups[] = { VIREO_NL_GROUP_LIFE, VIREO_NL_GROUP_PHASES, VIREO_NL_GROUP_THRESHOLDS };
	int room = EVENTS_BUFFER, r;
	size_t i;

	family->events = nl_socket_alloc();
	if (!family->events)
		return fail(family, -ENOMEM, "no memory");
	r = genl_connect(family->events);
	if (r < 0)
		return fail(family, -EIO, "no netlink socket: %s", nl_geterror(r));
	/* As much as it may have: the second one needs CAP_NET_ADMIN. */
	nl_socket_set_buffer_size(family->events, EVENTS_BUFFER, 0);
	setsockopt(nl_socket_get_fd(family->events), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	nl_socket_set_nonblocking(family->events);
	for (i = 0; i < ARRAY_SIZE(groups); i++) {
		r = join(family, groups[i]);
		if (r)
			return r;
	}
	join_controller(family);
	return 0;
}

/**
 * family_events_fd() - to wait for events
 * @family: which has joined
 *
 * Return: a file that is readable when there are some.
 */
int family_events_fd(const struct family *family)
{
	return nl_socket_get_fd(family->events);
}

/**
 * struct taker - who gets events
 * @id: the family's number
 * @take: they
 * @context: their
 * @error: what was wrong
 */
struct taker {
	int id;
	void (*take)(void *context, const struct monitor_event *event);
	void *context;
	int error;
};

/* From the controller: a family is gone */
static bool is_end_of(struct nlmsghdr *header, int id)
{
	struct genlmsghdr *genl;
	struct nlattr *attr;

	if (header->nlmsg_type != GENL_ID_CTRL || !genlmsg_valid_hdr(header, 0))
		return false;
	genl = genlmsg_hdr(header);
	attr = nla_find(genlmsg_attrdata(genl, 0), genlmsg_attrlen(genl, 0), CTRL_ATTR_FAMILY_ID);
	return genl->cmd == CTRL_CMD_DELFAMILY && attr && nla_len(attr) == sizeof(uint16_t) && nla_get_u16(attr) == id;
}

/* Nobody has asked for it. */
static int any_sequence(struct nl_msg *msg, void *arg)
{
	(void)msg;
	(void)arg;
	return NL_OK;
}

static int on_event(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *header = nlmsg_hdr(msg);
	struct taker *taker = arg;
	struct monitor_event event;
	int r = -ENOMSG;

	if (header->nlmsg_type == taker->id)
		r = message_event(header, &event);
	else if (is_end_of(header, taker->id))
		r = -ENOENT;
	if (!r)
		taker->take(taker->context, &event);
	else if (r != -ENOMSG)
		taker->error = r;
	return NL_OK;
}

/**
 * family_next_events() - read one datagram of events
 * @family: which has joined
 * @take: gets each
 * @context: its
 *
 * Return: 0; -EAGAIN: there is none; -ENOBUFS: the kernel had to drop some; or another negative errno.
 */
int family_next_events(struct family *family, void (*take)(void *context, const struct monitor_event *event), void *context)
{
	struct taker taker = { family->id, take, context, 0 };
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int r;

	if (!cb)
		return explain(family, -ENOMEM, 0);
	*family->why = '\0';
	nl_cb_set(cb, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, any_sequence, NULL);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_event, &taker);
	r = nl_recvmsgs(family->events, cb);
	nl_cb_put(cb);
	switch (r) {
	case -NLE_AGAIN:
		return -EAGAIN;
	case -NLE_NOMEM:
		/* What libnl makes of ENOBUFS */
		return -ENOBUFS;
	}
	if (r < 0)
		return fail(family, -EIO, "no more events: %s", nl_geterror(r));
	return taker.error ? explain(family, taker.error, 0) : 0;
}

/**
 * monitor_vms_free() - give back what family_vms() has allocated
 * @vms: the list, empty afterwards
 */
void monitor_vms_free(struct monitor_vms *vms)
{
	free(vms->vm);
	vms->vm = NULL;
	vms->nr = 0;
}

/**
 * monitor_stats_free() - give back what family_stats() has allocated
 * @stats: its vCPUs are gone afterwards
 */
void monitor_stats_free(struct monitor_stats *stats)
{
	size_t i;

	for (i = 0; i < stats->nr; i++)
		message_vcpu_free(&stats->vcpu[i]);
	free(stats->vcpu);
	stats->vcpu = NULL;
	stats->nr = 0;
}
