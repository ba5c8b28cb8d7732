/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the bare-metal programs share.
 *
 * main() runs on CPU 0 in 64-bit mode, interrupts off, the first 4 GiB mapped one
 * to one (writable, user), an IDT whose every entry ends in trap(). It reports with
 * ok() and returns finish_tests().
 *
 * Programs for 32-bit mode (see the Makefile) have the same with paging off.
 */
#ifndef VIREO_GUEST_H
#define VIREO_GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define barrier() asm volatile("" : : : "memory")
#define pause() asm volatile("pause" : : : "memory")

/* --- report: TAP on COM1, and the end --------------------------------------- */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ok(bool passed, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* as ok(), but where the processor below is QEMU's, which does not check it, a failure is a skip */
void ok_strict(bool passed, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* likewise where there is no hypervisor: the emulator's own devices are not what is tested */
void ok_hypervisor(bool passed, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* how many results there are so far, on whatever CPU */
unsigned int reports(void);
int finish_tests(void);
void finish(int code) __attribute__((noreturn));
void crashed(const char *why) __attribute__((noreturn));

/* what finish() writes to port 0xf4; the process ends with (code << 1) | 1 */
enum { END_PASSED = 0, END_FAILED = 1, END_CRASHED = 3 };

/* word of the command line, as in "cpus=4"; or @otherwise */
unsigned long option(const char *name, unsigned long otherwise);

/* --- processor -------------------------------------------------------------- */
#define CS64	0x08
#define DS64	0x10
#define CS32	0x18
#define CS16	0x20
#define DS16	0x28
#define UCS64	0x33
#define UDS	0x3b
#define UCS32	0x43
#define TSS	0x48
#define SPARE	0x58		/* two descriptors for tests; 32-bit programs have all that follow */
#define THIS_CPU 0x50		/* 32-bit programs: GS */

#ifdef __x86_64__
struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

struct gate {
	u16 low, cs;
	u8 ist, type;
	u16 mid;
	u32 high, pad;
};
#else
struct frame {
	u32 edi, esi, ebp, unused, ebx, edx, ecx, eax;
	u32 gs, fs, es, ds;
	u32 vector, error;
	u32 eip, cs, eflags;
	u32 esp, ss;			/* not from the kernel's level */
	u32 v86_es, v86_ds, v86_fs, v86_gs;	/* from virtual-8086 mode only */
};

struct gate {
	u16 low, cs;
	u8 ist, type;			/* "ist" is 0 */
	u16 high;
};
#endif

struct trap_record {
	long vector;		/* -1: none */
	unsigned long error, rip, cr2, rflags;
};

#define MAX_CPUS 16

/* GS points to it */
struct cpu {
	u64 fixup;		/* must be first: %gs:0 */
	struct cpu *self;
	u32 id, apic_id;
	struct trap_record trap;
	volatile u32 count[256];	/* interrupts taken, by vector */
	u64 gdt[32];
	u32 tss[26 + 2];
	void (*volatile work)(void *);
	void *work_data;
	volatile bool up, busy;
	u8 stack[16384] __attribute__((aligned(16)));
	u8 ist[3][8192] __attribute__((aligned(16)));
};

extern struct cpu cpus[MAX_CPUS];

static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	asm volatile("mov %%gs:8, %0" : "=r"(c));	/* self */
	return c;
}

/*
 * TRY - run assembly that may fault; this_cpu()->trap says how it went
 *
 * A fault goes on behind the assembly, with all registers as they were.
 */
#define TRY(text, ...) TRY_THEN(text, "", __VA_ARGS__)

/* with more assembly that runs in either case, such as what restores RSP */
#ifdef __x86_64__
#define STORE "movq"
#else
#define STORE "movl"
#endif
#define TRY_THEN(text, then, ...)				\
	(this_cpu()->trap.vector = -1,				\
	 ({ asm volatile(STORE " $771f, %%gs:0\n\t"		\
			 text "\n"				\
			 "771:\t" STORE " $0, %%gs:0\n\t"	\
			 then __VA_ARGS__); }),			\
	 this_cpu()->trap.vector)

/* called for a vector before anything else; true: handled */
typedef bool (*handler_t)(struct frame *);
extern handler_t handlers[256];
extern const u8 vector_entries[];

extern struct gate idt[256];

void cpu_start(u32 id);		/* GDT, TSS, IDT, GS of the calling CPU */
void set_gate(unsigned int vector, unsigned long handler, unsigned int ist, unsigned int dpl);
/* IST entries of each CPU: 1 to 3 */
enum { IST_NMI = 1, IST_DF, IST_TEST };

/*
 * Run @fn at CPL 3 with @arg in RDI or EDI; returns when it executes INT 0x80 or faults (see
 * trap_record). CPU 0 only.
 */
long run_user(void (*fn)(void), unsigned long arg);
/* where CPL 3 sees the image, if the page tables keep it from the plain addresses */
extern unsigned long user_alias;
#define USER_RETURN 0x80
#ifndef __x86_64__
/* for programs that go there in a way of their own: where they go on */
extern u32 user_esp, user_eip;
_Noreturn void leave_user(void);
#endif

#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_NMI 2
#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_BR 5
#define VECTOR_UD 6
#define VECTOR_NM 7
#define VECTOR_DF 8
#define VECTOR_TS 10
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_MF 16
#define VECTOR_AC 17
#define VECTOR_XM 19

struct regs4 { u32 a, b, c, d; };

static inline struct regs4 cpuid2(u32 leaf, u32 sub)
{
	struct regs4 r;

	asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "0"(leaf), "2"(sub));
	return r;
}
#define cpuid(leaf) cpuid2(leaf, 0)

bool has_amd(void);
bool has_hypervisor(void);	/* and not just QEMU's emulation itself */
bool on_tcg(void);		/* QEMU's emulation is the processor, with a hypervisor or without */

#define CR(n)								\
static inline unsigned long rcr##n(void) { unsigned long v; asm volatile("mov %%cr" #n ", %0" : "=r"(v)); return v; } \
static inline void wcr##n(unsigned long v) { asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory"); }
CR(0) CR(2) CR(3) CR(4)
#ifdef __x86_64__
CR(8)
#endif
#undef CR
#define DR(n)								\
static inline unsigned long rdr##n(void) { unsigned long v; asm volatile("mov %%dr" #n ", %0" : "=r"(v)); return v; } \
static inline void wdr##n(unsigned long v) { asm volatile("mov %0, %%dr" #n : : "r"(v) : "memory"); }
DR(0) DR(1) DR(2) DR(3) DR(6) DR(7)
#undef DR

static inline u64 rdmsr(u32 i)
{
	u32 a, d;

	asm volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(i));
	return (u64)d << 32 | a;
}

