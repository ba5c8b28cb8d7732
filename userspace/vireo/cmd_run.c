// SPDX-License-Identifier: GPL-2.0-only
/* vireo run: the command line of a machine. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "config_file.h"
#include "description.h"
#include "machine.h"
#include "option.h"
#include "params.h"
#include "paravirt.h"
#include "rundir.h"
#include "dev/debug.h"
#include "util.h"

#define MEMORY_DEFAULT	(512 * MIB)
#define CMDLINE_DEFAULT	"console=ttyS0"
#define HELP_COLUMN	21
#define HELP		-1		/* --help was given */

static const char help_text[] =
"Usage: vireo run --kernel FILE [OPTION]...\n"
"Make a virtual machine, boot a kernel in it, and stay until it ends.\n"
"\n"
"  --kernel FILE      Linux bzImage, Multiboot image, or PVH ELF file\n"
"  --initrd FILE      initial RAM disk (Linux, PVH), or first module (Multiboot)\n"
"  --cmdline TEXT     kernel command line (default: \"" CMDLINE_DEFAULT "\")\n"
"  --module FILE[,TEXT]\n"
"                     a further module, with its text (Multiboot, PVH); repeatable\n"
"  --memory SIZE      memory, in MiB or with K, M, G (default: 512M)\n"
"  --hugepages[=SIZE] of huge pages of the host: 2M (default) or 1G\n"
"  --cpus N           virtual processors (default: 1)\n"
"  --config FILE      options from a JSON file; those that are typed come on top\n"
"  --name NAME        name for logs and tools (default: vm-PID)\n"
"  --console WHERE    serial port: \"stdio\" (default), \"pty\", \"file:PATH\", or\n"
"                     \"socket\": for \"vireo console\" only\n"
"  --no-reboot        end when the guest resets, instead of starting it again\n"
"  --fw-cfg NAME=FILE a file for the guest in fw_cfg; repeatable\n"
"  --test-device      a device for bare-metal test programs (QEMU's pc-testdev)\n"
"  --debug-exit PORT  port by which the guest ends with a status (default: 0xf4);\n"
"                     \"none\" for none\n"
"  --debug-console PORT\n"
"                     a port that prints to the console (0xe9, 0x402); default: none\n"
"  --paravirt LIST    features of the paravirtual ABI to offer: \"all\" (default), \"none\",\n"
"                     or names with commas between them; \"-NAME\" takes one away\n"
"  --cpu-profile FILE[,FILE...]\n"
"                     processors that have no more than those of all these hosts\n"
"                     (vireo info --cpu-profile), and of this one; repeatable\n"
"  --hybrid           interpret the guest's supervisor code; only programs run directly\n"
"  --screen-dump FILE write the text screen (0xb8000) there at the end, and at SIGUSR1\n"
"  --stats            print counters of exits at the end\n"
"  --help             this text\n"
"\n"
"Devices:\n";

static const char help_end[] =
"\n"
"On a terminal, Ctrl-A x ends the machine, Ctrl-A h lists more keys.\n"
"Status: 0 the guest powered off (or Ctrl-A x, or reset with --no-reboot);\n"
"1 triple fault or error; 2 wrong usage; (V << 1) | 1 after a write of V to the\n"
"debug exit port.\n";

enum {
	OPT_KERNEL = 256, OPT_INITRD, OPT_CMDLINE, OPT_MODULE, OPT_MEMORY, OPT_CPUS, OPT_NAME,
	OPT_CONSOLE, OPT_NO_REBOOT, OPT_FW_CFG, OPT_TEST_DEVICE, OPT_DEBUG_EXIT,
	OPT_DEBUG_CONSOLE, OPT_HYBRID, OPT_SCREEN_DUMP, OPT_STATS, OPT_HELP,
	OPT_CONFIG, OPT_HUGEPAGES, OPT_PARAVIRT, OPT_CPU_PROFILE,
	OPT_DEVICES,		/* and those that follow: devices */
};

