// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exits that the processor reports come first, with their time; those that only exist between module and launcher are
 * counted a second time, as what the first ones led to.
 */
#include <stdlib.h>
#include <string.h>
#include <linux/vireo.h>

#include "names.h"
#include "rates.h"
#include "stat.h"
#include "text.h"
#include "../util.h"

#define BAR 40

/**
 * struct part - what is printed alike for a VM and a vCPU
 * @counter: its counters
 * @exits: its exits
 * @nr: how many reasons
 * @indent: spaces before each line
 */
struct part {
	const uint64_t *counter;
	const struct monitor_exit *exits;
	size_t nr;
	int indent;
};

static unsigned long long of(const struct part *part, enum vireo_nl_counter counter)
{
	return part->counter[counter];
}

static void print_time(FILE *to, const struct part *part)
{
	struct rates_shares shares = rates_shares(part->counter, NULL);
	char a[TEXT_NUMBER], b[TEXT_NUMBER], c[TEXT_NUMBER], d[TEXT_NUMBER];

	fprintf(to, "%*stime        guest %s%%  kernel %s%%  user %s%%  halted %s%%\n", part->indent, "",
		text_percent(a, shares.guest), text_percent(b, shares.kernel), text_percent(c, shares.user),
		text_percent(d, shares.halted));
}

static void print_counters(FILE *to, const struct part *part)
{
	int indent = part->indent;

	fprintf(to, "%*sfaults      read %llu  write %llu  fetch %llu  tracked %llu  mmio %llu  guest's %llu\n", indent, "",
		of(part, VIREO_NL_COUNTER_FAULTS_READ), of(part, VIREO_NL_COUNTER_FAULTS_WRITE),
		of(part, VIREO_NL_COUNTER_FAULTS_FETCH), of(part, VIREO_NL_COUNTER_FAULTS_TRACKED),
		of(part, VIREO_NL_COUNTER_FAULTS_MMIO), of(part, VIREO_NL_COUNTER_FAULTS_GUEST));
	fprintf(to, "%*sinjected    interrupts %llu  NMIs %llu  exceptions %llu\n", indent, "",
		of(part, VIREO_NL_COUNTER_INJECTED_IRQ), of(part, VIREO_NL_COUNTER_INJECTED_NMI),
		of(part, VIREO_NL_COUNTER_INJECTED_EXCEPTION));
	fprintf(to, "%*sinterrupts  ", indent, "");
	/* No vCPU's */
	if (!indent)
		fprintf(to, "MSI %llu  ", of(part, VIREO_NL_COUNTER_IRQS_MSI));
	fprintf(to, "IPI %llu  timer %llu  ended without an exit %llu\n", of(part, VIREO_NL_COUNTER_IRQS_IPI),
		of(part, VIREO_NL_COUNTER_IRQS_TIMER), of(part, VIREO_NL_COUNTER_PV_EOIS));
	fprintf(to, "%*shalts       %llu  polled %llu  in time %llu\n", indent, "", of(part, VIREO_NL_COUNTER_HALTS),
		of(part, VIREO_NL_COUNTER_HALT_POLLS), of(part, VIREO_NL_COUNTER_HALT_HITS));
	fprintf(to, "%*sothers      TLB flushes %llu  asked for by others %llu  yields %llu  interpreted %llu  dirtied %llu\n",
		indent, "", of(part, VIREO_NL_COUNTER_FLUSHES), of(part, VIREO_NL_COUNTER_PV_FLUSHES),
		of(part, VIREO_NL_COUNTER_YIELDS), of(part, VIREO_NL_COUNTER_INTERPRETED),
		of(part, VIREO_NL_COUNTER_DIRTIED));
}

static void print_memory(FILE *to, const struct stat_view *view)
{
	const uint64_t *memory = view->stats->vm.memory;
	char a[TEXT_NUMBER], b[TEXT_NUMBER], c[TEXT_NUMBER], d[TEXT_NUMBER], e[TEXT_NUMBER];

	fprintf(to, "memory      regions %s  mapped 4K: %llu  2M: %llu  1G: %llu\n",
		text_bytes(a, (double)memory[VIREO_NL_MEMORY_REGIONS]),
		(unsigned long long)memory[VIREO_NL_MEMORY_MAPPED_4K],
		(unsigned long long)memory[VIREO_NL_MEMORY_MAPPED_2M],
		(unsigned long long)memory[VIREO_NL_MEMORY_MAPPED_1G]);
	fprintf(to, "module's    tables %s  tracking %s  snapshots %s  vCPUs %s\n",
		text_bytes(b, (double)memory[VIREO_NL_MEMORY_TABLES]),
		text_bytes(c, (double)memory[VIREO_NL_MEMORY_TRACKING]),
		text_bytes(d, (double)memory[VIREO_NL_MEMORY_SNAPSHOTS]),
		text_bytes(e, (double)memory[VIREO_NL_MEMORY_VCPUS]));
	fprintf(to, "dirty       %llu pages, %s/s\n", (unsigned long long)memory[VIREO_NL_MEMORY_DIRTIED],
		text_count(a, rates_per_second(memory[VIREO_NL_MEMORY_DIRTIED], view->seconds)));
}

