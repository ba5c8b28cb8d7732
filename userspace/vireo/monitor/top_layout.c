// SPDX-License-Identifier: GPL-2.0-only
/*
 * A list has the columns that there is room for, the more important ones first. Everything is cut at the edges, down to one cell.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "text.h"
#include "top_layout.h"
#include "../util.h"

#define NAME_WIDTH	12	/* at least */
#define VMS_ABOVE	2	/* lines above the list: head and titles */
#define DETAIL_ABOVE	4	/* head, time, memory, blank */
#define FOOT		1

/**
 * struct column - of the list of VMs
 * @title: over it
 * @width: in cells; 0: takes what is left
 * @rank: the lower, the more important
 * @text: what is in it
 */
struct column {
	const char *title;
	unsigned int width;
	unsigned int rank;
	const char *(*text)(char out[TEXT_NUMBER], const struct top_vm *vm);
};

static const char *number_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	snprintf(out, TEXT_NUMBER, "%u", vm->number);
	return out;
}

static const char *name_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	(void)out;
	return vm->name;
}

static const char *state_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	(void)out;
	return names_state(vm->state);
}

static const char *vcpus_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	snprintf(out, TEXT_NUMBER, "%u", vm->vcpus);
	return out;
}

static const char *exits_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	return text_count(out, vm->exits);
}

static const char *guest_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	return text_percent(out, vm->shares.guest);
}

static const char *kernel_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	return text_percent(out, vm->shares.kernel);
}

static const char *user_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	return text_percent(out, vm->shares.user);
}

static const char *halted_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	return text_percent(out, vm->shares.halted);
}

static const char *memory_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	return text_bytes(out, vm->memory);
}

static const char *mapped_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	return text_bytes(out, vm->mapped);
}

static const char *dirty_text(char out[TEXT_NUMBER], const struct top_vm *vm)
{
	return text_count(out, vm->dirty);
}

static const struct column columns[] = {
	{ "VM", 5, 4, number_text },
	{ "NAME", 0, 0, name_text },
	{ "STATE", 7, 8, state_text },
	{ "CPUS", 4, 11, vcpus_text },
	{ "EXITS/S", 7, 1, exits_text },
	{ "GUEST", 5, 2, guest_text },
	{ "KERNEL", 6, 5, kernel_text },
	{ "USER", 5, 6, user_text },
	{ "HALTED", 6, 3, halted_text },
	{ "MEMORY", 6, 9, memory_text },
	{ "MAPPED", 6, 12, mapped_text },
	{ "DIRTY/S", 7, 10, dirty_text },
};

/**
 * screen_make() - an empty screen
 * @screen: to be filled
 * @rows: lines, at least one
 * @cols: cells of each, at least one
 *
 * Return: 0; -ENOMEM.
 */
int screen_make(struct screen *screen, unsigned int rows, unsigned int cols)
{
	unsigned int row;

	screen->rows = rows ? rows : 1;
	screen->cols = cols ? cols : 1;
	screen->cells = calloc(screen->rows, (size_t)screen->cols + 1);
	screen->styles = calloc(screen->rows, sizeof(*screen->styles));
	if (!screen->cells || !screen->styles) {
		screen_free(screen);
		return -ENOMEM;
	}
	for (row = 0; row < screen->rows; row++)
		memset(screen_line(screen, row), ' ', screen->cols);
	return 0;
}

/**
 * screen_free() - give it back
 * @screen: the screen
 */
void screen_free(struct screen *screen)
{
	free(screen->cells);
	free(screen->styles);
	screen->cells = NULL;
	screen->styles = NULL;
}

/**
 * screen_line() - a line
 * @screen: the screen
 * @row: from 0
 *
 * Return: its cells.
 */
char *screen_line(const struct screen *screen, unsigned int row)
{
	return screen->cells + (size_t)row * (screen->cols + 1);
}

/* Write there, as far as there is a screen. */
static void put(struct screen *screen, unsigned int row, unsigned int col, const char *text)
{
	size_t len = strlen(text);

	if (row >= screen->rows || col >= screen->cols)
		return;
	if (len > screen->cols - col)
		len = screen->cols - col;
	memcpy(screen_line(screen, row) + col, text, len);
}

