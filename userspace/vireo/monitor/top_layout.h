/* SPDX-License-Identifier: GPL-2.0-only */
/* How "vireo top" looks: lines of cells, of any size, without a terminal. */
#ifndef VIREO_MONITOR_TOP_LAYOUT_H
#define VIREO_MONITOR_TOP_LAYOUT_H

#include "top_model.h"

enum screen_style {
	SCREEN_PLAIN,
	SCREEN_BOLD,
	SCREEN_REVERSE,
};

/**
 * struct screen - what a terminal shows
 * @rows: lines
 * @cols: cells of each
 * @cells: printable ASCII; each line ends with a NUL
 * @styles: of each line
 */
struct screen {
	unsigned int rows;
	unsigned int cols;
	char *cells;
	enum screen_style *styles;
};

/* 0; -ENOMEM */
int screen_make(struct screen *screen, unsigned int rows, unsigned int cols);
void screen_free(struct screen *screen);
char *screen_line(const struct screen *screen, unsigned int row);

void top_layout(const struct top_model *model, struct screen *screen);
/* Lines of the list that are seen at once */
unsigned int top_layout_page(const struct top_model *model, unsigned int rows);
/* All VMs and all that is known of them, without keys: for --batch */
int top_layout_batch(const struct top_model *model, struct screen *screen);

#endif /* VIREO_MONITOR_TOP_LAYOUT_H */
