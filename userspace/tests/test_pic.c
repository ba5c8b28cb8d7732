// SPDX-License-Identifier: GPL-2.0-only
/* 8259 pair: initialisation, priorities, rotation, masks, poll, cascade, ELCR. */
#include "rig.h"
#include "tap.h"
#include "../vireo/dev/pic.h"

static struct rig rig;
static struct pic *pic;

static void setup(uint8_t icw4_master, uint8_t icw4_slave)
{
	rig_init(&rig, 0);
	pic_create(&rig.board, &pic);
	rig_out(&rig, 0x20, 0x11);
	rig_out(&rig, 0x21, 0x30);
	rig_out(&rig, 0x21, 0x04);
	rig_out(&rig, 0x21, icw4_master);
	rig_out(&rig, 0xa0, 0x11);
	rig_out(&rig, 0xa1, 0x38);
	rig_out(&rig, 0xa1, 0x02);
	rig_out(&rig, 0xa1, icw4_slave);
	rig_out(&rig, 0x21, 0x00);
	rig_out(&rig, 0xa1, 0x00);
}

static void teardown(void)
{
	rig_destroy(&rig);
}

static void irq(unsigned int line, bool level)
{
	vireo_irq_set(&rig.board, line, level);
}

static void pulse(unsigned int line)
{
	irq(line, true);
	irq(line, false);
}

static uint8_t isr(uint16_t port)
{
	rig_out(&rig, port, 0x0b);
	return rig_in(&rig, port);
}

static uint8_t irr(uint16_t port)
{
	rig_out(&rig, port, 0x0a);
	return rig_in(&rig, port);
}

static void test_power_on(void)
{
	rig_init(&rig, 0);
	pic_create(&rig.board, &pic);
	irq(0, true);
	ok(!rig.extint, "after power-on all inputs are masked");
	is(rig_in(&rig, 0x21), 0xff, "the mask register says so");
	teardown();
}

static void test_basic(void)
{
	setup(1, 1);
	is(rig_in(&rig, 0x21), 0, "ICWs are taken, the mask is readable");
	irq(4, true);
	ok(rig.extint, "a request raises the output");
	is(irr(0x20), 0x10, "IRR shows it");
	is(pic_acknowledge(pic), 0x34, "the vector is base + input");
	ok(!rig.extint, "the acknowledge lowers the output");
	is(irr(0x20), 0, "an edge is consumed by the acknowledge");
	is(isr(0x20), 0x10, "ISR shows the service");
	rig_out(&rig, 0x20, 0x20);
	is(isr(0x20), 0, "non-specific EOI ends it");
	ok(!rig.extint, "a line that stays high is no new edge");
	irq(4, false);
	irq(4, true);
	ok(rig.extint, "a new edge is");
	teardown();
}

static void test_priorities(void)
{
	setup(1, 1);
	pulse(5);
	pulse(3);
	pulse(7);
	is(pic_acknowledge(pic), 0x33, "the lowest number goes first");
	ok(!rig.extint, "lower priorities wait while it is in service");
	pulse(1);
	ok(rig.extint, "a higher one interrupts the service");
	is(pic_acknowledge(pic), 0x31, "and is delivered");
	is(isr(0x20), 0x0a, "both are in service");
	rig_out(&rig, 0x20, 0x20);
	is(isr(0x20), 0x08, "non-specific EOI ends the higher one");
	rig_out(&rig, 0x20, 0x63);
	is(isr(0x20), 0, "specific EOI names its input");
	is(pic_acknowledge(pic), 0x35, "then the next");
	rig_out(&rig, 0x20, 0x20);
	is(pic_acknowledge(pic), 0x37, "and the last");
	teardown();
}

static void test_mask(void)
{
	setup(1, 1);
	rig_out(&rig, 0x21, 0x10);
	pulse(4);
	ok(!rig.extint, "a masked request does not come through");
	is(irr(0x20), 0x10, "but is remembered");
	rig_out(&rig, 0x21, 0);
	ok(rig.extint, "and comes when it is unmasked");
	teardown();
}

static void test_cascade(void)
{
	setup(1, 1);
	pulse(8);
	ok(rig.extint, "the slave's request reaches the processor");
	is(pic_acknowledge(pic), 0x38, "with the slave's vector");
	is(isr(0x20), 0x04, "the cascade is in service in the master");
	is(isr(0xa0), 0x01, "the input in the slave");
	pulse(9);
	ok(!rig.extint, "a lower one of the slave waits");
	rig_out(&rig, 0xa0, 0x20);
	rig_out(&rig, 0x20, 0x20);
	ok(rig.extint, "until both have ended");
	is(pic_acknowledge(pic), 0x39, "then it comes");
	rig_out(&rig, 0xa0, 0x20);
	rig_out(&rig, 0x20, 0x20);
	pulse(10);
	rig_out(&rig, 0xa1, 0xff);
	ok(!rig.extint, "masking the slave takes the cascade back");
	irq(2, true);
	ok(!rig.extint, "line 2 itself is not wired");
	teardown();
}

