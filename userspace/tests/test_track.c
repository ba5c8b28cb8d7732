// SPDX-License-Identifier: GPL-2.0-only
/* One who follows a machine's memory: what the module is asked, and told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake_module.h"
#include "tap.h"
#include "../vireo/machine.h"
#include "../vireo/track.h"

static struct machine machine;

int main(void)
{
	struct track track;
	uint64_t found;

	fake_reset();
	if (vireo_open(NULL, &machine.vireo) || vireo_vm_create(machine.vireo, "x", 0, &machine.vm) ||
	    memory_alloc(&machine.memory, 4 * MIB))
		abort();
	machine.memory.written = track_written;
	machine.memory.opaque = &machine;
	memory_write(&machine.memory, 0x1000, "x", 1);
	is(fake.dirty_range.bytes, 0, "the module is told nothing while nobody follows");

	is(track_begin(&track, &machine, TRACK_MIGRATION), 0, "begin");
	ok(fake.tracking.on && !fake.tracking.slot && fake.tracking.consumer == TRACK_MIGRATION, "the module follows");
	memory_write(&machine.memory, 0x1fff, "xy", 2);
	ok(fake.dirty_range.gpa == 0x1fff && fake.dirty_range.bytes == 2, "it is told of the launcher's writes");
	is(track_collect(&track, &found), 0, "collect");
	ok(fake.dirty_log.pages == 1024 && !fake.dirty_log.first, "all of memory");
	is(found, 16, "what the module says");
	is(track.bitmap[0][15], 1, "is in the bitmap");
	track_end(&track);
	is(fake.tracking.on, 0, "end");
	memset(&fake.dirty_range, 0, sizeof(fake.dirty_range));
	memory_write(&machine.memory, 0x1000, "x", 1);
	is(fake.dirty_range.bytes, 0, "and nothing is told any more");

	/* A module that is gone. */
	is(track_begin(&track, &machine, TRACK_MIGRATION), 0, "begin again");
	fake.mark_error = -EIO;
	memory_write(&machine.memory, 0x1000, "x", 1);
	is(track_collect(&track, &found), -EIO, "what could not be told is an error for who follows");
	track_end(&track);
	memory_free(&machine.memory);
	vireo_vm_destroy(machine.vm);
	vireo_close(machine.vireo);
	return tap_done();
}
