// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rates are those between two looks. The first look at a VM is compared with its creation, when all was 0.
 *
 * What is selected is a VM, not a line: it stays selected when the order changes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/vireo.h>

#include "names.h"
#include "text.h"
#include "top_model.h"
#include "../util.h"

static const char *const sort_names[TOP_SORT_NR] = {
	[TOP_SORT_EXITS] = "exits",
	[TOP_SORT_GUEST] = "guest",
	[TOP_SORT_KERNEL] = "kernel",
	[TOP_SORT_USER] = "user",
	[TOP_SORT_HALTED] = "halted",
	[TOP_SORT_MEMORY] = "memory",
	[TOP_SORT_DIRTY] = "dirty",
	[TOP_SORT_VCPUS] = "vcpus",
	[TOP_SORT_NAME] = "name",
	[TOP_SORT_NUMBER] = "number",
};

/**
 * top_sort_name() - an order of VMs
 * @sort: the order
 *
 * Return: what --sort calls it.
 */
const char *top_sort_name(enum top_sort sort)
{
	return sort_names[sort];
}

/**
 * top_exit_sort_name() - an order of exits
 * @sort: the order
 *
 * Return: its name.
 */
const char *top_exit_sort_name(enum top_exit_sort sort)
{
	static const char *const names[TOP_EXIT_SORT_NR] = { "rate", "mean time", "share of time" };

	return names[sort];
}

/**
 * top_sort_read() - an order that somebody typed, for struct command_option
 * @text: what was typed
 * @out: enum top_sort
 *
 * Return: 0, or -EINVAL with a message.
 */
int top_sort_read(const char *text, void *out)
{
	unsigned int i;

	for (i = 0; i < TOP_SORT_NR; i++) {
		if (!strcmp(text, sort_names[i])) {
			*(enum top_sort *)out = i;
			return 0;
		}
	}
	report_error("%s: VMs can be sorted by exits, guest, kernel, user, halted, memory, dirty, vcpus, name and number", text);
	return -EINVAL;
}

/**
 * top_model_init() - nothing is known yet
 * @model: to be filled
 * @info: the module
 * @interval: milliseconds between looks
 */
void top_model_init(struct top_model *model, const struct monitor_info *info, uint64_t interval)
{
	memset(model, 0, sizeof(*model));
	model->info = *info;
	model->interval = interval;
	model->page = 1;
}

static void forget_detail(struct top_model *model)
{
	monitor_stats_free(&model->stats);
	free(model->vcpu);
	free(model->exit);
	model->vcpu = NULL;
	model->exit = NULL;
	model->nr_vcpus = 0;
	model->nr_exits = 0;
	model->looked = false;
	model->scroll = 0;
}

/**
 * top_model_free() - give back what it has allocated
 * @model: the model
 */
void top_model_free(struct top_model *model)
{
	forget_detail(model);
	monitor_vms_free(&model->last);
	free(model->all);
	free(model->vm);
	model->all = NULL;
	model->vm = NULL;
}

static double mapped(const struct monitor_vm *vm)
{
	return (double)vm->memory[VIREO_NL_MEMORY_MAPPED_4K] * 4 * KIB + (double)vm->memory[VIREO_NL_MEMORY_MAPPED_2M] * 2 * MIB +
	       (double)vm->memory[VIREO_NL_MEMORY_MAPPED_1G] * GIB;
}

/* What @vm has done since @before; NULL: since it was made */
static void measure(struct top_vm *out, const struct monitor_vm *vm, uint64_t at, const struct monitor_vm *before, uint64_t before_at)
{
	static const struct monitor_vm nothing;
	double seconds;

	seconds = rates_seconds(at, before ? before_at : vm->created);
	if (!before)
		before = &nothing;
	memset(out, 0, sizeof(*out));
	out->number = vm->number;
	text_clean(out->name, sizeof(out->name), vm->name);
	out->state = vm->state;
	out->vcpus = vm->vcpus;
	out->exits = rates_per_second(rates_since(vm->counter[VIREO_NL_COUNTER_ENTRIES],
						  before->counter[VIREO_NL_COUNTER_ENTRIES]), seconds);
	out->shares = rates_shares(vm->counter, before->counter);
	out->memory = (double)vm->memory[VIREO_NL_MEMORY_REGIONS];
	out->mapped = mapped(vm);
	out->dirty = rates_per_second(rates_since(vm->memory[VIREO_NL_MEMORY_DIRTIED],
						  before->memory[VIREO_NL_MEMORY_DIRTIED]), seconds);
}