static void put_format(struct screen *screen, unsigned int row, unsigned int col, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static void put_format(struct screen *screen, unsigned int row, unsigned int col, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(screen, row, col, text);
}

/* At the right edge, if that leaves what is there already */
static void put_right(struct screen *screen, unsigned int row, const char *text)
{
	size_t len = strlen(text), used = screen->cols;
	const char *line = screen_line(screen, row);

	while (used && line[used - 1] == ' ')
		used--;
	if (used + 2 + len <= screen->cols)
		put(screen, row, (unsigned int)(screen->cols - len), text);
}

static void style(struct screen *screen, unsigned int row, enum screen_style style)
{
	if (row < screen->rows)
		screen->styles[row] = style;
}

/**
 * struct table - the columns that there is room for
 * @shown: which
 * @name_width: of the name
 */
struct table {
	bool shown[ARRAY_SIZE(columns)];
	unsigned int name_width;
};

static void plan(struct table *table, unsigned int cols)
{
	unsigned int used = NAME_WIDTH, rank, i;

	memset(table, 0, sizeof(*table));
	for (rank = 0; rank <= ARRAY_SIZE(columns); rank++) {
		for (i = 0; i < ARRAY_SIZE(columns) && columns[i].rank != rank; i++)
			;
		if (i == ARRAY_SIZE(columns))
			continue;
		if (columns[i].width && used + 1 + columns[i].width > cols)
			break;
		table->shown[i] = true;
		used += columns[i].width ? 1 + columns[i].width : 0;
	}
	table->name_width = NAME_WIDTH + (cols > used ? cols - used : 0);
	if (table->name_width > MONITOR_NAME - 1)
		table->name_width = MONITOR_NAME - 1;
}

/* A line of the list; @vm is NULL: titles */
static void put_row(struct screen *screen, unsigned int row, const struct table *table, const struct top_vm *vm)
{
	unsigned int col = 0, i, width;
	char number[TEXT_NUMBER];

	for (i = 0; i < ARRAY_SIZE(columns); i++) {
		const char *text = vm ? columns[i].text(number, vm) : columns[i].title;
		bool name = !columns[i].width;

		if (!table->shown[i])
			continue;
		width = name ? table->name_width : columns[i].width;
		/* What is text begins at the left. */
		if (name || columns[i].text == state_text)
			put_format(screen, row, col, "%-*.*s", (int)width, (int)width, text);
		else
			put_format(screen, row, col, "%*s", (int)width, text);
		col += width + 1;
	}
}

static void put_head(const struct top_model *model, struct screen *screen)
{
	char exits[TEXT_NUMBER], right[80], filter[TOP_FILTER + 16] = "";

	if (*model->filter)
		snprintf(filter, sizeof(filter), ", %zu with \"%s\"", model->nr, model->filter);
	put_format(screen, 0, 0, "vireo top: %zu VM%s%s, %llu vCPU%s, %s exits/s", model->nr_all, model->nr_all == 1 ? "" : "s",
		   filter, (unsigned long long)model->vcpus, model->vcpus == 1 ? "" : "s", text_count(exits, model->exits));
	if (model->first)
		snprintf(right, sizeof(right), "since made, by %s%s", top_sort_name(model->sort), model->reverse ? ", reversed" : "");
	else
		snprintf(right, sizeof(right), "every %.1fs, by %s%s", (double)model->interval / 1000, top_sort_name(model->sort),
			 model->reverse ? ", reversed" : "");
	put_right(screen, 0, right);
	style(screen, 0, SCREEN_BOLD);
}

static void put_foot(const struct top_model *model, struct screen *screen)
{
	unsigned int row = screen->rows - 1;

	if (model->typing)
		put_format(screen, row, 0, "Filter: %s_", model->filter);
	else if (*model->note)
		put(screen, row, 0, model->note);
	else if (model->view == TOP_VM)
		put(screen, row, 0, "Esc back  s,S sort  r reverse  h help  q quit");
	else
		put(screen, row, 0, "Enter details  s,S sort  r reverse  / filter  h help  q quit");
	style(screen, row, SCREEN_BOLD);
}

static void put_vms(const struct top_model *model, struct screen *screen)
{
	unsigned int page = top_layout_page(model, screen->rows), i;
	size_t index = top_model_index(model), first = index / page * page;
	struct table table;

	plan(&table, screen->cols);
	put_head(model, screen);
	put_row(screen, 1, &table, NULL);
	style(screen, 1, SCREEN_REVERSE);
	for (i = 0; i < page && first + i < model->nr; i++) {
		put_row(screen, VMS_ABOVE + i, &table, &model->vm[first + i]);
		if (first + i == index)
			style(screen, VMS_ABOVE + i, SCREEN_REVERSE);
	}
	if (!model->nr)
		put(screen, VMS_ABOVE, 0, model->nr_all ? "no VM matches the filter" : "no VM is to be seen from here");
}

static const char *since(const struct top_model *model, char *text, size_t room)
{
	if (!model->again)
		return "since it was made";
	snprintf(text, room, "every %.1fs, by %s%s", (double)model->interval / 1000, top_exit_sort_name(model->exit_sort),
		 model->reverse ? ", reversed" : "");
	return text;
}

static void put_vcpu(struct screen *screen, unsigned int row, const struct top_vcpu *vcpu)
{
	char tid[16] = "-", cpu[16] = "-", exits[TEXT_NUMBER], guest[TEXT_NUMBER], kernel[TEXT_NUMBER], user[TEXT_NUMBER],
	     halted[TEXT_NUMBER];

	if (vcpu->tid)
		snprintf(tid, sizeof(tid), "%u", vcpu->tid);
	if (vcpu->cpu >= 0)
		snprintf(cpu, sizeof(cpu), "%d", vcpu->cpu);
	put_format(screen, row, 0, "%4u %7s %6s %6s %6s %6s %8s %4s", vcpu->id, text_count(exits, vcpu->exits),
		   text_percent(guest, vcpu->shares.guest), text_percent(kernel, vcpu->shares.kernel),
		   text_percent(user, vcpu->shares.user), text_percent(halted, vcpu->shares.halted), tid, cpu);
}

static void put_exit(struct screen *screen, unsigned int row, const struct top_exit *exit)
{
	char name[NAMES_EXIT], rate[TEXT_NUMBER], share[TEXT_NUMBER], mean[TEXT_NUMBER], time[TEXT_NUMBER];

	put_format(screen, row, 0, "%-21s %7s %6s %6s %6s", names_exit(name, exit->reason), text_count(rate, exit->rate),
		   text_percent(share, exit->share), text_ns(mean, exit->mean), text_percent(time, exit->time));
}

/* Line @line of the details that can be scrolled */
static void put_detail(const struct top_model *model, struct screen *screen, unsigned int row, size_t line)
{
	if (line == 0) {
		put_format(screen, row, 0, "%4s %7s %6s %6s %6s %6s %8s %4s", "VCPU", "EXITS/S", "GUEST", "KERNEL", "USER", "HALTED",
			   "THREAD", "CPU");
		style(screen, row, SCREEN_REVERSE);
		return;
	}
	line--;
	if (line < model->nr_vcpus) {
		put_vcpu(screen, row, &model->vcpu[line]);
		return;
	}
	line -= model->nr_vcpus;
	if (line == 1) {
		put_format(screen, row, 0, "%-21s %7s %6s %6s %6s", "EXITS", "/S", "%", "MEAN", "%TIME");
		style(screen, row, SCREEN_REVERSE);
	} else if (line > 1 && line - 2 < model->nr_exits) {
		put_exit(screen, row, &model->exit[line - 2]);
	}
}

static void put_vm(const struct top_model *model, struct screen *screen)
{
	unsigned int page = top_layout_page(model, screen->rows), i;
	const struct top_vm *vm = &model->detail;
	const uint64_t *memory = model->stats.vm.memory;
	char a[TEXT_NUMBER], b[TEXT_NUMBER], c[TEXT_NUMBER], d[TEXT_NUMBER], e[TEXT_NUMBER], f[TEXT_NUMBER], right[80];
	size_t lines = model->nr_vcpus + model->nr_exits + 3, scroll = model->scroll;

	if (!model->looked)
		return;
	put_format(screen, 0, 0, "vireo top: %s (VM %u), %s, %u vCPU%s, %s", vm->name, vm->number, names_state(vm->state), vm->vcpus,
		   vm->vcpus == 1 ? "" : "s", text_age(a, model->age));
	put_right(screen, 0, since(model, right, sizeof(right)));
	style(screen, 0, SCREEN_BOLD);
	put_format(screen, 1, 0, "%s exits/s  guest %s%%  kernel %s%%  user %s%%  halted %s%%", text_count(e, vm->exits),
		   text_percent(a, vm->shares.guest), text_percent(b, vm->shares.kernel), text_percent(c, vm->shares.user),
		   text_percent(d, vm->shares.halted));
	put_format(screen, 2, 0, "memory %s  mapped %s  dirty %s/s  tables %s  tracking %s  snapshots %s", text_bytes(a, vm->memory),
		   text_bytes(b, vm->mapped), text_count(c, vm->dirty),
		   text_bytes(d, (double)memory[VIREO_NL_MEMORY_TABLES]),
		   text_bytes(e, (double)memory[VIREO_NL_MEMORY_TRACKING]),
		   text_bytes(f, (double)memory[VIREO_NL_MEMORY_SNAPSHOTS]));
	if (lines <= page)
		scroll = 0;
	else if (scroll > lines - page)
		scroll = lines - page;
	for (i = 0; i < page && scroll + i < lines; i++)
		put_detail(model, screen, DETAIL_ABOVE + i, scroll + i);
}

static void put_help(struct screen *screen)
{
	static const char *const lines[] = {
		"vireo top",
		"",
		"Up Down PgUp PgDn Home End  move (also k and j)",
		"Enter       what the selected VM does: its vCPUs, its exits by reason",
		"Esc, b      back",
		"s, S        sort by something else",
		"r           the other way round",
		"/, f        VMs with a text in their name only; Esc ends that",
		"Space       look now",
		"q           quit",
		"",
		"GUEST KERNEL USER HALTED: % of the vCPUs' time in the guest, in the module,",
		"outside of it, and halted. DIRTY/S: pages, while dirty pages are tracked.",
		"MEAN: time until the guest goes on, without what the launcher does.",
		"",
		"Any key goes on.",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lines); i++)
		put(screen, i, 0, lines[i]);
	style(screen, 0, SCREEN_BOLD);
}