static void print_histogram(FILE *to, const struct stat_view *view, const struct monitor_exit *exit, int indent)
{
	unsigned int first = VIREO_NL_BUCKETS, last = 0, i;
	char from[TEXT_NUMBER], bar[BAR + 1];
	uint32_t most = 1;

	for (i = 0; i < VIREO_NL_BUCKETS; i++) {
		if (!exit->histogram[i])
			continue;
		if (first == VIREO_NL_BUCKETS)
			first = i;
		last = i;
		if (exit->histogram[i] > most)
			most = exit->histogram[i];
	}
	for (i = first; i <= last && i < VIREO_NL_BUCKETS; i++) {
		size_t n = (size_t)muldiv64(exit->histogram[i], BAR, most);

		/* Few are not none. */
		if (!n && exit->histogram[i])
			n = 1;
		memset(bar, '#', n);
		bar[n] = '\0';
		/* The first one has those of no time, too. */
		text_ns(from, i ? rates_ns((double)(1ULL << i), view->info) : 0);
		fprintf(to, "%*s%10s %-3s %10u %s\n", indent + 2, "", from, i == VIREO_NL_BUCKETS - 1 ? "on" : "...",
			exit->histogram[i], bar);
	}
}

static int by_count(const void *a, const void *b)
{
	const struct monitor_exit *x = a, *y = b;
	bool soft_x = x->reason >= VIREO_EXIT_HARDWARE_NR, soft_y = y->reason >= VIREO_EXIT_HARDWARE_NR;

	if (soft_x != soft_y)
		return soft_x - soft_y;
	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return (x->reason > y->reason) - (x->reason < y->reason);
}

static void print_exits(FILE *to, const struct stat_view *view, const struct part *part)
{
	double all = (double)part->counter[VIREO_NL_COUNTER_CYCLES_ALL], total = 0, mean;
	char name[NAMES_EXIT], rate[TEXT_NUMBER], share[TEXT_NUMBER], cycles[TEXT_NUMBER], ns[TEXT_NUMBER], time[TEXT_NUMBER];
	bool soft = false;
	size_t i;

	for (i = 0; i < part->nr; i++)
		if (part->exits[i].reason < VIREO_EXIT_HARDWARE_NR)
			total += (double)part->exits[i].count;
	fprintf(to, "\n%*s%-22s %14s %7s %6s %7s %7s %6s\n", part->indent, "", "EXITS", "COUNT", "/S", "%", "CYCLES", "TIME",
		"%TIME");
	for (i = 0; i < part->nr; i++) {
		const struct monitor_exit *exit = &part->exits[i];

		/* What was not seen in between */
		if (!exit->count)
			continue;
		if (exit->reason >= VIREO_EXIT_HARDWARE_NR && !soft) {
			fprintf(to, "%*s%s\n", part->indent, "", "led to");
			soft = true;
		}
		mean = rates_mean(exit, view->info);
		fprintf(to, "%*s%-22s %14llu %7s %6s %7s %7s %6s\n", part->indent, "", names_exit(name, exit->reason),
			(unsigned long long)exit->count, text_count(rate, rates_per_second(exit->count, view->seconds)),
			text_percent(share, soft || !total ? TEXT_UNKNOWN : (double)exit->count / total),
			text_count(cycles, mean < 0 ? mean : (double)(uint64_t)(mean + 0.5)),
			text_ns(ns, rates_ns(mean, view->info)),
			text_percent(time, mean < 0 || !all ? TEXT_UNKNOWN : (double)exit->cycles / all));
		if (view->histogram && mean >= 0)
			print_histogram(to, view, exit, part->indent);
	}
}

static void print_part(FILE *to, const struct stat_view *view, const struct part *part)
{
	char rate[TEXT_NUMBER];

	print_time(to, part);
	fprintf(to, "%*sexits       %llu, %s/s; returns to user space %llu\n", part->indent, "",
		of(part, VIREO_NL_COUNTER_ENTRIES),
		text_count(rate, rates_per_second(part->counter[VIREO_NL_COUNTER_ENTRIES], view->seconds)),
		of(part, VIREO_NL_COUNTER_USER_EXITS));
	print_counters(to, part);
	if (!part->indent)
		print_memory(to, view);
	print_exits(to, view, part);
}

static void print_vcpu(FILE *to, const struct stat_view *view, const struct monitor_vcpu *vcpu)
{
	struct part part = { vcpu->counter, vcpu->exits, vcpu->nr_exits, 2 };

	fprintf(to, "\nvCPU %u", vcpu->id);
	if (vcpu->tid)
		fprintf(to, ", thread %u", vcpu->tid);
	if (vcpu->cpu >= 0)
		fprintf(to, ", CPU %d", vcpu->cpu);
	fprintf(to, "\n");
	if (vcpu->nr_exits)
		qsort(vcpu->exits, vcpu->nr_exits, sizeof(*vcpu->exits), by_count);
	print_part(to, view, &part);
}

/**
 * stat_text() - a look at a VM, for people
 * @to: where to
 * @view: the look; the order of its exits changes
 */
void stat_text(FILE *to, const struct stat_view *view)
{
	const struct monitor_vm *vm = &view->stats->vm;
	struct part part = { .counter = vm->counter };
	char name[MONITOR_NAME], age[TEXT_NUMBER];
	struct monitor_exit *exits = rates_exits(view->stats, &part.nr);
	size_t i;

	if (exits)
		qsort(exits, part.nr, sizeof(*exits), by_count);
	part.exits = exits;
	fprintf(to, "%s: VM %u, %s, %u vCPU%s, user %u", text_clean(name, sizeof(name), vm->name), vm->number,
		names_state(vm->state), vm->vcpus, vm->vcpus == 1 ? "" : "s", vm->uid);
	if (vm->pid)
		fprintf(to, ", process %u", vm->pid);
	fprintf(to, "; %s %s\n", view->first ? "all" : "the last", text_age(age, view->seconds));
	if (!view->info->timed)
		fprintf(to, "(the module does not measure time: its parameter \"stats\" is off)\n");
	print_part(to, view, &part);
	free(exits);
	for (i = 0; view->vcpus && i < view->stats->nr; i++)
		print_vcpu(to, view, &view->stats->vcpu[i]);
}