static double value(const struct top_vm *vm, enum top_sort sort)
{
	switch (sort) {
	case TOP_SORT_EXITS:
		return vm->exits;
	case TOP_SORT_GUEST:
		return vm->shares.guest;
	case TOP_SORT_KERNEL:
		return vm->shares.kernel;
	case TOP_SORT_USER:
		return vm->shares.user;
	case TOP_SORT_HALTED:
		return vm->shares.halted;
	case TOP_SORT_MEMORY:
		return vm->memory;
	case TOP_SORT_DIRTY:
		return vm->dirty;
	case TOP_SORT_VCPUS:
		return vm->vcpus;
	default:
		return 0;
	}
}

/* The largest first, names and numbers from the beginning */
static int compare(const void *a, const void *b, void *context)
{
	const struct top_model *model = context;
	const struct top_vm *x = a, *y = b;
	double p = value(x, model->sort), q = value(y, model->sort);
	int order = (p < q) - (p > q);

	if (model->sort == TOP_SORT_NAME)
		order = strcmp(x->name, y->name);
	if (!order)
		order = (x->number > y->number) - (x->number < y->number);
	return model->reverse ? -order : order;
}

static bool matches(const struct top_vm *vm, const char *filter)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", vm->number);
	return !*filter || strcasestr(vm->name, filter) || !strcmp(number, filter);
}

/**
 * top_model_index() - which line is selected
 * @model: the model
 *
 * Return: index into its VMs; 0 if there are none.
 */
size_t top_model_index(const struct top_model *model)
{
	size_t i;

	for (i = 0; i < model->nr; i++)
		if (model->vm[i].number == model->selected)
			return i;
	return 0;
}

/* Which are shown, and in what order; there is room for all. */
static void arrange(struct top_model *model)
{
	size_t i;

	model->nr = 0;
	for (i = 0; i < model->nr_all; i++)
		if (matches(&model->all[i], model->filter))
			model->vm[model->nr++] = model->all[i];
	if (model->nr)
		qsort_r(model->vm, model->nr, sizeof(*model->vm), compare, model);
	model->selected = model->nr ? model->vm[top_model_index(model)].number : 0;
}

static const struct monitor_vm *find(const struct monitor_vms *vms, const struct monitor_vm *vm)
{
	size_t low = 0, high = vms->nr, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (vms->vm[middle].number < vm->number)
			low = middle + 1;
		else
			high = middle;
	}
	/* Of a module that was loaded again, numbers begin again. */
	if (low < vms->nr && vms->vm[low].number == vm->number && vms->vm[low].created == vm->created)
		return &vms->vm[low];
	return NULL;
}

/**
 * top_model_vms() - a look at all VMs
 * @model: the model
 * @vms: the look, in the order of numbers; empty afterwards
 *
 * Return: 0; -ENOMEM.
 */
int top_model_vms(struct top_model *model, struct monitor_vms *vms)
{
	struct top_vm *all = calloc(vms->nr + 1, sizeof(*all)), *shown = calloc(vms->nr + 1, sizeof(*shown));
	size_t i;

	if (!all || !shown) {
		free(all);
		free(shown);
		monitor_vms_free(vms);
		return -ENOMEM;
	}
	model->vcpus = 0;
	model->exits = 0;
	for (i = 0; i < vms->nr; i++) {
		measure(&all[i], &vms->vm[i], vms->at, find(&model->last, &vms->vm[i]), model->last.at);
		model->vcpus += all[i].vcpus;
		model->exits += all[i].exits > 0 ? all[i].exits : 0;
	}
	free(model->all);
	free(model->vm);
	model->all = all;
	model->vm = shown;
	model->nr_all = vms->nr;
	model->first = !model->last.at;
	monitor_vms_free(&model->last);
	model->last = *vms;
	memset(vms, 0, sizeof(*vms));
	arrange(model);
	return 0;
}