static const struct option options[] = {
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "cmdline", required_argument, NULL, OPT_CMDLINE },
	{ "append", required_argument, NULL, OPT_CMDLINE },	/* the usual name elsewhere */
	{ "module", required_argument, NULL, OPT_MODULE },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "no-reboot", no_argument, NULL, OPT_NO_REBOOT },
	{ "fw-cfg", required_argument, NULL, OPT_FW_CFG },
	{ "test-device", no_argument, NULL, OPT_TEST_DEVICE },
	{ "debug-exit", required_argument, NULL, OPT_DEBUG_EXIT },
	{ "debug-console", required_argument, NULL, OPT_DEBUG_CONSOLE },
	{ "hybrid", no_argument, NULL, OPT_HYBRID },
	{ "screen-dump", required_argument, NULL, OPT_SCREEN_DUMP },
	{ "stats", no_argument, NULL, OPT_STATS },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "hugepages", optional_argument, NULL, OPT_HUGEPAGES },
	{ "paravirt", required_argument, NULL, OPT_PARAVIRT },
	{ CONFIG_WHOLE_OBJECT, required_argument, NULL, OPT_CPU_PROFILE },
};

static int usage(const char *problem, const char *what)
{
	if (what)
		report_error("%s: %s; see \"vireo run --help\"", what, problem);
	else
		report_error("%s; see \"vireo run --help\"", problem);
	return EXIT_USAGE;
}

static int set_memory(struct machine_config *config, const char *text)
{
	if (parse_size(text, MIB, &config->memory))
		return usage("not a size such as 512M or 2G", text);
	if (config->memory & 4095)
		return usage("the memory's size has to be a multiple of 4K", text);
	if (config->memory < MEMORY_MIN)
		return usage("too little memory: at least 2M", text);
	if (config->memory > 1ULL << 46)
		return usage("more memory than any processor can address", text);
	return 0;
}

static int set_cpus(struct machine_config *config, const char *text)
{
	uint64_t cpus;

	if (parse_number(text, VIREO_MAX_VCPUS, &cpus) || !cpus)
		return usage("the number of vCPUs is 1 to 64", text);
	config->cpus = (unsigned int)cpus;
	return 0;
}

static int set_port(int *out, const char *text)
{
	uint64_t port;

	if (!strcmp(text, "none")) {
		*out = -1;
		return 0;
	}
	if (parse_number(text, 0xfffc, &port))
		return usage("not a port such as 0xf4, nor \"none\"", text);
	*out = (int)port;
	return 0;
}

/* Cuts the argument in two at @separator; the second half is empty if there is none. */
static const char *split(char *text, char separator)
{
	char *at = strchr(text, separator);

	if (!at)
		return "";
	*at = '\0';
	return at + 1;
}

static int add_module(struct machine_config *config, char *text)
{
	unsigned int n = config->nr_modules;

	if (n == BOOT_MODULES_MAX)
		return usage("too many modules", text);
	config->modules[n].text = split(text, ',');
	config->modules[n].path = text;
	config->nr_modules++;
	return 0;
}

static int set_initrd(struct machine_config *config, const char *path)
{
	unsigned int i;

	if (config->has_initrd && config->initrd_from_file && !config->from_file) {
		config->initrd_from_file = false;
		config->modules[0].path = path;
		return 0;
	}
	if (config->has_initrd)
		return usage("there is one initrd only", path);
	if (config->nr_modules == BOOT_MODULES_MAX)
		return usage("too many modules", path);
	/* The first, wherever it stands on the command line. */
	for (i = config->nr_modules; i > 0; i--)
		config->modules[i] = config->modules[i - 1];
	config->modules[0].path = path;
	config->modules[0].text = "";
	config->nr_modules++;
	config->has_initrd = true;
	config->initrd_from_file = config->from_file;
	return 0;
}

static int add_fw_cfg(struct machine_config *config, char *text)
{
	unsigned int n = config->nr_fw_cfg;
	const char *path;

	/* QEMU's spelling name=N,file=F is not ours: N=F. */
	path = split(text, '=');
	if (!*text || !*path)
		return usage("it is --fw-cfg NAME=FILE", text);
	if (n == MACHINE_FW_CFG_MAX)
		return usage("too many fw_cfg files", text);
	config->fw_cfg[n].name = text;
	config->fw_cfg[n].path = path;
	config->nr_fw_cfg++;
	return 0;
}

