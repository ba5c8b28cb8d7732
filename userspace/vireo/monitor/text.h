/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers and names as people see them, in few columns. */
#ifndef VIREO_MONITOR_TEXT_H
#define VIREO_MONITOR_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#define MONITOR_SHOWN	64	/* bytes of a name that was typed, as it is shown */
#define TEXT_NUMBER	24	/* bytes of any of the numbers below */

#define TEXT_UNKNOWN	(-1.0)	/* shown as "-" */

/* What comes from others must not tell the terminal what to do. */
char *text_clean(char *out, size_t room, const char *text);
/* The same for JSON, which has a way to write control characters, but none for what is no UTF-8 */
json_t *text_json(const char *text);

/* Up to 6 columns each */
char *text_count(char out[TEXT_NUMBER], double count);
char *text_bytes(char out[TEXT_NUMBER], double bytes);
char *text_ns(char out[TEXT_NUMBER], double ns);
char *text_percent(char out[TEXT_NUMBER], double share);
char *text_age(char out[TEXT_NUMBER], double seconds);

#endif /* VIREO_MONITOR_TEXT_H */