static int compare_exits(const void *a, const void *b, void *context)
{
	const struct top_model *model = context;
	const struct top_exit *x = a, *y = b;
	double p = x->rate, q = y->rate;
	int order;

	if (model->exit_sort == TOP_EXIT_SORT_MEAN) {
		p = x->mean;
		q = y->mean;
	} else if (model->exit_sort == TOP_EXIT_SORT_TIME) {
		p = x->time;
		q = y->time;
	}
	order = (p < q) - (p > q);
	if (!order)
		order = (x->reason > y->reason) - (x->reason < y->reason);
	return model->reverse ? -order : order;
}

static void arrange_exits(struct top_model *model)
{
	if (model->nr_exits)
		qsort_r(model->exit, model->nr_exits, sizeof(*model->exit), compare_exits, model);
}

static int fill_exits(struct top_model *model, const struct monitor_stats *difference, double seconds)
{
	double all = (double)difference->vm.counter[VIREO_NL_COUNTER_CYCLES_ALL], total = 0;
	struct monitor_exit *exits;
	size_t nr, i;

	exits = rates_exits(difference, &nr);
	model->exit = calloc(nr + 1, sizeof(*model->exit));
	if (!exits || !model->exit) {
		free(exits);
		return -ENOMEM;
	}
	for (i = 0; i < nr; i++)
		total += exits[i].reason < VIREO_EXIT_HARDWARE_NR ? (double)exits[i].count : 0;
	for (i = 0; i < nr; i++) {
		struct top_exit *exit = &model->exit[model->nr_exits];
		bool hard = exits[i].reason < VIREO_EXIT_HARDWARE_NR;

		if (!exits[i].count)
			continue;
		exit->reason = exits[i].reason;
		exit->rate = rates_per_second(exits[i].count, seconds);
		exit->share = hard && total > 0 ? (double)exits[i].count / total : TEXT_UNKNOWN;
		exit->mean = rates_ns(rates_mean(&exits[i], &model->info), &model->info);
		exit->time = hard && model->info.timed && all > 0 ? (double)exits[i].cycles / all : TEXT_UNKNOWN;
		model->nr_exits++;
	}
	free(exits);
	arrange_exits(model);
	return 0;
}

static int fill_vcpus(struct top_model *model, const struct monitor_stats *difference, double seconds)
{
	size_t i;

	model->vcpu = calloc(difference->nr + 1, sizeof(*model->vcpu));
	if (!model->vcpu)
		return -ENOMEM;
	for (i = 0; i < difference->nr; i++) {
		const struct monitor_vcpu *from = &difference->vcpu[i];

		model->vcpu[i] = (struct top_vcpu){
			.id = from->id,
			.tid = from->tid,
			.cpu = from->cpu,
			.exits = rates_per_second(from->counter[VIREO_NL_COUNTER_ENTRIES], seconds),
			.shares = rates_shares(from->counter, NULL),
		};
	}
	model->nr_vcpus = difference->nr;
	return 0;
}

/**
 * top_model_stats() - a look at the chosen VM
 * @model: the model
 * @stats: the look; empty afterwards
 *
 * Return: 0; -ENOMEM.
 */
int top_model_stats(struct top_model *model, struct monitor_stats *stats)
{
	bool again = model->looked && model->stats.vm.number == stats->vm.number &&
		     model->stats.vm.created == stats->vm.created;
	const struct monitor_stats *before = again ? &model->stats : NULL;
	struct monitor_stats difference = { 0 };
	size_t scroll = model->scroll;
	double seconds;
	int r;

	seconds = rates_time(stats, before);
	measure(&model->detail, &stats->vm, stats->at, before ? &before->vm : NULL, before ? before->at : 0);
	model->age = rates_seconds(stats->at, stats->vm.created);
	r = rates_difference(stats, before, &difference);
	forget_detail(model);
	model->scroll = scroll;
	model->stats = *stats;
	memset(stats, 0, sizeof(*stats));
	if (!r)
		r = fill_vcpus(model, &difference, seconds);
	if (!r)
		r = fill_exits(model, &difference, seconds);
	monitor_stats_free(&difference);
	model->looked = !r;
	model->again = again;
	return r;
}

/**
 * top_model_gone() - the chosen VM has ended
 * @model: the model, which shows all VMs again
 */
void top_model_gone(struct top_model *model)
{
	snprintf(model->note, sizeof(model->note), "VM %u has ended", model->chosen);
	forget_detail(model);
	model->view = TOP_VMS;
	model->chosen = 0;
}