static void test_spurious(void)
{
	setup(1, 1);
	is(pic_acknowledge(pic), 0x37, "an acknowledge without a request gives input 7");
	is(isr(0x20), 0, "and leaves nothing in service");
	teardown();
}

static void test_rotation(void)
{
	setup(1, 1);
	rig_out(&rig, 0x20, 0xc3);	/* input 3 gets the lowest priority */
	pulse(3);
	pulse(4);
	pulse(0);
	is(pic_acknowledge(pic), 0x34, "set priority: 4 is the highest");
	rig_out(&rig, 0x20, 0xa0);	/* rotate on non-specific EOI */
	is(pic_acknowledge(pic), 0x30, "after the rotation 5 is, so 0 comes before 3");
	rig_out(&rig, 0x20, 0xe0);	/* rotate on specific EOI of 0 */
	is(isr(0x20), 0, "specific EOI with rotation ends it");
	pulse(0);
	is(pic_acknowledge(pic), 0x33, "0 is the lowest now");
	teardown();
}

static void test_auto_eoi(void)
{
	setup(3, 1);
	pulse(2 + 1);
	is(pic_acknowledge(pic), 0x33, "automatic EOI: delivered");
	is(isr(0x20), 0, "and not in service");
	rig_out(&rig, 0x20, 0x80);	/* rotate in automatic EOI */
	pulse(0);
	is(pic_acknowledge(pic), 0x30, "with rotation: 0 goes");
	pulse(0);
	pulse(1);
	is(pic_acknowledge(pic), 0x31, "and is the lowest afterwards");
	rig_out(&rig, 0x20, 0x00);
	teardown();
}

static void test_special_mask(void)
{
	setup(1, 1);
	pulse(3);
	is(pic_acknowledge(pic), 0x33, "3 is in service");
	pulse(5);
	ok(!rig.extint, "5 waits");
	rig_out(&rig, 0x21, 0x08);
	ok(!rig.extint, "masking 3 alone does not help");
	rig_out(&rig, 0x20, 0x68);	/* special mask mode */
	ok(rig.extint, "in special mask mode a masked service does not block");
	is(pic_acknowledge(pic), 0x35, "5 is delivered");
	rig_out(&rig, 0x20, 0x48);
	rig_out(&rig, 0x20, 0x63);
	rig_out(&rig, 0x20, 0x65);
	is(isr(0x20), 0, "specific EOIs end both");
	teardown();
}

static void test_nested(void)
{
	setup(0x11, 1);			/* special fully nested mode in the master */
	pulse(10);
	is(pic_acknowledge(pic), 0x3a, "the slave's input 2 is in service");
	pulse(8);
	ok(rig.extint, "a higher one of the slave comes through in nested mode");
	is(pic_acknowledge(pic), 0x38, "and is delivered");
	teardown();
}

static void test_poll(void)
{
	setup(1, 1);
	rig_out(&rig, 0x20, 0x0c);
	is(rig_in(&rig, 0x20), 0x07, "poll without a request");
	pulse(6);
	rig_out(&rig, 0x20, 0x0c);
	is(rig_in(&rig, 0x20), 0x86, "poll is an acknowledge");
	is(isr(0x20), 0x40, "and puts the input in service");
	ok(!rig.extint, "the output has fallen");
	teardown();
}

static void test_level(void)
{
	setup(1, 1);
	rig_out(&rig, 0x4d1, 0x02);
	rig_out(&rig, 0x4d0, 0xff);
	is(rig_in(&rig, 0x4d1), 0x02, "ELCR of the slave");
	is(rig_in(&rig, 0x4d0), 0xf8, "timer, keyboard and cascade stay edges");
	irq(9, true);
	is(pic_acknowledge(pic), 0x39, "a level is delivered");
	rig_out(&rig, 0xa0, 0x20);
	rig_out(&rig, 0x20, 0x20);
	ok(rig.extint, "and again while it is high");
	irq(9, false);
	ok(!rig.extint, "not when it has fallen");
	teardown();
}

static void test_reset(void)
{
	setup(1, 1);
	irq(4, true);
	board_reset(&rig.board);
	ok(!rig.extint, "reset takes the output back");
	is(rig_in(&rig, 0x21), 0xff, "and masks");
	teardown();
}

int main(void)
{
	test_power_on();
	test_basic();
	test_priorities();
	test_mask();
	test_cascade();
	test_spurious();
	test_rotation();
	test_auto_eoi();
	test_special_mask();
	test_nested();
	test_poll();
	test_level();
	test_reset();
	return tap_done();
}
