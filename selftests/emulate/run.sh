#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Run the built tests in $O one after the other, as subtests of one TAP stream.
# Each has a bound on its time. $TIMES: what goes by numbers at random does so many times as much (1).

n=0
failed=0
times=${TIMES:-1}

# report STATUS NAME
report()
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		failed=$((failed + 1))
	fi
}

# run NAME COMMAND...
run()
{
	name=$1
	shift
	if [ ! -x "$1" ]; then
		n=$((n + 1))
		echo "ok $n - $name # SKIP not built: a library or compiler is missing"
		return
	fi
	echo "# Subtest: $name"
	timeout $((120 * times)) "$@" >"$O/log" 2>&1
	status=$?
	sed 's/^/    /' "$O/log"
	report $status "$name"
}

echo "TAP version 13"

# What the kernel would have to provide
missing=$(nm "$O"/kernel-gcc/*.o | sed -n 's/^ *U //p' |
	  grep -v -E '^(emu_|vireo_emu_|memcpy$|memset$)' | sort -u)
[ -z "$missing" ] || echo "# needs: $missing"
[ -z "$missing" ]
report $? "compiled as for the kernel: nothing but memcpy and memset is needed"

writable=$(size -A "$O"/kernel-gcc/*.o | awk '/^\.(data|bss)/ && $2 > 0' | wc -l)
[ "$writable" = 0 ]
report $? "compiled as for the kernel: no variables"

run "decode" "$O/plain/test_decode" $((500000 * times))
run "decode, sanitized" "$O/san/test_decode" $((30000 * times)) 2
run "lengths, with Capstone" "$O/plain/test_capstone" $((150000 * times))
run "execute" "$O/plain/test_execute" $((100000 * times))
run "execute, sanitized" "$O/san/test_execute" $((10000 * times))
run "what was found before, sanitized" "$O/san/test_found"
for t in far event system; do
	run "$t" "$O/plain/test_$t"
	run "$t, sanitized" "$O/san/test_$t"
done
run "against this processor" "$O/plain/test_native" $((1500000 * times)) "${SEED:-1}"
run "against this processor, sanitized" "$O/san/test_native" $((150000 * times)) 2
run "against Unicorn" "$O/plain/test_unicorn" $((20000 * times)) "${SEED:-1}"
run "instructions retired for MMIO" "$O/count"

# fuzz PROGRAM LENGTH NAME: for a few seconds, from the corpus of earlier runs
fuzz()
{
	if [ ! -x "$O/$1" ]; then
		n=$((n + 1))
		echo "ok $n - $3 # SKIP no clang with libFuzzer"
		return
	fi
	corpus=corpus${1#fuzz}
	mkdir -p "$O/$corpus"
	(cd "$O" && timeout 120 "./$1" -max_total_time="${FUZZ_SHORT:-8}" -max_len="$2" \
		-len_control=0 -rss_limit_mb=2048 "$corpus") >"$O/log" 2>&1
	status=$?
	if [ $status = 0 ]; then
		tail -1 "$O/log" | sed 's/^/# /'
	else
		tail -30 "$O/log" | sed 's/^/# /'
	fi
	report $status "$3 for ${FUZZ_SHORT:-8} seconds"
}

fuzz fuzz 280 "fuzzing of operands"
fuzz fuzz_system 430 "fuzzing of whole machine states"

echo "1..$n"
[ $failed = 0 ]
