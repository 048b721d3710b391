use std::collections::BTreeMap;

use foundation::ctx::probe::Probe;

use super::*;

fn judged(command: &str) -> Trust {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let environment = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    Judge::new(dir, &environment).trust(command)
}

#[test]
fn what_the_makefiles_ask_is_known() {
    for command in [
        "git describe --match=none --always --abbrev=8 --dirty",
        r"git describe --tag --always --dirty --match v[0-9]\*",
        r"git describe --tag --always --match v[0-9]\* --abbrev=0 ",
        "git log -1 --pretty=%ct",
        "git log ad5ad0a513b775e597c818b25476fc59ba3e4a8c --pretty=%ct",
        "git rev-parse --abbrev-ref HEAD",
        "git rev-list --max-parents=0 HEAD",
        "git -C . tag --list 'v*'",
        "git symbolic-ref --short HEAD",
        "git --no-pager show -s --format=%B HEAD",
        r"git log --oneline --format=%B -n 1 HEAD^2 -- 2>/dev/null | head -n 1 | sed -nE 's/^release\((.*)\):.*$/\1/p'",
        r#"git log --oneline --format=%B -n 1 HEAD^2 -- 2>/dev/null | head -n 1 | sed -r "/^release\(.*\)/ s/^release\((.*)\):.*$/\1/; t; Q""#,
        "uname -m | sed 's/x86_64/amd64/' | sed 's/aarch64/arm64/'",
        "uname -m | sed -e 's/x86_64/amd64/' -e 's/aarch64/arm64/'",
        "uname -s | tr \"[:upper:]\" \"[:lower:]\"",
        "git describe --tags >/dev/null 2>/dev/null && git describe --tag --always --match v[0-9]\\* --abbrev=0 || echo 'undefined'",
        "id -u",
        "nproc",
        "date -u -d @0 +%s",
        "date -d @0 +%s",
        "echo linux/amd64 | tr \",\" \" \"",
        "printf 'release(v1.0.0): x\\n' | sed -nE \"s/^release\\((.*)\\):.*$/\\\\1/p\"",
        "echo $HOME | cut -d/ -f2 | sort -u | uniq -c | tail -1 | wc -l",
    ] {
        assert_eq!(judged(command), Trust::Stable, "{command}");
    }
    for command in [
        "cat _out/list",
        "cat list | grep -vE 'a|b'",
        "cat docs/*.txt",
        "sed -n 1p file",
        "sort -k2,2n -t: file",
        "uniq -c file",
        "[ -f x ] && echo yes",
        "test -d _out",
        "ls -1 _out",
        "readlink -f .",
        r#"yq -r '."containerimage.digest"' _out/x.metadata.json"#,
        "jq -re .x file",
        "yq e .x file",
    ] {
        assert_eq!(judged(command), Trust::Reads, "{command}");
    }
    for command in ["date -u +%Y-%m-%d", "date +%s%N", "date -d tomorrow +%F"] {
        assert_eq!(judged(command), Trust::Clock, "{command}");
    }
}

