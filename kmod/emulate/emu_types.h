/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Types and helpers that the interpreter needs, in the kernel and in user space.
 *
 * The interpreter is tested, fuzzed and compared with the processor as an
 * ordinary program; this is the only file that knows where it is being built.
 */
#ifndef VIREO_EMU_TYPES_H
#define VIREO_EMU_TYPES_H

#ifdef __KERNEL__

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/string.h>
#include <linux/types.h>

#else

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

#ifndef fallthrough
#define fallthrough	__attribute__((__fallthrough__))
#endif

#ifndef __always_inline
#define __always_inline	inline __attribute__((__always_inline__))
#endif
#ifndef noinline
#define noinline	__attribute__((__noinline__))
#endif

#endif /* __KERNEL__ */

#endif /* VIREO_EMU_TYPES_H */