static inline void wrmsr(u32 i, u64 v)
{
	asm volatile("wrmsr" : : "c"(i), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

long try_rdmsr(u32 i, u64 *v);	/* vector or -1 */
long try_wrmsr(u32 i, u64 v);

static inline u64 rdtsc(void)
{
	u32 a, d;

	asm volatile("rdtsc" : "=a"(a), "=d"(d) : : "memory");
	return (u64)d << 32 | a;
}

#define PORT(s, t, r)							\
static inline void out##s(u16 port, t v) { asm volatile("out" #s " %" r "0, %1" : : "a"(v), "Nd"(port) : "memory"); } \
static inline t in##s(u16 port) { t v; asm volatile("in" #s " %1, %" r "0" : "=a"(v) : "Nd"(port) : "memory"); return v; }
PORT(b, u8, "b") PORT(w, u16, "w") PORT(l, u32, "k")
#undef PORT

static inline void sti(void) { asm volatile("sti" : : : "memory"); }
static inline void cli(void) { asm volatile("cli" : : : "memory"); }
/* the interrupt window of STI is one instruction late: give it two */
static inline void irq_window(void) { asm volatile("sti; nop; nop; cli" : : : "memory"); }
static inline void halt(void) { asm volatile("sti; hlt; cli" : : : "memory"); }
static inline unsigned long rflags(void) { unsigned long v; asm volatile("pushf; pop %0" : "=r"(v)); return v; }
static inline void invlpg(const void *p) { asm volatile("invlpg (%0)" : : "r"(p) : "memory"); }

/* Wait for a condition, but not for ever. About a second and a half at 2.6 GHz. */
#define PATIENCE 4000000000ULL
#define wait_for(condition) ({				\
	u64 start_ = rdtsc();				\
							\
	while (!(condition) && rdtsc() - start_ < PATIENCE)	\
		pause();				\
	(bool)(condition); })

/* Let some time pass in which an interrupt would have come; @n is in instructions. */
void dawdle(unsigned int n);

