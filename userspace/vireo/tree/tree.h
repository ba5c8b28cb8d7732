/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * States of a machine that it can go back to, and that others can go on from (Documentation/trees.rst).
 *
 * The main thread alone changes a tree, or uses it; others may look at it (tree_json(), tree_is_empty()).
 */
#ifndef VIREO_TREE_TREE_H
#define VIREO_TREE_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct machine;
struct state_buffer;
struct tree;

#define TREE_NODES_MAX 64	/* each is a process */

/*
 * All of these: 0, or a negative errno with a sentence of FORK_WHY bytes in @why, and nothing has changed: -EEXIST: there is one of that
 * name; -ENOENT: there is none.
 */

/* The machine rests, and has this state; @info: an object with the description as "machine" */
int tree_snapshot(struct machine *machine, const char *tag, const json_t *info, struct state_buffer *state, char *why);
/* The machine rests */
int tree_rollback(struct machine *machine, const char *tag, char *why);
int tree_delete(struct machine *machine, const char *tag, char *why);
/* The launcher's process */
pid_t tree_fork(struct machine *machine, const char *tag, const char *name, char *why);

/* Whether snapshots have lost what held them; each is told of as an event */
void tree_look(struct machine *machine);
bool tree_is_empty(struct machine *machine);
json_t *tree_json(struct machine *machine);
void tree_free(struct machine *machine);

#endif /* VIREO_TREE_TREE_H */