/**
 * top_layout_page() - how much of a list is seen at once
 * @model: what is shown
 * @rows: lines of the screen
 *
 * Return: lines, at least 1.
 */
unsigned int top_layout_page(const struct top_model *model, unsigned int rows)
{
	unsigned int others = (model->view == TOP_VM ? DETAIL_ABOVE : VMS_ABOVE) + FOOT;

	return rows > others ? rows - others : 1;
}

/**
 * top_layout() - what is shown
 * @model: what is known
 * @screen: an empty screen
 */
void top_layout(const struct top_model *model, struct screen *screen)
{
	if (model->help) {
		put_help(screen);
		return;
	}
	if (model->view == TOP_VM)
		put_vm(model, screen);
	else
		put_vms(model, screen);
	/* Of few lines the last one is better used. */
	if (screen->rows > VMS_ABOVE + FOOT) {
		memset(screen_line(screen, screen->rows - 1), ' ', screen->cols);
		put_foot(model, screen);
	}
}

/**
 * top_layout_batch() - all VMs, as text
 * @model: what is known
 * @screen: to be made: head, titles, and a line each
 *
 * Return: 0; -ENOMEM.
 */
int top_layout_batch(const struct top_model *model, struct screen *screen)
{
	unsigned int cols = MONITOR_NAME - 1, i;
	struct table table;

	for (i = 0; i < ARRAY_SIZE(columns); i++)
		cols += columns[i].width ? columns[i].width + 1 : 0;
	if (screen_make(screen, (unsigned int)model->nr + VMS_ABOVE, cols))
		return -ENOMEM;
	plan(&table, cols);
	put_head(model, screen);
	put_row(screen, 1, &table, NULL);
	for (i = 0; i < model->nr; i++)
		put_row(screen, VMS_ABOVE + i, &table, &model->vm[i]);
	return 0;
}