static void select_line(struct top_model *model, size_t line)
{
	if (!model->nr)
		return;
	model->selected = model->vm[line < model->nr ? line : model->nr - 1].number;
}

/* Return: whether it was one of these */
static bool move(struct top_model *model, int key)
{
	size_t at = model->view == TOP_VM ? model->scroll : top_model_index(model);
	/* Titles and blank lines are among the details; the layout does not go beyond the last page. */
	size_t end = model->view == TOP_VM ? model->nr_vcpus + model->nr_exits + 3 : model->nr;

	switch (key) {
	case 'k':
	case TOP_KEY_UP:
		at -= at > 0;
		break;
	case 'j':
	case TOP_KEY_DOWN:
		at++;
		break;
	case TOP_KEY_PAGE_UP:
		at -= at < model->page ? at : model->page;
		break;
	case TOP_KEY_PAGE_DOWN:
		at += model->page;
		break;
	case TOP_KEY_HOME:
		at = 0;
		break;
	case TOP_KEY_END:
		at = end;
		break;
	default:
		return false;
	}
	if (model->view == TOP_VMS)
		select_line(model, at);
	else if (end > model->page)
		model->scroll = at < end - model->page ? at : end - model->page;
	else
		model->scroll = 0;
	return true;
}

/* Keys while the filter is typed */
static enum top_action type(struct top_model *model, int key)
{
	size_t len = strlen(model->filter);

	switch (key) {
	case TOP_KEY_ENTER:
		model->typing = false;
		return TOP_DRAW;
	case TOP_KEY_ESCAPE:
		model->typing = false;
		*model->filter = '\0';
		break;
	case TOP_KEY_BACKSPACE:
		if (len)
			model->filter[len - 1] = '\0';
		break;
	default:
		if (key < ' ' || key > '~' || len + 1 >= sizeof(model->filter))
			return TOP_NOTHING;
		model->filter[len] = (char)key;
		model->filter[len + 1] = '\0';
	}
	arrange(model);
	return TOP_DRAW;
}

static enum top_action next_sort(struct top_model *model, int step)
{
	if (model->view == TOP_VM) {
		model->exit_sort = (model->exit_sort + (unsigned int)(TOP_EXIT_SORT_NR + step)) % TOP_EXIT_SORT_NR;
		arrange_exits(model);
	} else {
		model->sort = (model->sort + (unsigned int)(TOP_SORT_NR + step)) % TOP_SORT_NR;
		arrange(model);
	}
	return TOP_DRAW;
}

static enum top_action choose(struct top_model *model)
{
	if (model->view == TOP_VM || !model->selected)
		return TOP_NOTHING;
	model->view = TOP_VM;
	model->chosen = model->selected;
	forget_detail(model);
	return TOP_LOOK;
}

static enum top_action back(struct top_model *model)
{
	if (model->view == TOP_VM) {
		model->view = TOP_VMS;
		model->chosen = 0;
		forget_detail(model);
		return TOP_LOOK;
	}
	if (!*model->filter)
		return TOP_NOTHING;
	*model->filter = '\0';
	arrange(model);
	return TOP_DRAW;
}

/**
 * top_model_key() - a key was pressed
 * @model: the model
 * @key: a character, or &enum top_key
 *
 * Return: what to do.
 */
enum top_action top_model_key(struct top_model *model, int key)
{
	*model->note = '\0';
	if (model->help) {
		model->help = false;
		return key == 'q' ? TOP_QUIT : TOP_DRAW;
	}
	if (model->typing)
		return type(model, key);
	if (move(model, key))
		return TOP_DRAW;
	switch (key) {
	case 'q':
		return TOP_QUIT;
	case 'h':
	case '?':
		model->help = true;
		return TOP_DRAW;
	case 's':
		return next_sort(model, 1);
	case 'S':
		return next_sort(model, -1);
	case 'r':
		model->reverse = !model->reverse;
		return next_sort(model, 0);
	case '/':
	case 'f':
		if (model->view == TOP_VM)
			return TOP_NOTHING;
		model->typing = true;
		return TOP_DRAW;
	case TOP_KEY_ENTER:
		return choose(model);
	case 'b':
	case TOP_KEY_ESCAPE:
	case TOP_KEY_BACKSPACE:
		return back(model);
	case ' ':
		return TOP_LOOK;
	}
	return TOP_NOTHING;
}
