// SPDX-License-Identifier: GPL-2.0-only
/* Parameters of device options: what is read, and what is refused. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tap.h"
#include "../vireo/params.h"
#include "../vireo/util.h"

static bool is_text(const char *got, const char *want)
{
	return got && !strcmp(got, want);
}

static void test_parse(void)
{
	struct params params;

	is(params_parse(&params, "disk", "path", "/x/a,,b.img,readonly,serial=4=2,queues=4"), 0, "a disk");
	is(params.nr, 4, "has four parameters");
	ok(is_text(params_string(&params, "path"), "/x/a,b.img"), "two commas are one");
	ok(is_text(params_string(&params, "readonly"), "on"), "a flag is on");
	ok(is_text(params_string(&params, "serial"), "4=2"), "a value may have a =");
	is(params_done(&params), -EINVAL, "queues was not asked for");
	ok(params_string(&params, "queues"), "now it is");
	ok(!params_string(&params, "size"), "size was not given");
	is(params_done(&params), 0, "all was asked for");
	params_free(&params);

	is(params_parse(&params, "disk", "path", "nbd://host/name?a=b"), 0, "an address with a =");
	ok(is_text(params_string(&params, "path"), "nbd://host/name?a=b"), "is the first parameter");
	params_free(&params);
	is(params_parse(&params, "disk", "path", "path=x=y"), 0, "the first with its key");
	ok(is_text(params_string(&params, "path"), "x=y"), "is the same");
	params_free(&params);
	is(params_parse(&params, "disk", "path", "plain"), 0, "a first word that might be a key");
	ok(is_text(params_string(&params, "path"), "plain"), "is the first parameter");
	params_free(&params);
	is(params_parse(&params, "rng", NULL, "fast"), 0, "a flag where nothing comes first");
	ok(is_text(params_string(&params, "fast"), "on"), "is a flag");
	params_free(&params);
	is(params_parse(&params, "rng", NULL, NULL), 0, "no text");
	is(params.nr, 0, "no parameters");
	is(params_parse(&params, "rng", NULL, ""), 0, "empty text");
	is(params.nr, 0, "no parameters");
	is(params_parse(&params, "x", NULL, "a=,,"), 0, "a value of a comma");
	ok(is_text(params_string(&params, "a"), ","), "is a comma");
	params_free(&params);
}

static void test_refused(void)
{
	static const char *const bad[] = {
		"x,", ",x", ",", "x,y=1,y=2", "x,path=y", "x,=1", "x,Y=1", "x,a b=1", "x,1a", "x,/y",
	};
	char many[400] = "x";
	struct params params;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		is(params_parse(&params, "disk", "path", bad[i]), -EINVAL, "'%s' is refused", bad[i]);
		is(params.nr, 0, "and leaves nothing");
	}
	for (i = 0; i < PARAMS_MAX; i++)
		sprintf(many + strlen(many), ",k%u", i);
	is(params_parse(&params, "disk", "path", many), -EINVAL, "too many are refused");
	many[strrchr(many, ',') - many] = '\0';
	is(params_parse(&params, "disk", "path", many), 0, "as many as fit are not");
	params_free(&params);
}

static void test_types(void)
{
	static const char *const modes[] = { "none", "back", "through", NULL };
	struct params params;
	uint64_t number = 77;
	unsigned int choice = 77;
	bool flag = true;

	is(params_parse(&params, "d", NULL, "yes,no=off,maybe=1,n=12,h=0x10,m=-1,z=10G,y=10X,c=through,e="), 0,
	   "some of each");
	is(params_bool(&params, "none", &flag), 0, "a flag that is not there");
	is(flag, true, "changes nothing");
	is(params_bool(&params, "maybe", &flag), -EINVAL, "a flag that is 1 is refused");
	is(flag, true, "and changes nothing");
	is(params_bool(&params, "no", &flag), 0, "a flag");
	is(flag, false, "is off");
	is(params_bool(&params, "yes", &flag), 0, "another");
	is(flag, true, "is on");

	is(params_number(&params, "none", 1, 2, &number), 0, "a number that is not there");
	is(params_number(&params, "n", 13, 20, &number), -EINVAL, "a number that is too small");
	is(params_number(&params, "n", 1, 11, &number), -EINVAL, "a number that is too large");
	is(params_number(&params, "m", 0, 11, &number), -EINVAL, "a negative number");
	is(params_number(&params, "e", 0, 11, &number), -EINVAL, "an empty number");
	is(params_bytes(&params, "y", &number), -EINVAL, "a size of unknown unit");
	is(number, 77, "none of them changes anything");
	is(params_number(&params, "n", 12, 12, &number), 0, "a number");
	is(number, 12, "is read");
	is(params_number(&params, "h", 0, 99, &number), 0, "a hexadecimal number");
	is(number, 16, "is read");
	is(params_bytes(&params, "z", &number), 0, "a size");
	is(number, 10 * GIB, "is read");

	is(params_choice(&params, "n", modes, &choice), -EINVAL, "a word that is not a choice");
	is(choice, 77, "changes nothing");
	is(params_choice(&params, "c", modes, &choice), 0, "a word that is");
	is(choice, 2, "is found");
	is(params_done(&params), 0, "all were asked for");
	params_free(&params);
}

int main(void)
{
	test_parse();
	test_refused();
	test_types();
	return tap_done();
}
