# SPDX-License-Identifier: GPL-2.0-only
#
# Completion of vireo's command line for bash; installed as share/bash-completion/completions/vireo.
#
# A table says what each command has: options (with "=" if something follows them) and what its words are.
# userspace/tests/completion holds it against what "vireo COMMAND --help" says.

# Names of machines, as far as they can be typed. Others than ours may have made VMs with names that a shell would act on:
# those are left out, since compgen -W expands its words.
_vireo_machines()
{
	"${COMP_WORDS[0]}" list 2>/dev/null | LC_ALL=C awk 'NR > 1 && $1 ~ /^[A-Za-z0-9_][A-Za-z0-9._-]*$/ { print $1 }'
}

# "COMMAND: options; kinds of words, the last one for all that follow"
_vireo_table='
balloon: --timeout=; machine none
console: ; machine none
control: --follow; machine none
events: --count= --json; machine none
fork: --name=; machine none
info: --json --cpu-profile; none
inspect: --json; file none
list: --json; none
migrate: --mode= --switch-to-post --downtime= --bandwidth= --timeout= --tls= --verify --cancel --resolve=; machine address none
pause: ; machine none
receive: --name= --console= --timeout= --tls=; address none
reset: ; machine none
restore: --name= --console= --pause; file none
resume: ; machine none
rollback: ; machine none
run: --kernel= --initrd= --cmdline= --module= --memory= --hugepages --cpus= --cpu-profile= --config= --name= --console= --no-reboot --fw-cfg= --test-device --debug-exit= --debug-console= --paravirt= --hybrid --screen-dump= --stats --balloon --disk= --hvc= --net= --rng; none
save: --continue --pause; machine file none
snapshot: --delete=; machine none
stat: --interval= --count= --vcpus --histogram --json; machine none
stop: --timeout= --hard; machine none
switch: --mode= --ports=; file none
thresholds: --exits= --dirty= --stall= --json; machine none
top: --interval= --sort= --filter= --batch --count=; none
tree: --json; machine none
'

# What may follow an option
_vireo_value()
{
	local current=$1

	case $2 in
	run\ --kernel | run\ --initrd | run\ --module | run\ --config | run\ --cpu-profile | run\ --screen-dump | run\ --disk)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		;;
	*\ --console)
		mapfile -t COMPREPLY < <(compgen -W "stdio pty file: socket" -- "$current")
		;;
	run\ --hvc)
		mapfile -t COMPREPLY < <(compgen -W "stdio pty file:" -- "$current")
		;;
	run\ --net)
		mapfile -t COMPREPLY < <(compgen -W "tap user switch,path=" -- "$current")
		;;
	run\ --paravirt)
		mapfile -t COMPREPLY < <(compgen -W "all none" -- "$current")
		;;
	migrate\ --mode)
		mapfile -t COMPREPLY < <(compgen -W "pre stop post" -- "$current")
		;;
	migrate\ --resolve)
		mapfile -t COMPREPLY < <(compgen -W "keep drop" -- "$current")
		;;
	migrate\ --tls | receive\ --tls)
		mapfile -t COMPREPLY < <(compgen -W "psk: x509:" -- "$current")
		;;
	top\ --sort)
		mapfile -t COMPREPLY < <(compgen -W "exits guest kernel user halted memory dirty vcpus name number" -- "$current")
		;;
	thresholds\ --*)
		mapfile -t COMPREPLY < <(compgen -W "off" -- "$current")
		;;
	esac
}

_vireo()
{
	local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} options="" kinds="" name rest word i
	local -a kind
	local place=0

	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(sed -n 's/^\([a-z]*\):.*/\1/p' <<<"$_vireo_table") --help --version" -- "$current")
		return
	fi
	while IFS=: read -r name rest; do
		if [ "$name" = "$command" ]; then
			options=${rest%%;*}
			kinds=${rest#*;}
		fi
	done <<<"$_vireo_table"
	[ -n "$kinds" ] || return

	# Behind which option is this, and the how-many-th of the other words is it?
	for ((i = 2; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $word == --* ]]; then
			if [[ " $options " == *" $word= "* ]]; then
				if [ $((i + 1)) = "$COMP_CWORD" ]; then
					_vireo_value "$current" "$command $word"
					return
				fi
				i=$((i + 1))
			fi
		else
			place=$((place + 1))
		fi
	done
	if [[ $current == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${options//=/} --help" -- "$current")
		return
	fi
	read -ra kind <<<"$kinds"
	[ "$place" -lt ${#kind[@]} ] || place=$((${#kind[@]} - 1))
	case ${kind[place]} in
	machine)
		mapfile -t COMPREPLY < <(compgen -W "$(_vireo_machines)" -- "$current")
		;;
	address)
		mapfile -t COMPREPLY < <(compgen -W "tcp: unix: exec:" -- "$current")
		;;
	file)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		;;
	esac
}

complete -F _vireo vireo