static int set_name(struct machine_config *config, const char *text)
{
	if (!rundir_name_valid(text))
		return usage("a name has at most 31 bytes, letters, digits, \".\", \"_\" and \"-\"", text);
	config->name = text;
	return 0;
}

static int set_console(struct machine_config *config, const char *text)
{
	if (strcmp(text, "stdio") && strcmp(text, "pty") && strcmp(text, "socket") &&
	    (strncmp(text, "file:", 5) || !text[5]))
		return usage("a console is \"stdio\", \"pty\", \"file:PATH\" or \"socket\"", text);
	config->console = text;
	return 0;
}

static void remove_device(struct machine_config *config, unsigned int i)
{
	params_free(config->device[i].params);
	free(config->device[i].params);
	config->nr_devices--;
	memmove(&config->device[i], &config->device[i + 1],
		(config->nr_devices - i) * sizeof(config->device[0]));
}

static int set_hugepages(struct machine_config *config, const char *text)
{
	if (!text || !strcmp(text, "2M"))
		config->huge_page = 2 * MIB;
	else if (!strcmp(text, "1G"))
		config->huge_page = GIB;
	else
		return usage("huge pages have 2M or 1G", text);
	return 0;
}

static int add_cpu_profiles(struct machine_config *config, char *text)
{
	bool more = true;
	char *word;

	while (more) {
		/* One that is given itself has commas of its own. */
		word = text;
		more = *text != '{' && params_cut(&text, &word);
		if (!*word)
			return usage("the name of a CPU profile is empty", "--" CONFIG_WHOLE_OBJECT);
		if (config->nr_cpu_profiles == MACHINE_CPU_PROFILES_MAX)
			return usage("too many CPU profiles", "--" CONFIG_WHOLE_OBJECT);
		config->cpu_profile[config->nr_cpu_profiles++] = word;
	}
	return 0;
}

static int add_device(struct machine_config *config, const struct device_option *option,
		      const char *arg)
{
	unsigned int n, i;
	struct params *params;

	for (i = 0; i < config->nr_devices && !option->multiple; i++) {
		if (config->device[i].option != option)
			continue;
		if (!config->device[i].from_file || config->from_file)
			return usage("it can be given once only", option->name);
		remove_device(config, i);
		break;
	}
	n = config->nr_devices;
	if (n == MACHINE_DEVICES_MAX)
		return usage("too many devices", option->name);
	params = calloc(1, sizeof(*params));
	if (!params) {
		report_error("no memory for the machine");
		return EXIT_FAULT;
	}
	if (params_parse(params, option->name, option->first, arg ? arg : "")) {
		params_free(params);
		free(params);
		return EXIT_USAGE;
	}
	config->device[n].option = option;
	config->device[n].params = params;
	config->device[n].from_file = config->from_file;
	config->nr_devices++;
	return 0;
}

static int set_option(struct machine_config *config, int option, char *arg)
{
	unsigned int count;

	if (option >= OPT_DEVICES)
		return add_device(config, device_options(&count)[option - OPT_DEVICES], arg);
	switch (option) {
	case OPT_KERNEL:
		config->kernel = arg;
		return 0;
	case OPT_INITRD:
		return set_initrd(config, arg);
	case OPT_CMDLINE:
		config->cmdline = arg;
		return 0;
	case OPT_MODULE:
		return add_module(config, arg);
	case OPT_MEMORY:
		return set_memory(config, arg);
	case OPT_CPUS:
		return set_cpus(config, arg);
	case OPT_NAME:
		return set_name(config, arg);
	case OPT_CONSOLE:
		return set_console(config, arg);
	case OPT_NO_REBOOT:
		config->no_reboot = true;
		return 0;
	case OPT_FW_CFG:
		return add_fw_cfg(config, arg);
	case OPT_TEST_DEVICE:
		config->test_device = true;
		return 0;
	case OPT_DEBUG_EXIT:
		return set_port(&config->debug_exit, arg);
	case OPT_DEBUG_CONSOLE:
		return set_port(&config->debug_console, arg);
	case OPT_HYBRID:
		config->hybrid = true;
		return 0;
	case OPT_SCREEN_DUMP:
		config->screen_dump = arg;
		return 0;
	case OPT_STATS:
		config->stats = true;
		return 0;
	case OPT_HUGEPAGES:
		return set_hugepages(config, arg);
	case OPT_PARAVIRT:
		return paravirt_parse(arg, &config->paravirt) ? EXIT_USAGE : 0;
	case OPT_CPU_PROFILE:
		return add_cpu_profiles(config, arg);
	case OPT_CONFIG:
		return 0;	/* read before the rest */
	default:
		/* getopt has said what is wrong. */
		return EXIT_USAGE;
	}
}

