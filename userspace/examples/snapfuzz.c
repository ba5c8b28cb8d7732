// SPDX-License-Identifier: GPL-2.0-only
/*
 * snapfuzz [--inputs N] [--verify]: a small fuzzer, as an example of libvireo's snapshots.
 *
 * It boots a guest, lets it initialise itself, and takes a snapshot. Then each input is put into the guest's memory, the guest runs
 * over it, and the machine is rolled back: no input sees what one before it has done, although this guest
 * destroys what it has initialised. What the guest says of how far it came tells which inputs are worth changing further; the
 * one that it is looking for makes it crash, by a triple fault.
 *
 * Exit status: 0: found; 1: not among so many inputs; 2: something is wrong.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vireo.h"

/* The guest's memory */
#define MEMORY		0x100000
#define CODE		0x1000
#define RUNS		0x2000		/* inputs that it has seen, as far as it knows */
#define STAGE		0x3000		/* how much of the input was right */
#define INPUT		0x4000
#define INPUT_BYTES	8

/* Ports */
#define READY		0x10
#define DONE		0x11

/*
 * Real mode. First it fills the table at 0x5000, which its check of inputs needs, and says so. Then it takes one
 * input: one byte after the other of "Vireo", as the table turns it, has to be right. At the end it fills the table with zeros.
 */
asm(".pushsection .rodata\n"
	".code16\n"
	"guest:\n"
	"xorw %ax, %ax; movw %ax, %ds; movw %ax, %es; cld\n"
    /* table[x] = 167 x + 13 */
	"movw $0x5000, %di; movb $13, %al; movw $256, %cx\n"
	"1: stosb; addb $167, %al; loop 1b\n"
	"outb %al, $0x10\n"
	"incw 0x2000\n"
	"xorw %bx, %bx; movw $0x4000, %si\n"
	"2: xorw %ax, %ax; lodsb; movw %ax, %di; movb 0x5000(%di), %al\n"
	"cmpb %cs:(0x1000 + wanted - guest)(%bx), %al; jne 3f\n"
	"incw %bx; movw %bx, 0x3000; cmpw $5, %bx; jb 2b\n"
    /* without a handler */
	"lidtw %cs:(0x1000 + nothing - guest); int3\n"
	"3: movw $0x5000, %di; xorw %ax, %ax; movw $128, %cx; rep stosw\n"
	"outb %al, $0x11\n"
	"4: jmp 4b\n"
	"wanted: .byte (86 * 167 + 13) & 255, (105 * 167 + 13) & 255, (114 * 167 + 13) & 255\n"
	".byte (101 * 167 + 13) & 255, (111 * 167 + 13) & 255\n"
	"nothing: .word 0, 0, 0\n"
	"guest_end:\n"
	".code64\n"
	".popsection\n");
extern const unsigned char guest[], guest_end[];

static struct vireo_vm *vm;
static struct vireo_vcpu *vcpu;
static unsigned char *memory;

static void check(int r, const char *what)
{
	if (!r)
		return;
	fprintf(stderr, "snapfuzz: %s: %s\n", what, strerror(-r));
	exit(2);
}

static unsigned int word(unsigned int at)
{
	return memory[at] | (unsigned int)memory[at + 1] << 8;
}

/* Until the guest writes to a port or crashes. The port; 0: it has crashed. */
static unsigned int run(void)
{
	const struct vireo_run *page = vireo_vcpu_page(vcpu);
	int r;

	do {
		r = vireo_vcpu_run(vcpu);
	} while (r == -EINTR);
	check(r, "the guest cannot run");
	if (page->exit_reason == VIREO_EXIT_SHUTDOWN)
		return 0;
	if (page->exit_reason != VIREO_EXIT_IO || !page->io.write)
		check(-EPROTO, "the guest does something unforeseen");
	return page->io.port;
}

static void boot(void)
{
	struct vireo *vireo;
	struct vireo_sregs sregs;
	struct vireo_regs regs = { .rip = CODE, .rflags = 2 };

	check(vireo_open(NULL, &vireo), "/dev/vireo");
	check(vireo_vm_create(vireo, "snapfuzz", 0, &vm), "a virtual machine");
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(memory == MAP_FAILED ? -errno : 0, "its memory");
	check(vireo_vm_set_region(vm, 0, 0, 0, MEMORY, memory), "its region");
	memcpy(memory + CODE, guest, (size_t)(guest_end - guest));
	check(vireo_vcpu_create(vm, 0, &vcpu), "its processor");
	check(vireo_vcpu_get_sregs(vcpu, &sregs), "system registers");
	sregs.seg[VIREO_SEG_CS].base = 0;
	sregs.seg[VIREO_SEG_CS].selector = 0;
	check(vireo_vcpu_set_sregs(vcpu, &sregs), "system registers");
	check(vireo_vcpu_set_regs(vcpu, &regs), "registers");
	if (run() != READY)
		check(-EPROTO, "the guest does not become ready");
}

/* xorshift64: the same inputs each time */
static unsigned long long next_random(void)
{
	static unsigned long long x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

int main(int argc, char **argv)
{
	unsigned char best[INPUT_BYTES] = "", input[INPUT_BYTES];
	unsigned long long pages = 0, n, inputs = 100000;
	unsigned int stage, best_stage = 0, flags = 0, port;
	struct vireo_snapshot result;
	uint32_t id;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--verify")) {
			flags = VIREO_SNAPSHOT_VERIFY;
		} else if (!strcmp(argv[i], "--inputs") && i + 1 < argc) {
			inputs = strtoull(argv[++i], NULL, 0);
		} else {
			fprintf(stderr, "usage: snapfuzz [--inputs N] [--verify]\n");
			return 2;
		}
	}
	boot();
	check(vireo_vm_snapshot(vm, flags, &id), "a snapshot");
	for (n = 1; n <= inputs; n++) {
		memcpy(input, best, sizeof(input));
		input[next_random() % INPUT_BYTES] = (unsigned char)(next_random() >> 32);
		/* The library cannot see writes to the memory, so they are announced. */
		check(vireo_vm_will_write(vm, INPUT, INPUT_BYTES), "an input");
		memcpy(memory + INPUT, input, INPUT_BYTES);
		port = run();
		stage = word(STAGE);
		if (port ? port != DONE : stage != 5)
			check(-EPROTO, "the guest has lost its way");
		if (word(RUNS) != 1)
			check(-EPROTO, "the guest remembers another input");
		if (!port)
			break;
		if (stage > best_stage) {
			best_stage = stage;
			memcpy(best, input, sizeof(best));
		}
		check(vireo_vm_rollback(vm, id, &result), "a roll-back");
		pages += result.pages;
	}
	if (n > inputs) {
		printf("nothing found by %llu inputs; %.1f pages copied by each roll-back\n", inputs, (double)pages / (double)inputs);
		return 1;
	}
	printf("input %llu makes it crash: %.*s; %.1f pages copied by each roll-back\n", n, 5, (const char *)input,
	       (double)pages / (double)n);
	return 0;
}
