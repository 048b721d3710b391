# Completions of `cargo xtask` and `xtask` for bash, written by `cargo xtask completions bash`.

# Prints the binary that `cargo xtask` has built in the checkout above this folder, if the user
# has run it and no other user could have replaced it. Nothing is compiled.
_talos_xtask_binary() {
	local dir file line known='' list=${XDG_STATE_HOME:-$HOME/.local/state}/talos-xtask/completing-binaries
	local own private
	dir=$(pwd -P)
	while [[ ! -f $dir/xtask/Cargo.toml ]]; do
		[[ -n $dir ]] || return 1
		dir=${dir%/*}
	done
	file=${CARGO_TARGET_DIR:-$dir/xtask/target}/xtask/xtask
	[[ -x $file && -r $list ]] || return 1
	while IFS= read -r line; do
		[[ $line != "$file" ]] || known=1
	done <"$list"
	[[ -n $known ]] || return 1
	# A group of the user's own name has no other members.
	private=(! -perm -020)
	[[ $(id -gn) != "$(id -un)" ]] || private=(\( ! -perm -020 -o -group "$(id -g)" \))
	own=$(find "$file" "${file%/*}" -maxdepth 0 \( -user "$EUID" -o -user 0 \) ! -perm -002 "${private[@]}" 2>/dev/null)
	[[ $own == "$file"$'\n'"${file%/*}" ]] && printf '%s\n' "$file"
}

# $1 binary. Fills COMPREPLY for the line up to the cursor.
_talos_xtask_offer() {
	local line=${COMP_LINE:0:COMP_POINT} value typed before='' IFS=$' \t\n'
	typed=${line##*[[:space:]]}
	# bash replaces only what follows the last of its word breaks.
	[[ $typed != *=* || $COMP_WORDBREAKS != *=* ]] || before=${typed%"${typed##*=}"}
	[[ $typed != *:* || $COMP_WORDBREAKS != *:* ]] || before=${typed%"${typed##*:}"}
	COMPREPLY=()
	while IFS=$'\t' read -r value _; do
		[[ $value == "$before"* ]] || continue
		value=${value#"$before"}
		[[ $value == *[!A-Za-z0-9_./=:,@%+~-]* ]] && printf -v value %q "$value"
		COMPREPLY+=("$value")
	done < <("$1" internal complete --line "$line" 2>/dev/null)
	if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[/=] ]]; then
		compopt -o nospace 2>/dev/null
	fi
}

_talos_xtask() {
	local binary
	# Only a program of PATH: one of another folder is not run by Tab.
	[[ $1 != */* ]] && binary=$(type -P -- "$1") && _talos_xtask_offer "$binary"
}

# What completes the other words of cargo: as it was before, or as it is loaded at the first Tab.
_talos_xtask_find_cargo() {
	local spec
	spec=$(complete -p cargo 2>/dev/null) || return 1
	[[ $spec =~ \ -F\ ([^\ ]+) ]] || return 1
	[[ ${BASH_REMATCH[1]} != _talos_xtask_cargo ]] || return 1
	_talos_xtask_others=${BASH_REMATCH[1]}
}

_talos_xtask_cargo() {
	local line=${COMP_LINE:0:COMP_POINT} binary loader
	if [[ $line =~ ^[[:space:]]*([^[:space:]]*/)?cargo[[:space:]]+(\+[^[:space:]]+[[:space:]]+)?xtask[[:space:]] ]]; then
		binary=$(_talos_xtask_binary) && _talos_xtask_offer "$binary"
		return
	fi
	if [[ -z $_talos_xtask_others ]]; then
		complete -r cargo
		for loader in _comp_load _completion_loader __load_completion; do
			if declare -F "$loader" >/dev/null; then
				"$loader" cargo >/dev/null 2>&1
				break
			fi
		done
		_talos_xtask_find_cargo || _talos_xtask_others=:
		complete -o bashdefault -o default -F _talos_xtask_cargo cargo
	fi
	"$_talos_xtask_others" "$@"
}

_talos_xtask_others=''
_talos_xtask_find_cargo
complete -o bashdefault -o default -F _talos_xtask_cargo cargo
complete -o bashdefault -o default -F _talos_xtask xtask
