# Completions of `cargo xtask` and `xtask` for zsh, written by `cargo xtask completions zsh`.

# Prints the binary that `cargo xtask` has built in the checkout above this folder, if the user
# has run it and no other user could have replaced it. Nothing is compiled.
_talos_xtask_binary() {
	emulate -L zsh
	local dir=${PWD:A} file own list=${XDG_STATE_HOME:-$HOME/.local/state}/talos-xtask/completing-binaries
	while [[ ! -f $dir/xtask/Cargo.toml ]]; do
		[[ -n $dir ]] || return 1
		dir=${dir%/*}
	done
	file=${CARGO_TARGET_DIR:-$dir/xtask/target}/xtask/xtask
	[[ -x $file && -r $list ]] || return 1
	local -a known=("${(@f)$(<$list)}")
	(( ${known[(Ie)$file]} )) || return 1
	# A group of the user's own name has no other members.
	local -a private=(! -perm -020)
	[[ $(id -gn) == $(id -un) ]] && private=('(' ! -perm -020 -o -group $EGID ')')
	own=$(find $file ${file:h} -maxdepth 0 \( -user $EUID -o -user 0 \) ! -perm -002 $private 2>/dev/null)
	[[ $own == $file$'\n'${file:h} ]] && print -r -- $file
}

# $1 binary, $2 the place of `xtask` among the words.
_talos_xtask_offer() {
	local -a line values open
	local pair value
	line=("${(@Q)words[$2,$((CURRENT - 1))]}" "${(Q)PREFIX}")
	for pair in "${(@f)$($1 internal complete -- "${(@)line}" 2>/dev/null)}"; do
		value=${pair%%$'\t'*}
		[[ -n $value ]] || continue
		pair=${value//:/\\:}:${pair#*$'\t'}
		[[ $value == *[/=] ]] && open+=($pair) || values+=($pair)
	done
	local ret=1
	(( ! $#values )) || { _describe -t values xtask values && ret=0 }
	(( ! $#open )) || { _describe -t values xtask open -S '' && ret=0 }
	return ret
}

_talos_xtask() {
	local binary
	# Only a program of PATH: one of another folder is not run by Tab.
	[[ ${words[1]} != */* ]] && binary=${commands[${words[1]}]} && [[ -n $binary ]] && _talos_xtask_offer $binary 1
}

_talos_xtask_cargo() {
	local at=2 binary
	[[ ${words[2]} == +* ]] && at=3
	if (( CURRENT > at )) && [[ ${words[at]} == xtask ]]; then
		binary=$(_talos_xtask_binary) && _talos_xtask_offer $binary $at
		return
	fi
	# The other words of cargo are completed as before.
	if [[ -n $_talos_xtask_others ]]; then
		$_talos_xtask_others "$@"
	else
		_default
	fi
}

if (( ! $+functions[compdef] )); then
	autoload -Uz compinit && compinit -i
fi
if [[ ${_comps[cargo]-} != _talos_xtask_cargo ]]; then
	typeset -g _talos_xtask_others=${_comps[cargo]-}
fi
compdef _talos_xtask_cargo cargo
compdef _talos_xtask xtask
