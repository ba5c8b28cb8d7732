// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any message under the tools: the input is the command and the attributes. What was understood is looked at in every way,
 * as a VM, its statistics, or an event.
 */
#include <stdlib.h>
#include <string.h>
#include <linux/genetlink.h>

#include "../vireo/monitor/events.h"
#include "../vireo/monitor/stat.h"
#include "../vireo/monitor/top_layout.h"
#include "../vireo/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *nowhere;
static struct monitor_info info = { .tsc_khz = 2000000, .timed = true };

static void show_stats(struct monitor_stats *stats)
{
	struct stat_view view = { .info = &info, .stats = stats, .seconds = 1, .vcpus = true, .histogram = true };
	struct top_model model;
	struct screen screen;

	stat_text(nowhere, &view);
	json_decref(stat_json(&view));
	top_model_init(&model, &info, 1000);
	model.view = TOP_VM;
	if (top_model_stats(&model, stats) || screen_make(&screen, 24, 80))
		abort();
	top_layout(&model, &screen);
	screen_free(&screen);
	top_model_free(&model);
}

static void show_vm(const struct monitor_vm *vm)
{
	struct monitor_vms vms = { .at = 1, .vm = malloc(sizeof(*vm)), .nr = 1 };
	struct top_model model;
	struct screen screen;

	if (!vms.vm)
		abort();
	*vms.vm = *vm;
	top_model_init(&model, &info, 1000);
	if (top_model_vms(&model, &vms) || top_layout_batch(&model, &screen))
		abort();
	screen_free(&screen);
	top_model_free(&model);
}

static void read_vcpu(const struct nlmsghdr *header)
{
	struct monitor_stats stats = { .at = 1, .vcpu = malloc(sizeof(*stats.vcpu)), .nr = 1 };

	if (!stats.vcpu)
		abort();
	if (message_vcpu(header, stats.vcpu)) {
		free(stats.vcpu);
		return;
	}
	memcpy(stats.vm.counter, stats.vcpu->counter, sizeof(stats.vm.counter));
	show_stats(&stats);
}

static void read_event(const struct nlmsghdr *header)
{
	struct events events = { .to = nowhere }, json = { .to = nowhere, .json = true };
	struct monitor_event event;

	if (message_event(header, &event))
		return;
	events_take(&events, &event);
	events_take(&json, &event);
	events_free(&events);
	events_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = NLMSG_HDRLEN + GENL_HDRLEN + size - 1;
	struct genlmsghdr *genl;
	struct nlmsghdr *header;
	struct monitor_info got;
	struct monitor_vm vm;

	if (!size)
		return 0;
	if (!nowhere)
		nowhere = fopen("/dev/null", "w");
	/* It ends where the sanitizer's guard begins. */
	header = calloc(1, len);
	if (!header || !nowhere)
		abort();
	header->nlmsg_len = (uint32_t)len;
	genl = NLMSG_DATA(header);
	genl->cmd = data[0];
	memcpy(genl + 1, data + 1, size - 1);
	switch (genl->cmd) {
	case VIREO_NL_CMD_GET_INFO:
		message_info(header, &got);
		break;
	case VIREO_NL_CMD_GET_VM:
		if (!message_vm(header, &vm))
			show_vm(&vm);
		break;
	case VIREO_NL_CMD_GET_STATS:
		read_vcpu(header);
		break;
	default:
		read_event(header);
	}
	free(header);
	return 0;
}
