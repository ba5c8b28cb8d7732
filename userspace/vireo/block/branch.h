/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Disks that branch (Documentation/trees.rst): what a machine writes goes to an overlay, and where its states branch, a new overlay
 * begins.
 *
 * But for the threads that are attached, all of this is the main thread's, and nothing is in flight.
 */
#ifndef VIREO_BLOCK_BRANCH_H
#define VIREO_BLOCK_BRANCH_H

#include <stdbool.h>

#define BRANCH_WHY	160	/* bytes for a sentence */
#define BRANCH_DISKS	16	/* of a machine */

struct block;
struct block_options;

/**
 * struct branch_image - a file that nobody writes to any more
 * @path: absolute
 * @below: what it is an overlay of; NULL: a file that was there before
 * @refs: snapshots, overlays and disks that need it
 * @keep: others may know it as well: it is not removed
 */
struct branch_image {
	char *path;
	struct branch_image *below;
	unsigned int refs;
	bool keep;
};

/**
 * struct branch_set - images of all disks that branch, in their order
 * @image: those, or NULL
 */
struct branch_set {
	struct branch_image *image[BRANCH_DISKS];
};

/* As block_open(); options->branch is a directory */
int block_branch_open(const struct block_options *options, struct block **out);
/* How many such disks there are */
unsigned int branch_nr(void);

/*
 * All of them begin a new overlay: on the images of @on, or, with NULL, on what they have. Then, whatever else there was to do having come
 * off or not, branch_commit() or branch_revert(). 0, or a negative errno with a sentence: they are what they were.
 */
int branch_begin(const struct branch_set *on, char *why);
/* What they had is the caller's, if he wants it; otherwise it goes if nobody needs it. @keep: it stays in any case */
void branch_commit(struct branch_set *had, bool keep);
/* They have what they had before branch_begin() */
void branch_revert(void);

/* Somebody else's process has begun on them */
void branch_keep(struct branch_set *set);
void branch_put(struct branch_set *set);

/* What another machine has to begin on: path of the disk of that number, a qcow2 image; NULL: there is no such disk */
const char *branch_path(unsigned int nr);
/* In a child, after a fork: they are another process's */
void branch_forget(void);

#endif /* VIREO_BLOCK_BRANCH_H */
