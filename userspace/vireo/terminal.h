/* SPDX-License-Identifier: GPL-2.0-only */
/* Raw mode of the controlling terminal, always undone. */
#ifndef VIREO_TERMINAL_H
#define VIREO_TERMINAL_H

#include <stdbool.h>

int terminal_raw(int fd);
void terminal_restore(void);
void terminal_again(void);
bool terminal_is_raw(void);
void terminal_forget(void);

#endif /* VIREO_TERMINAL_H */
