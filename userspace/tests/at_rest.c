// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "at_rest.h"
#include "image.h"
#include "../vireo/description.h"

#define SCRATCH 0x3ff	/* of the serial port */

static char dir[] = "/tmp/vireo-rest-XXXXXX";
static char kernel[64];

void at_rest_begin(void)
{
	struct image image;
	FILE *out;

	if (!mkdtemp(dir))
		abort();
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	image_linux(&image);
	out = fopen(kernel, "wb");
	if (!out || fwrite(image.byte, 1, image.len, out) != image.len)
		abort();
	fclose(out);
	setenv("VIREO_RUN_DIR", dir, 1);
}

void at_rest_end(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	if (system(command))
		abort();
}

int at_rest_run(const struct machine_source *source, unsigned int mib)
{
	return at_rest_run_with(source, mib, "");
}

int at_rest_run_with(const struct machine_source *source, unsigned int mib, const char *more)
{
	struct machine_config config;
	struct config_file file;
	json_t *description;
	char text[1024];
	int r;

	snprintf(text, sizeof(text), "[{\"kernel\": \"%s\", \"cpus\": %u, \"memory\": \"%uM\", \"console\": \"file:/dev/null\"%s}]",
		 kernel, AT_REST_CPUS, mib, more);
	description = json_loads(text, 0, NULL);
	r = description_parse(&config, &file, "test", description);
	if (!r) {
		config.source = source;
		r = machine_run(&config);
	}
	description_free(&config, &file);
	json_decref(description);
	return r;
}

static void set_scratch(struct machine *machine, uint8_t value)
{
	board_lock(&machine->board);
	bus_write(&machine->board.pio, SCRATCH, 1, value);
	board_unlock(&machine->board);
}

static uint8_t scratch(struct machine *machine)
{
	uint8_t value;

	board_lock(&machine->board);
	value = (uint8_t)bus_read(&machine->board.pio, SCRATCH, 1);
	board_unlock(&machine->board);
	return value;
}

void at_rest_mark(struct machine *machine, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < AT_REST_CPUS; i++) {
		at_rest_regs(i)->rip = 0x1000 * n + i;
		*at_rest_offset(i) = (1ULL << 50) * n;
	}
	machine->cpu[0].run->inject = (struct vireo_event){ .valid = n & 1, .vector = (uint8_t)n };
	machine->cpu[0].irq_ready = true;
	machine->clock.data[machine->clock.len - 8] = (uint8_t)n;
	set_scratch(machine, (uint8_t)n);
}

bool at_rest_is_marked(struct machine *machine, unsigned int n)
{
	return at_rest_regs(0)->rip == 0x1000 * n && at_rest_regs(1)->rip == 0x1000 * n + 1 &&
	       machine->cpu[0].run->inject.valid == (n & 1) && machine->clock.data[machine->clock.len - 8] == n &&
	       scratch(machine) == n;
}