void *memset(void *p, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* --- memory ------------------------------------------------------------------ */
u64 memory_end(void);		/* of the RAM that starts at 1 MiB */
void *alloc(size_t bytes, size_t align);	/* zeroed, never freed */
#define alloc_page() alloc(4096, 4096)

#define PTE_P	(1ULL << 0)
#define PTE_W	(1ULL << 1)
#define PTE_U	(1ULL << 2)
#define PTE_A	(1ULL << 5)
#define PTE_D	(1ULL << 6)
#define PTE_PS	(1ULL << 7)
#define PTE_G	(1ULL << 8)
#define PTE_NX	(1ULL << 63)
#define PTE_ADDR 0x000ffffffffff000ULL

#ifdef __x86_64__
extern u64 boot_pml4[512], boot_pdpt[512], boot_pd[2048];

/*
 * Map one page of @level (1: 4 KiB, 2: 2 MiB, 3: 1 GiB); @entry is address and bits
 * of the last entry, the tables above allow everything. Returns that entry.
 * No TLB flush.
 */
u64 *map(u64 *pml4, u64 va, u64 entry, unsigned int level);
u64 *walk(u64 *pml4, u64 va, unsigned int level);
#endif
static inline void flush_tlb(void) { wcr3(rcr3()); }

/* Page tables of every format, for programs that are built for both modes */
struct format {
	const char *name;
	unsigned int levels;		/* the root is the highest, 1 the last */
	unsigned int bits;		/* of index for each level */
	unsigned int size;		/* of an entry, in bytes */
};

extern const struct format two_level, pae, four_level, five_level;

static inline unsigned int shift_of(const struct format *f, unsigned int level)
{
	return 12 + f->bits * (level - 1);
}

static inline unsigned int index_of(const struct format *f, unsigned long va, unsigned int level)
{
	return va >> shift_of(f, level) & ((1U << (f == &pae && level == 3 ? 2 : f->bits)) - 1);
}

u64 get_entry(const struct format *f, const volatile void *e);
void set_entry(const struct format *f, volatile void *e, u64 v);	/* at once also where 64 bits are two words */
/* The entry of @va at @level in the tables of @root, NULL where a level above has no table. */
void *find_entry(const struct format *f, void *root, unsigned long va, unsigned int level);
/* Likewise, with tables made as needed, which allow everything. */
void *make_entry(const struct format *f, void *root, unsigned long va, unsigned int level);
/*
 * Tables with the first @end bytes (a multiple of 4 MiB) mapped one to one for the kernel, and the local
 * APIC. For @like, another root: what that maps so, in the same tables.
 */
void *make_root(const struct format *f, unsigned long end, void *like);
/* 32-bit programs: from whatever paging is on to this, or to none for NULL. */
void use_paging(const struct format *f, void *root);

/* --- local APIC --------------------------------------------------------------- */
enum {
	APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_PPR = 0xa0, APIC_EOI = 0xb0,
	APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_SPIV = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180,
	APIC_IRR = 0x200, APIC_ESR = 0x280, APIC_ICR = 0x300, APIC_ICR2 = 0x310,
	APIC_LVTT = 0x320, APIC_LVT0 = 0x350, APIC_LVT1 = 0x360, APIC_LVTERR = 0x370,
	APIC_TMICT = 0x380, APIC_TMCCT = 0x390, APIC_TDCR = 0x3e0,
};

#define APIC_MASKED	(1U << 16)
#define ICR_NMI		0x400
#define ICR_INIT	0x500
#define ICR_SIPI	0x600
#define ICR_LOGICAL	0x800
#define ICR_ASSERT	0x4000
#define ICR_SELF	0x40000
#define ICR_ALL		0x80000
#define ICR_OTHERS	0xc0000

bool apic_is_x2(void);
bool apic_has_x2(void);
void apic_enable(bool x2);		/* and software-enable, spurious vector 0xff */
u32 apic_read(u32 reg);
void apic_write(u32 reg, u32 v);
void apic_icr(u32 destination, u32 command);
static inline void apic_eoi(void) { apic_write(APIC_EOI, 0); }
bool apic_bit(u32 base, unsigned int vector);	/* of ISR, TMR, IRR */
bool count_and_eoi(struct frame *f);	/* handler */

/* --- IOAPIC, 8259, 8254 --------------------------------------------------------- */
u32 ioapic_read(u8 reg);
void ioapic_write(u8 reg, u32 v);
void ioapic_route(unsigned int pin, u64 entry);
void pic_init(u8 base);			/* all lines masked */
void pic_mask(u16 mask);
void pit_start(u16 reload, bool periodic);

/* --- several CPUs ----------------------------------------------------------------- */
unsigned int cpus_expected(void);	/* fw_cfg, else the command line's cpus=, else 1 */
unsigned int smp_start(void);		/* returns how many are up, with this one */
void run_on(unsigned int cpu, void (*fn)(void *), void *data);	/* does not wait */
void wait_done(unsigned int cpu);
void run_all(void (*fn)(void *), void *data);	/* on all, waits */

#endif