/// Each command would change something, start something else, or wait for the
/// network.
const REFUSED: &[&str] = &[
    // Options, in each spelling.
    "sed -i s/a/b/ f",
    "sed -ni p f",
    "sed -Ei s/a/b/ f",
    "sed -si s/a/b/ f",
    "sed -i.bak s/a/b/ f",
    "sed --in-place s/a/b/ f",
    "sed --in-pl s/a/b/ f",
    "sed s/a/b/ f -i",
    "sed -n 'w out' f",
    "sed -n '1w out' f",
    "sed 's/a/b/w out' f",
    "sed 's/a/touch out/e' f",
    "sed '1e touch out' f",
    "sed -e p -e 'w out' f",
    "sed -ne 'w out' f",
    "sed --expression='w out' f",
    "sed -f script f",
    "sed --file=script f",
    "sed s/*/p f",
    "sed \"s/a/$x/\"",
    "sort -o f f",
    "sort -uo f f",
    "sort f -of",
    "sort --output=f f",
    "sort --outp=f f",
    "sort --compress-program=./ext f",
    "sort --files0-from=f",
    "sort -T . f",
    "sort -S1 f",
    "sort *",
    "sort $FLAGS f",
    "sort ${FLAGS} f",
    "uniq in out",
    "uniq -c in out",
    "uniq - out",
    "uniq -- in out",
    "uniq in*",
    "uniq in -c",
    "tail -f f",
    "tail -F f",
    "tail --follow f",
    "date -s 2001-01-01",
    "date --set=2001-01-01",
    "date --se 2001-01-01",
    "date 010112002001",
    "date -us 2001-01-01",
    "date -f f",
    "yq -i .a=1 f",
    "yq -Pi .a=1 f",
    "yq -iP .a=1 f",
    "yq --inplace .a=1 f",
    "yq --inplace=true .a=1 f",
    "yq -s .a f",
    "yq -Ps .a f",
    "yq --split-exp .a f",
    "yq 'load(\"x\")' f",
    "yq 'system(\"touch out\")' f",
    "yq eval 'eval(\"x\")' f",
    "jq -f f x",
    "jq $x f",
    "grep -f f x",
    "grep -P x f",
    // git: verbs, options, operands, settings.
    "git",
    "git checkout main",
    "git tag v1",
    "git tag -d v1",
    "git tag -a v1 -m x",
    "git tag -f v1",
    "git tag --sort=x v1",
    "git tag -l -d v1",
    "git symbolic-ref HEAD refs/heads/x",
    "git symbolic-ref -d HEAD",
    "git symbolic-ref -m x HEAD y",
    "git symbolic-ref HEAD*",
    "git log --output=out",
    "git log --outpu=out",
    "git log --output out",
    "git show --output=out HEAD",
    "git show --output=o*",
    "git log -p --ext-diff",
    "git show --textconv HEAD",
    "git log --show-signature",
    "git log --format=%G?",
    "git log --pretty=format:%GK",
    "git tag -l --sort=signature",
    "git -C log checkout main",
    "git -C sub describe",
    "git -C . checkout main",
    "git -C / log",
    "git -c core.fsmonitor=./x describe",
    "git -c alias.log=!touch log",
    "git --git-dir=x log",
    "git --exec-path=. log",
    "git --config-env=a=b log",
    "git -p log",
    "git branch new",
    "git branch -D old",
    "git config --set a.b c",
    "git config a.b c",
    "git ls-remote",
    "git fetch",
    "git gc",
    "git describe --d*",
    "git $VERB",
    "git l?g",
    "git rev-parse --parseopt",
    "git diff",
    "git status",
    // Programs that start others, or that write.
    "awk '{print > \"out\"}' f",
    "awk 'BEGIN { system(\"touch out\") }'",
    "find . -exec touch out ;",
    "find . -delete",
    "xargs touch",
    "cat x | xargs rm",
    "tee out",
    "env touch out",
    "nice touch out",
    "timeout 9 touch out",
    "command touch out",
    "exec touch out",
    "eval touch out",
    "sh -c 'touch out'",
    ". ./script",
    "curl http://127.0.0.1",
    "wget http://127.0.0.1",
    "go list ./...",
    "go env -w X=y",
    "docker ps",
    "crane export x | tar x",
    "make --quiet image-list",
    "touch out",
    "cp a b",
    // Spellings of a program's name.
    "[t]ouch out",
    "[c]at f",
    "?at f",
    "$x f",
    "./git log",
    "bin/cat f",
    "/bin/cat f",
    "_out/bldr eval --target x",
    "! cat f",
    "{ cat f; }",
    "if true; then touch out; fi",
    // Syntax before and around a command.
    "PATH=. git log",
    "GIT_EXTERNAL_DIFF=./x git log",
    "LD_PRELOAD=./x.so cat f",
    "X=-o; sort $X f",
    "true; touch out",
    "true && touch out",
    "true || touch out",
    "true | touch out",
    "true & touch out",
    "echo $(rm -rf /)",
    "echo `reboot`",
    "echo ${x:=y}",
    "cat a > b",
    "cat a >> b",
    "cat a 2> b",
    "cat < f",
    "cat <> f",
    "echo hi & rm x",
    // Features of some shells.
    "printf -v PATH .",
    "printf -v 'a[$(touch out)]' x",
    "printf \"$x\"",
    "printf x%n PATH; cat f",
    "printf '%%%5.2n' PATH",
    "printf %s$x",
    "test -v 'a[$(touch out)]'",
    "[ -v x ]",
    "cd sub",
    // Files that are not regular files.
    "cat /dev/stdin",
    "cat /dev/zero",
    "head -1 /dev/random",
];

#[test]
fn what_could_change_something_is_not_trusted() {
    for command in REFUSED {
        assert_eq!(judged(command), Trust::None, "{command}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests prepare files")]
fn a_repository_that_names_programs_is_not_asked() {
    let root = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(root.path()).unwrap();
    let environment = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    let trust = || Judge::new(dir, &environment).trust("git describe --dirty");
    let init = Probe::new(["git", "init", "-q"]).current_dir(dir);
    init.stdout().unwrap();
    assert_eq!(trust(), Trust::Stable);
    let config = std::fs::read_to_string(dir.join(".git/config")).unwrap();
    for setting in [
        "[filter \"x\"]\nclean = ./x\n",
        "[FILTER \"x\"]\nProcess = ./x\n",
        "[diff \"x\"]\ntextconv = ./x\n",
        "[diff]\nexternal = ./x\n",
        "[gpg]\nprogram = ./x\n",
        "[gpg \"ssh\"]\nprogram = ./x\n",
        "[pretty]\nx = %G?\n",
    ] {
        std::fs::write(dir.join(".git/config"), format!("{config}{setting}")).unwrap();
        assert_eq!(trust(), Trust::None, "{setting}");
        std::fs::write(dir.join(".git/more"), setting).unwrap();
        std::fs::write(
            dir.join(".git/config"),
            format!("{config}[include]\npath = more\n"),
        )
        .unwrap();
        assert_eq!(trust(), Trust::None, "{setting}");
    }
    std::fs::write(dir.join(".git/config"), config).unwrap();
    assert_eq!(trust(), Trust::Stable);
}
