# Completions of `cargo xtask` and `xtask` for fish, written by `cargo xtask completions fish`.

# Prints the binary that `cargo xtask` has built in the checkout above this folder, if the user
# has run it and no other user could have replaced it. Nothing is compiled.
function __talos_xtask_binary
    set -l dir (pwd -P)
    while not test -f "$dir/xtask/Cargo.toml"
        test -n "$dir"; or return 1
        set dir (string replace -r '/[^/]*$' '' -- $dir)
    end
    set -l target $dir/xtask/target
    set -q CARGO_TARGET_DIR; and set target $CARGO_TARGET_DIR
    set -l file $target/xtask/xtask
    set -l state $HOME/.local/state
    set -q XDG_STATE_HOME; and test -n "$XDG_STATE_HOME"; and set state $XDG_STATE_HOME
    set -l list $state/talos-xtask/completing-binaries
    test -x $file -a -r $list; or return 1
    contains -- $file (cat $list); or return 1
    # A group of the user's own name has no other members.
    set -l private ! -perm -020
    test (id -gn) = (id -un); and set private '(' ! -perm -020 -o -group (id -g) ')'
    set -l own (find $file $target/xtask -maxdepth 0 \( -user (id -u) -o -user 0 \) ! -perm -002 $private 2>/dev/null)
    test (count $own) = 2; and echo $file
end

# The place of `xtask` among the words of cargo; fails for other commands.
function __talos_xtask_place
    set -l words (commandline -opc)
    if test (count $words) -ge 2 -a "$words[2]" = xtask
        echo 2
    else if test (count $words) -ge 3 -a "$words[3]" = xtask; and string match -q '+*' -- $words[2]
        echo 3
    else
        return 1
    end
end

# $argv[1] binary, $argv[2] the place of `xtask` among the words.
function __talos_xtask_offer
    set -l words (commandline -opc)
    $argv[1] internal complete -- $words[$argv[2]..] (commandline -ct | string unescape) 2>/dev/null
end

function __talos_xtask_cargo
    set -l place (__talos_xtask_place); or return
    set -l binary (__talos_xtask_binary); or return
    __talos_xtask_offer $binary $place
end

function __talos_xtask
    # Only a program of PATH: one of another folder is not run by Tab.
    set -l words (commandline -opc)
    string match -q '*/*' -- $words[1]; and return
    set -l binary (command -s $words[1]); or return
    __talos_xtask_offer $binary 1
end

complete -c cargo -n __talos_xtask_place -f -a '(__talos_xtask_cargo)'
complete -c xtask -f -a '(__talos_xtask)'