/* The help of a device, its lines in the second column. */
static void help_device(const struct device_option *option)
{
	const char *line = option->help, *end;
	int column = printf("  --%s%s%s", option->name, *option->argument == '[' ? "" : " ",
			    option->argument);

	if (column > HELP_COLUMN - 1) {
		putchar('\n');
		column = 0;
	}
	for (; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		printf("%*s%.*s\n", HELP_COLUMN - column, "", (int)(end - line), line);
		column = 0;
	}
}

static int help(void)
{
	const struct device_option *const *devices;
	unsigned int count, i;

	fputs(help_text, stdout);
	devices = device_options(&count);
	for (i = 0; i < count; i++)
		help_device(devices[i]);
	fputs(help_end, stdout);
	return EXIT_OK;
}

/* Options of the machine, and those that devices' files have brought along. Freed by the caller. */
static struct option *make_options(void)
{
	const struct device_option *const *devices;
	struct option *all;
	unsigned int count, i;

	devices = device_options(&count);
	all = calloc(ARRAY_SIZE(options) + count + 1, sizeof(*all));
	if (!all)
		return NULL;
	memcpy(all, options, sizeof(options));
	for (i = 0; i < count; i++) {
		struct option *option = &all[ARRAY_SIZE(options) + i];

		option->name = devices[i]->name;
		option->has_arg = *devices[i]->argument == '[' ? optional_argument : required_argument;
		option->val = OPT_DEVICES + (int)i;
	}
	return all;
}

static int set_from_file(struct machine_config *config, const struct option *all,
			 const struct config_entry *entry)
{
	const struct option *option;

	for (option = all; option->name; option++)
		if (!strcmp(option->name, entry->name))
			break;
	if (!option->name || option->val == OPT_CONFIG || option->val == OPT_HELP)
		return usage("there is no such option", entry->name);
	if (option->has_arg == required_argument && !entry->value)
		return usage("it needs a value", entry->name);
	if (option->has_arg == no_argument && entry->value)
		return usage("it is true or false", entry->name);
	if (entry->object && option->val < OPT_DEVICES && option->val != OPT_CPU_PROFILE)
		return usage("only devices and CPU profiles are objects", entry->name);
	return set_option(config, option->val, entry->value);
}

static int set_entries(struct machine_config *config, const struct option *all, const struct config_file *file)
{
	unsigned int i;
	int r = 0;

	config->from_file = true;
	for (i = 0; i < file->nr && !r; i++) {
		report_where(file->entry[i].where);
		r = set_from_file(config, all, &file->entry[i]);
		report_where(NULL);
	}
	config->from_file = false;
	return r;
}

static int read_config(struct machine_config *config, const struct option *all, struct config_file *file,
		       const char *path)
{
	if (file->entry)
		return usage("there is one configuration only", path);
	if (config_file_read(file, path))
		return EXIT_USAGE;
	return set_entries(config, all, file);
}

