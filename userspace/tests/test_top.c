// SPDX-License-Identifier: GPL-2.0-only
/*
 * vireo top without a module: what it knows, what it shows in terminals of several sizes, and that a terminal is afterwards
 * what it was before.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <linux/vireo.h>

#include "made.h"
#include "tap.h"
#include "../vireo/monitor/top_layout.h"
#include "../vireo/monitor/top_terminal.h"
#include "../vireo/util.h"

#define SECOND	1000000000ULL
#define PATIENCE_MS 20000

static struct top_model model;

/* ---- Looks, made up ---- */

/* At 200 s and @later seconds: @nr VMs from number 1 on; each second VM 1 exits 100 times, VM 2 200 times, ... */
static void look(struct monitor_vms *vms, size_t nr, unsigned int later)
{
	static const char *const names[] = { "web", "db\033[2J", "a-very-long-name-of-31-characters", "mail" };
	size_t i;

	vms->at = (200 + later) * SECOND;
	vms->nr = nr;
	vms->vm = calloc(nr + 1, sizeof(*vms->vm));
	for (i = 0; i < nr; i++) {
		struct monitor_vm *vm = &vms->vm[i];
		char name[MONITOR_NAME];

		snprintf(name, sizeof(name), "vm-%zu", i + 1);
		*vm = made_some_vm((uint32_t)i + 1, i < 4 ? names[i] : name);
		vm->counter[VIREO_NL_COUNTER_ENTRIES] += 100 * later * (i + 1);
		vm->counter[VIREO_NL_COUNTER_CYCLES_ALL] += 4000000000ULL * later;
		vm->counter[VIREO_NL_COUNTER_CYCLES_HALTED] += 400000000ULL * later * (i % 10);
		vm->counter[VIREO_NL_COUNTER_CYCLES_KERNEL] += 40000000ULL * later * (i % 3);
		vm->memory[VIREO_NL_MEMORY_REGIONS] = (i + 1) * 256 * MIB;
		vm->memory[VIREO_NL_MEMORY_DIRTIED] += later * (nr - i);
		vm->state = (uint32_t)(i % 5);
		vm->vcpus = 1 + (uint32_t)i % 4;
	}
}

static void see(size_t nr, unsigned int later)
{
	struct monitor_vms vms = { 0 };

	look(&vms, nr, later);
	if (top_model_vms(&model, &vms))
		abort();
}

static void look_closely(struct monitor_stats *stats, uint32_t number, unsigned int later, size_t vcpus)
{
	struct monitor_vms vms = { 0 };
	size_t i;

	look(&vms, number, later);
	memset(stats, 0, sizeof(*stats));
	stats->at = vms.at;
	stats->vm = vms.vm[number - 1];
	stats->nr = vcpus;
	stats->vcpu = calloc(vcpus, sizeof(*stats->vcpu));
	for (i = 0; i < vcpus; i++) {
		struct monitor_exit *exits = calloc(5, sizeof(*exits));

		stats->vcpu[i] = made_some_vcpu(number, (uint32_t)i, exits, 5);
		exits[0].count += later * 70;
		exits[0].cycles += later * 70 * 2000;
		exits[1].count += later * 10;
		exits[1].cycles += later * 10 * 60000;
		exits[4].count += later * 10;
		memcpy(stats->vcpu[i].counter, stats->vm.counter, sizeof(stats->vm.counter));
	}
	monitor_vms_free(&vms);
}

static void see_closely(uint32_t number, unsigned int later, size_t vcpus)
{
	struct monitor_stats stats;

	look_closely(&stats, number, later, vcpus);
	if (top_model_stats(&model, &stats))
		abort();
}

static void begin(void)
{
	struct monitor_info info = made_some_info();

	top_model_init(&model, &info, 1000);
	model.page = 21;
}

static void keys(const char *text)
{
	while (*text)
		top_model_key(&model, *text++);
}

/* ---- Screens ---- */

/* What is shown, without blanks at the ends of lines; "*" before what is reverse, ">" before what is bold */
static char *shown(unsigned int rows, unsigned int cols)
{
	static char text[65536];
	struct screen screen;
	unsigned int row;
	char *end = text;
	size_t len;

	if (screen_make(&screen, rows, cols))
		abort();
	top_layout(&model, &screen);
	for (row = 0; row < rows; row++) {
		const char *line = screen_line(&screen, row);

		if (strlen(line) != cols)
			abort();
		for (len = cols; len && line[len - 1] == ' '; len--)
			;
		if (len || screen.styles[row])
			*end++ = " >*"[screen.styles[row]];
		end += sprintf(end, "%.*s\n", (int)len, line);
	}
	screen_free(&screen);
	return text;
}

static void shows(const char *what, unsigned int rows, unsigned int cols, const char *want)
{
	const char *got = shown(rows, cols);
	bool good = !strcmp(got, want);

	ok(good, "%s", what);
	if (!good)
		printf("# --- got\n%s# --- want\n%s", got, want);
}

static void test_vms(void)
{
	begin();
	see(4, 0);
	shows("the first look", 8, 80,
	      ">vireo top: 4 VMs, 10 vCPUs, 100 exits/s                     since made, by exits\n"
	      "*   VM NAME         STATE   CPUS EXITS/S GUEST KERNEL  USER HALTED MEMORY DIRTY/S\n"
	      "*    4 mail         stopped    4      40  50.0   12.5  12.5   25.0     1G     0.4\n"
	      "     3 a-very-long- paused     3      30  50.0   12.5  12.5   25.0   768M     0.3\n"
	      "     2 db?[2J       running    2      20  50.0   12.5  12.5   25.0   512M     0.2\n"
	      "     1 web          new        1      10  50.0   12.5  12.5   25.0   256M     0.1\n"
	      "\n"
	      ">Enter details  s,S sort  r reverse  / filter  h help  q quit\n");
	see(4, 2);
	shows("the next", 24, 80,
	      ">vireo top: 4 VMs, 10 vCPUs, 1000 exits/s                    every 1.0s, by exits\n"
	      "*   VM NAME         STATE   CPUS EXITS/S GUEST KERNEL  USER HALTED MEMORY DIRTY/S\n"
	      "*    4 mail         stopped    4     400  70.0    0.0   0.0   30.0     1G       1\n"
	      "     3 a-very-long- paused     3     300  78.0    2.0   0.0   20.0   768M       2\n"
	      "     2 db?[2J       running    2     200  89.0    1.0   0.0   10.0   512M       3\n"
	      "     1 web          new        1     100 100.0    0.0   0.0    0.0   256M       4\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      ">Enter details  s,S sort  r reverse  / filter  h help  q quit\n");
	shows("in few cells", 10, 40,
	      ">vireo top: 4 VMs, 10 vCPUs, 1000 exits/s\n"
	      "*   VM NAME          EXITS/S GUEST HALTED\n"
	      "*    4 mail              400  70.0   30.0\n"
	      "     3 a-very-long-n     300  78.0   20.0\n"
	      "     2 db?[2J            200  89.0   10.0\n"
	      "     1 web               100 100.0    0.0\n"
	      "\n"
	      "\n"
	      "\n"
	      ">Enter details  s,S sort  r reverse  / fi\n");
	shows("in fewer", 5, 21,
	      ">vireo top: 4 VMs, 10\n"
	      "*NAME          EXITS/S\n"
	      "*mail              400\n"
	      " a-very-long-n     300\n"
	      ">Enter details  s,S so\n");
	shows("in wide terminals", 6, 120,
	      ">vireo top: 4 VMs, 10 vCPUs, 1000 exits/s                                                            every 1.0s, by exits\n"
	      "*   VM NAME                            STATE   CPUS EXITS/S GUEST KERNEL  USER HALTED MEMORY MAPPED DIRTY/S\n"
	      "*    4 mail                            stopped    4     400  70.0    0.0   0.0   30.0     1G    64M       1\n"
	      "     3 a-very-long-name-of-31-characte paused     3     300  78.0    2.0   0.0   20.0   768M    64M       2\n"
	      "     2 db?[2J                          running    2     200  89.0    1.0   0.0   10.0   512M    64M       3\n"
	      ">Enter details  s,S sort  r reverse  / filter  h help  q quit\n");
	top_model_free(&model);
}

static void test_vm(void)
{
	begin();
	see(4, 0);
	see(4, 1);
	is(top_model_key(&model, TOP_KEY_ENTER), TOP_LOOK, "details");
	see_closely(model.chosen, 1, 2);
	shows("the first look at one", 16, 80,
	      ">vireo top: mail (VM 4), stopped, 4 vCPUs, 1m41s                since it was made\n"
	      " 44 exits/s  guest 54.0%  kernel 10.0%  user 10.0%  halted 26.0%\n"
	      " memory 1G  mapped 64M  dirty 0.4/s  tables 20K  tracking 24K  snapshots 28K\n"
	      "\n"
	      "*VCPU EXITS/S  GUEST KERNEL   USER HALTED   THREAD  CPU\n"
	      "    0      44   54.0   10.0   10.0   26.0     4800    0\n"
	      "    1      44   54.0   10.0   10.0   26.0     4801    1\n"
	      "\n"
	      "*EXITS                      /S      %   MEAN  %TIME\n"
	      " reason-4660                30      -      -      -\n"
	      " mmio                       24      -      -      -\n"
	      " wrmsr                      18   47.9  1.5us    0.0\n"
	      " io                         12   32.4  2.0us    0.0\n"
	      " hlt                       7.3   19.7  1.4us    0.0\n"
	      "\n"
	      ">Esc back  s,S sort  r reverse  h help  q quit\n");
	see_closely(model.chosen, 3, 2);
	shows("the next look at it", 24, 80,
	      ">vireo top: mail (VM 4), stopped, 4 vCPUs, 1m43s              every 1.0s, by rate\n"
	      " 400 exits/s  guest 70.0%  kernel 0.0%  user 0.0%  halted 30.0%\n"
	      " memory 1G  mapped 64M  dirty 1/s  tables 20K  tracking 24K  snapshots 28K\n"
	      "\n"
	      "*VCPU EXITS/S  GUEST KERNEL   USER HALTED   THREAD  CPU\n"
	      "    0     400   70.0    0.0    0.0   30.0     4800    0\n"
	      "    1     400   70.0    0.0    0.0   30.0     4801    1\n"
	      "\n"
	      "*EXITS                      /S      %   MEAN  %TIME\n"
	      " hlt                       140   87.5  1.0us    0.0\n"
	      " io                         20   12.5 30.0us    0.0\n"
	      " reason-4660                20      -      -      -\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      ">Esc back  s,S sort  r reverse  h help  q quit\n");
	keys("s");
	shows("in few cells, scrolled, by mean time", 10, 40,
	      ">vireo top: mail (VM 4), stopped, 4 vCPUs\n"
	      " 400 exits/s  guest 70.0%  kernel 0.0%  u\n"
	      " memory 1G  mapped 64M  dirty 1/s  tables\n"
	      "\n"
	      "*VCPU EXITS/S  GUEST KERNEL   USER HALTED\n"
	      "    0     400   70.0    0.0    0.0   30.0\n"
	      "    1     400   70.0    0.0    0.0   30.0\n"
	      "\n"
	      "*EXITS                      /S      %   M\n"
	      ">Esc back  s,S sort  r reverse  h help  q\n");
	top_model_free(&model);
}

static void test_order(void)
{
	unsigned int sort, bad = 0;
	size_t i;

	begin();
	see(40, 0);
	see(40, 1);
	ok(model.nr == 40 && model.vm[0].number == 40, "most exits first");
	for (sort = 0; sort < TOP_SORT_NR; sort++) {
		enum top_sort read;

		bad += top_sort_read(top_sort_name(sort), &read) || read != sort;
	}
	is(bad, 0, "each order has a name");
	for (sort = 1; sort < TOP_SORT_NR; sort++) {
		keys("s");
		ok(model.sort == sort, "sorted by %s", top_sort_name(sort));
		for (i = 1; i < model.nr; i++) {
			const struct top_vm *a = &model.vm[i - 1], *b = &model.vm[i];

			bad += (sort == TOP_SORT_GUEST && a->shares.guest < b->shares.guest) ||
			       (sort == TOP_SORT_KERNEL && a->shares.kernel < b->shares.kernel) ||
			       (sort == TOP_SORT_USER && a->shares.user < b->shares.user) ||
			       (sort == TOP_SORT_HALTED && a->shares.halted < b->shares.halted) ||
			       (sort == TOP_SORT_MEMORY && a->memory < b->memory) ||
			       (sort == TOP_SORT_DIRTY && a->dirty < b->dirty) ||
			       (sort == TOP_SORT_VCPUS && a->vcpus < b->vcpus) ||
			       (sort == TOP_SORT_NAME && strcmp(a->name, b->name) > 0) ||
			       (sort == TOP_SORT_NUMBER && a->number > b->number);
		}
	}
	is(bad, 0, "all in order");
	keys("r");
	ok(model.vm[0].number == 40, "reversed");
	keys("rs");
	ok(model.sort == TOP_SORT_EXITS && model.vm[0].number == 40, "round");
	keys("SS");
	ok(model.sort == TOP_SORT_NAME, "and back");

	/* A VM is selected, not a line. */
	model.selected = 17;
	keys("sS");
	see(40, 2);
	is(model.selected, 17, "what is selected stays so");
	keys("s");
	is(top_model_index(&model), 16, "wherever it is");
	keys("jj");
	is(model.selected, 19, "down");
	top_model_key(&model, TOP_KEY_PAGE_DOWN);
	is(model.selected, 40, "a page down, not beyond the end");
	keys("j");
	is(model.selected, 40, "nor then");
	top_model_key(&model, TOP_KEY_HOME);
	keys("k");
	is(model.selected, 1, "home");
	top_model_key(&model, TOP_KEY_END);
	top_model_key(&model, TOP_KEY_PAGE_UP);
	is(model.selected, 19, "a page up");
	see(10, 3);
	ok(model.nr == 10 && model.selected == 1, "when it is gone, another one is");
	see(0, 4);
	ok(!model.nr && !model.selected && top_model_key(&model, TOP_KEY_ENTER) == TOP_NOTHING, "none is left");
	shows("none", 4, 60,
	      ">vireo top: 0 VMs, 0 vCPUs, 0 exits/s   every 1.0s, by number\n"
	      "*   VM NAME         STATE   EXITS/S GUEST KERNEL  USER HALTED\n"
	      " no VM is to be seen from here\n"
	      ">Enter details  s,S sort  r reverse  / filter  h help  q quit\n");
	top_model_free(&model);
}

static void test_filter(void)
{
	begin();
	see(30, 0);
	keys("/WE");
	ok(model.typing && model.nr == 1 && model.vm[0].number == 1 && model.nr_all == 30, "a filter, in any case of letters");
	shows("while it is typed", 6, 80,
	      ">vireo top: 30 VMs, 1 with \"WE\", 73 vCPUs, 4650 exits/s      since made, by exits\n"
	      "*   VM NAME         STATE   CPUS EXITS/S GUEST KERNEL  USER HALTED MEMORY DIRTY/S\n"
	      "*    1 web          new        1      10  50.0   12.5  12.5   25.0   256M     0.1\n"
	      "\n"
	      "\n"
	      ">Filter: WE_\n");
	top_model_key(&model, TOP_KEY_BACKSPACE);
	top_model_key(&model, TOP_KEY_BACKSPACE);
	is(model.nr, 30, "taken back");
	keys("\007\033[vm-2q");
	top_model_key(&model, TOP_KEY_ENTER);
	ok(!model.typing && !strcmp(model.filter, "[vm-2q") && !model.nr, "only what can be printed goes in, and q is a letter");
	is(top_model_key(&model, TOP_KEY_ESCAPE), TOP_DRAW, "escape");
	is(model.nr, 30, "ends it");
	keys("/17");
	is(model.vm[0].number, 17, "a number");
	keys("/12345678901234567890123456789012345678901234567890");
	is(strlen(model.filter), TOP_FILTER - 1, "not too long");
	top_model_free(&model);
}

static void test_gone(void)
{
	struct monitor_stats again;

	begin();
	see(4, 0);
	top_model_key(&model, TOP_KEY_ENTER);
	see_closely(4, 0, 2);
	top_model_gone(&model);
	ok(model.view == TOP_VMS, "a VM that ends while it is looked at");
	shows("is told", 4, 60,
	      ">vireo top: 4 VMs, 10 vCPUs, 100 exits/s\n"
	      "*   VM NAME         STATE   EXITS/S GUEST KERNEL  USER HALTED\n"
	      "*    4 mail         stopped      40  50.0   12.5  12.5   25.0\n"
	      ">VM 4 has ended\n");
	ok(model.note[0] && (keys("j"), !model.note[0]), "until the next key");
	model.selected = 4;
	top_model_key(&model, TOP_KEY_ENTER);
	see_closely(4, 0, 2);
	look_closely(&again, 4, 1, 2);
	again.vm.created++;
	top_model_stats(&model, &again);
	ok(!model.again, "another VM of that number is another one");
	is(top_model_key(&model, TOP_KEY_ESCAPE), TOP_LOOK, "back");
	ok(model.view == TOP_VMS && top_model_key(&model, 'q') == TOP_QUIT, "and out");
	top_model_free(&model);
}

/* Nothing is written outside of any screen: a sanitizer would tell. */
static void test_sizes(void)
{
	unsigned int rows, cols, view;

	for (view = 0; view < 4; view++) {
		begin();
		see(view == 3 ? 0 : 50, 0);
		see(view == 3 ? 0 : 50, 1);
		model.help = view == 1;
		if (view == 2) {
			top_model_key(&model, TOP_KEY_ENTER);
			see_closely(50, 1, 64);
			top_model_key(&model, TOP_KEY_END);
		}
		for (rows = 1; rows < 30; rows++)
			for (cols = 1; cols < 130; cols++)
				shown(rows, cols);
		top_model_free(&model);
	}
	ok(true, "screens of all sizes");
	begin();
	see(40, 0);
	model.help = true;
	shows("help", 24, 80,
	      ">vireo top\n"
	      "\n"
	      " Up Down PgUp PgDn Home End  move (also k and j)\n"
	      " Enter       what the selected VM does: its vCPUs, its exits by reason\n"
	      " Esc, b      back\n"
	      " s, S        sort by something else\n"
	      " r           the other way round\n"
	      " /, f        VMs with a text in their name only; Esc ends that\n"
	      " Space       look now\n"
	      " q           quit\n"
	      "\n"
	      " GUEST KERNEL USER HALTED: % of the vCPUs' time in the guest, in the module,\n"
	      " outside of it, and halted. DIRTY/S: pages, while dirty pages are tracked.\n"
	      " MEAN: time until the guest goes on, without what the launcher does.\n"
	      "\n"
	      " Any key goes on.\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n"
	      "\n");
	keys("x");
	ok(!model.help, "any key goes on");
	top_model_key(&model, TOP_KEY_ENTER);
	see_closely(40, 0, 64);
	model.page = top_layout_page(&model, 10);
	top_model_key(&model, TOP_KEY_END);
	shows("the end of what is scrolled", 10, 80,
	      ">vireo top: vm-40 (VM 40), dead, 4 vCPUs, 1m40s                 since it was made\n"
	      " 400 exits/s  guest 50.0%  kernel 12.5%  user 12.5%  halted 25.0%\n"
	      " memory 10G  mapped 64M  dirty 4/s  tables 20K  tracking 24K  snapshots 28K\n"
	      "\n"
	      " reason-4660               960      -      -      -\n"
	      " mmio                      768      -      -      -\n"
	      " wrmsr                     576   50.0  1.5us    1.1\n"
	      " io                        384   33.3  1.5us    0.7\n"
	      " hlt                       192   16.7  1.5us    0.4\n"
	      ">Esc back  s,S sort  r reverse  h help  q quit\n");
	top_model_free(&model);
}

static void test_batch(void)
{
	struct screen screen;
	unsigned int row;

	begin();
	see(3, 0);
	ok(!top_layout_batch(&model, &screen) && screen.rows == 5, "all VMs as text");
	ok(!strncmp(screen_line(&screen, 2), "    3 a-very-long-name-of-31-characte paused     3      30  50.0", 60), "with their names");
	for (row = 0; row < screen.rows; row++)
		ok(screen.styles[row] != SCREEN_REVERSE && strlen(screen_line(&screen, row)) == screen.cols, "line %u is text", row);
	screen_free(&screen);
	top_model_free(&model);
}

/* ---- On a terminal ---- */

/**
 * struct fake_source - looks without a module
 * @looks: how many there were
 * @fails_after: so many; 0: never
 * @gone_after: so many looks at one VM, it is gone; 0: never
 */
struct fake_source {
	unsigned int looks;
	unsigned int fails_after;
	unsigned int gone_after;
};

static int fake_vms(void *context, struct monitor_vms *vms)
{
	struct fake_source *source = context;

	if (source->fails_after && source->looks >= source->fails_after)
		return -ENOPROTOOPT;
	look(vms, 4, source->looks++);
	return 0;
}

static int fake_stats(void *context, uint32_t number, struct monitor_stats *stats)
{
	struct fake_source *source = context;

	if (source->gone_after && source->gone_after == source->looks)
		return -ENOENT;
	look_closely(stats, number, source->looks++, 2);
	return 0;
}

/**
 * struct session - somebody at a terminal
 * @pid: of the program
 * @fd: the other end of its terminal
 * @before: the terminal's settings
 * @out: what was printed
 * @len: how much
 */
static struct session {
	pid_t pid;
	int fd;
	struct termios before;
	char out[262144];
	size_t len;
} session;

static void start(struct fake_source fake)
{
	const struct winsize size = { .ws_row = 24, .ws_col = 80 };

	int terminal;

	session.len = 0;
	fflush(stdout);
	/* Its settings are read while nobody changes them. */
	if (openpty(&session.fd, &terminal, NULL, NULL, &size) || tcgetattr(terminal, &session.before))
		abort();
	session.pid = fork();
	if (session.pid < 0)
		abort();
	if (!session.pid) {
		const struct top_source source = { fake_vms, fake_stats, &fake };

		setsid();
		ioctl(terminal, TIOCSCTTY, 0);
		dup2(terminal, STDIN_FILENO);
		dup2(terminal, STDOUT_FILENO);
		dup2(terminal, STDERR_FILENO);
		close(terminal);
		close(session.fd);
		setenv("TERM", "xterm", 1);
		unsetenv("LINES");
		unsetenv("COLUMNS");
		begin();
		model.interval = 50;
		_exit(top_terminal(&model, &source) ? 9 : 0);
	}
	close(terminal);
}

/* Wait until @text was printed since the last time; NULL: until the program has let go of the terminal. */
static bool sees(const char *text)
{
	struct pollfd p = { .fd = session.fd, .events = POLLIN };
	char *found;
	ssize_t n;

	for (;;) {
		session.out[session.len] = '\0';
		found = text ? strstr(session.out, text) : NULL;
		if (found) {
			session.len -= (size_t)(found + strlen(text) - session.out);
			memmove(session.out, found + strlen(text), session.len);
			return true;
		}
		/* What is looked for is short. */
		if (session.len > sizeof(session.out) / 2) {
			session.len /= 2;
			memmove(session.out, session.out + session.len, session.len);
		}
		if (poll(&p, 1, PATIENCE_MS) <= 0)
			return false;
		n = read(session.fd, session.out + session.len, sizeof(session.out) - 1 - session.len);
		if (n <= 0)
			return !text;
		session.len += (size_t)n;
	}
}

static void press(const char *text)
{
	if (write(session.fd, text, strlen(text)) < 0)
		abort();
}

/* Wait for its end: as wait() tells it, if the terminal is what it was before. */
static int over(void)
{
	/* Out of the alternate screen, and the cursor is to be seen */
	bool left = sees("\033[?1049l");
	struct termios after;
	int status;

	waitpid(session.pid, &status, 0);
	tcgetattr(session.fd, &after);
	close(session.fd);
	ok(left && after.c_lflag == session.before.c_lflag && after.c_iflag == session.before.c_iflag &&
	   after.c_oflag == session.before.c_oflag, "the terminal is what it was");
	return status;
}

static void test_terminal(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct winsize size = { .ws_row = 10, .ws_col = 40 };
	size_t i;
	int status;

	start((struct fake_source){ 0 });
	ok(sees("vireo top: 4 VMs") && sees("db?[2J"), "the list");
	ok(sees("every 0.1s"), "it is looked at again");
	press("\r");
	ok(sees("mail (VM 4)"), "details");
	press("\033");
	ok(sees("db?[2J"), "back");
	ioctl(session.fd, TIOCSWINSZ, &size);
	ok(sees("\033[10;1H") || sees("\033[10d"), "the foot follows the size of the terminal");
	press("h");
	ok(sees("selected"), "help");
	press("x/db");
	ok(sees("db_"), "a filter");
	press("\rq");
	status = over();
	ok(WIFEXITED(status) && !WEXITSTATUS(status), "quit");

	for (i = 0; i < ARRAY_SIZE(signals); i++) {
		start((struct fake_source){ 0 });
		sees("vireo top: 4 VMs");
		kill(session.pid, signals[i]);
		status = over();
		ok(WIFSIGNALED(status) && WTERMSIG(status) == signals[i], "signal %d", signals[i]);
	}

	start((struct fake_source){ .fails_after = 3 });
	status = over();
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 9, "the module is unloaded meanwhile");

	start((struct fake_source){ .gone_after = 4 });
	sees("vireo top: 4 VMs");
	press("\r");
	ok(sees("VM 4 has ended"), "the VM ends meanwhile");
	press("q");
	over();

	start((struct fake_source){ 0 });
	sees("vireo top: 4 VMs");
	close(session.fd);
	waitpid(session.pid, &status, 0);
	ok(WIFSIGNALED(status) ? WTERMSIG(status) == SIGHUP : !WEXITSTATUS(status), "the terminal is gone");
}

/* A terminal that nobody knows, and none */
static void test_no_terminal(void)
{
	int status, fd;
	pid_t pid;

	pid = forkpty(&fd, NULL, NULL, NULL);
	if (!pid) {
		const struct top_source source = { fake_vms, fake_stats, NULL };

		setenv("TERM", "no-such-terminal", 1);
		begin();
		_exit(top_terminal(&model, &source) == -ENOTTY ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	close(fd);
	ok(WIFEXITED(status) && !WEXITSTATUS(status), "a terminal that nobody knows");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		const struct top_source source = { fake_vms, fake_stats, NULL };

		begin();
		close(STDIN_FILENO);
		_exit(top_terminal(&model, &source) == -ENOTTY ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && !WEXITSTATUS(status), "no terminal");
}

int main(void)
{
	test_vms();
	test_vm();
	test_order();
	test_filter();
	test_gone();
	test_sizes();
	test_batch();
	test_terminal();
	test_no_terminal();
	return tap_done();
}