/* First the file, wherever it is named, then what was typed: that has the last word. */
static int parse_options(struct machine_config *config, const struct option *all, struct config_file *file,
			 int argc,
			 char **argv)
{
	int option, r = 0;

	opterr = 0;
	optind = 1;
	while (!r && (option = getopt_long(argc, argv, "", all, NULL)) != -1)
		if (option == OPT_CONFIG)
			r = read_config(config, all, file, optarg);
	opterr = 1;
	optind = 1;
	while (!r && (option = getopt_long(argc, argv, "", all, NULL)) != -1)
		r = option == OPT_HELP ? HELP : set_option(config, option, optarg);
	return r;
}

/* What only all options together tell. */
static int check_config(const struct machine_config *config)
{
	if (!config->kernel)
		return usage("no kernel to boot: --kernel FILE is needed", NULL);
	if (config->huge_page && config->memory & (config->huge_page - 1))
		return usage("the memory's size has to be a multiple of the huge pages'", "--hugepages");
	return 0;
}

static int parse(struct machine_config *config, struct config_file *file, int argc, char **argv)
{
	struct option *all = make_options();
	int r;

	if (!all) {
		report_error("no memory for the machine");
		return EXIT_FAULT;
	}
	r = parse_options(config, all, file, argc, argv);
	free(all);
	if (r)
		return r;
	if (optind < argc)
		return usage("not an option", argv[optind]);
	return check_config(config);
}

/* What a machine is like of which nothing is said. */
static const struct machine_config defaults = {
	.memory = MEMORY_DEFAULT,
	.cpus = 1,
	.cmdline = CMDLINE_DEFAULT,
	.debug_exit = DEBUG_EXIT_PORT,
	.debug_console = -1,
	.paravirt = PARAVIRT_ALL,
};

/**
 * description_parse() - what a description says of a machine
 * @config: to be filled; points into @file
 * @file: to be filled
 * @where: where the description comes from, for messages
 * @description: what description_make() has made, or somebody else
 *
 * Return: 0, or the exit status, with a message; description_free() in either case.
 */
int description_parse(struct machine_config *config, struct config_file *file, const char *where,
		      json_t *description)
{
	struct option *all;
	json_t *object;
	size_t i;
	int r;

	*config = defaults;
	memset(file, 0, sizeof(*file));
	if (!json_is_array(description)) {
		report_error("%s: the description of the machine is not a list", where);
		return EXIT_USAGE;
	}
	json_array_foreach(description, i, object) {
		if (!json_is_object(object)) {
			report_error("%s: the description of the machine has something else than objects", where);
			return EXIT_USAGE;
		}
		r = config_file_add(file, where, object);
		if (r == -ENOMEM)
			report_error("no memory for the machine");
		if (r)
			return EXIT_USAGE;
	}
	all = make_options();
	if (!all) {
		report_error("no memory for the machine");
		return EXIT_FAULT;
	}
	r = set_entries(config, all, file);
	free(all);
	return r ? r : check_config(config);
}

/**
 * description_options() - what options of "vireo run" say of a machine
 * @config: to be filled; points into @file and @argv
 * @file: to be filled
 * @argc: as of main()
 * @argv: as of main(); argv[0] does not count
 *
 * Return: 0, or the exit status, with a message; description_free() in either case.
 */
int description_options(struct machine_config *config, struct config_file *file, int argc, char **argv)
{
	int r;

	*config = defaults;
	memset(file, 0, sizeof(*file));
	r = parse(config, file, argc, argv);
	return r == HELP ? usage("an option of \"vireo run\" alone", "--help") : r;
}

/**
 * description_free() - forget what description_parse() has made
 * @config: not in use any more
 * @file: likewise
 */
void description_free(struct machine_config *config, struct config_file *file)
{
	unsigned int i;

	for (i = 0; i < config->nr_devices; i++) {
		params_free(config->device[i].params);
		free(config->device[i].params);
	}
	config->nr_devices = 0;
	config_file_free(file);
}

static int run(int argc, char **argv)
{
	struct machine_config config = defaults;
	struct config_file file = { 0 };
	int r = parse(&config, &file, argc, argv);

	if (!r)
		r = machine_run(&config);
	else if (r == HELP)
		r = help();
	description_free(&config, &file);
	return r;
}

VIREO_COMMAND("run", "boot a kernel in a new virtual machine", run);
