//! Names and texts of others on their way to a terminal. Each is printed to a
//! pipe with `--color always` and to a terminal: what is not one of our own
//! sequences is shown and not obeyed.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use crate::Case;
use crate::room::{BINARY, TESTDATA};
use crate::stage::{Outcome, Stage};

const NAMES: &str = "text for people that came from outside";
const WORDS: &str = "names in commands that are printed to be typed";

pub const CASES: &[Case] = &[
    case("http_error_bodies", NAMES, http_error_bodies),
    case("profiles_a_node_offers", NAMES, profiles_a_node_offers),
    case("strings_of_a_profile", NAMES, strings_of_a_profile),
    case(
        "a_flame_graph_on_a_terminal",
        NAMES,
        a_flame_graph_on_a_terminal,
    ),
    case("cluster_folders", NAMES, cluster_folders),
    case("names_of_nodes", NAMES, names_of_nodes),
    case("console_lines", NAMES, console_lines),
    case("makefile_targets", NAMES, makefile_targets),
    case("test_names_and_folders", NAMES, test_names_and_folders),
    case(
        "reports_of_other_machines",
        NAMES,
        reports_of_other_machines,
    ),
    case("records_of_runs", NAMES, records_of_runs),
    case(
        "words_of_the_command_line",
        NAMES,
        words_of_the_command_line,
    ),
    case("forged_styles", NAMES, forged_styles),
    case(
        "contexts_and_folders_in_cures",
        WORDS,
        contexts_and_folders_in_cures,
    ),
    case("a_checkout_to_embed_into", WORDS, a_checkout_to_embed_into),
];

const fn case(name: &'static str, kind: &'static str, attack: fn(&Stage)) -> Case {
    Case { name, kind, attack }
}

/// Colours, a cleared screen, the clipboard, the window's name, a C1 control,
/// the order of letters, the start of the line, one column back.
const EVIL: &str =
    "\x1b[31mred\x1b[2J\x1b]52;c;eA==\x07\x1b]0;t\x1b\\\u{9b}2J\u{202e}drow\u{2066}\rover\x08\x7f";
/// The same, and a line that looks like ours; for names that may have one.
const FORGED: &str = "x\nhint: sudo rm -rf /";
/// A folder of this name must not become a command.
const PWN: &str = "x; touch PWN #";

/// Our own: styles by meaning. Screens have more; see [`on_a_screen`].
const STYLES: [&str; 6] = ["0", "1", "2", "31", "32", "33"];

fn styles(text: &str) -> String {
    STYLES.iter().fold(text.to_owned(), |text, style| {
        text.replace(&format!("\x1b[{style}m"), "")
    })
}

/// To a pipe in colour, and to a terminal; both as shown, without our styles.
fn shown(stage: &Stage, words: &[&str]) -> Outcome {
    let piped = stage.attack(&[&["--color", "always"], words].concat());
    let plain = |said: &Outcome| Outcome {
        code: said.code,
        stdout: styles(&said.stdout),
        stderr: styles(&said.stderr),
    };
    let piped = plain(piped.ended());
    piped.is_plain();
    let line: Vec<String> = [&[BINARY, "--color", "always"], words]
        .concat()
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect();
    let mut terminal = stage.program("script");
    terminal
        .args([
            "--quiet",
            "--return",
            "--command",
            &line.join(" "),
            "/dev/null",
        ])
        .env("SHELL", "/bin/sh");
    let said = stage.run(&mut terminal);
    let said = Outcome {
        stdout: said.stdout.replace("\r\n", "\n"),
        ..said
    };
    plain(&said).is_plain();
    assert_eq!(said.code, piped.code, "{words:?}: {said:?}");
    piped
}

/// Shown, with what is hostile in it spelled out.
#[track_caller]
fn spelled(said: &Outcome) -> &Outcome {
    said.says("\\x1b]52;c;eA==\\x07").says("\\u{202e}drow")
}

/// No line of it begins with what the hostile name has behind its newline.
#[track_caller]
fn is_not_forged(said: &Outcome) {
    let text = format!("{}\n{}", said.stdout, said.stderr);
    let forged = text.lines().find(|line| {
        let line = line.trim_start();
        line.starts_with("hint: sudo") || line.starts_with("forged")
    });
    let indented = forged.is_some_and(|line| line.starts_with("      "));
    assert!(forged.is_none() || indented, "{text}");
}

/// One answer to everything.
fn serve(status: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let answer = head + body;
    // Ends with this process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

fn http_error_bodies(stage: &Stage) {
    let address = serve("500 Oops", &format!("{EVIL}\nforged\n"));
    let said = shown(stage, &["pprof", "x", "heap", "--endpoint", &address]);
    spelled(&said);
    is_not_forged(&said);
}

fn profiles_a_node_offers(stage: &Stage) {
    let page = format!("<a href='{EVIL}?debug=1'>{EVIL}</a><a href=\"heap{EVIL}?debug=1\">x</a>");
    let address = serve("404 Not Found", &page);
    shown(stage, &["pprof", "x", "nothing", "--endpoint", &address]);
}

/// One field of a protocol buffer.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = varint(number << 3 | 2);
    out.extend(varint(bytes.len() as u64));
    out.extend(bytes);
    out
}

fn number(number: u64, value: u64) -> Vec<u8> {
    let mut out = varint(number << 3);
    out.extend(varint(value));
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (value & 127).to_le_bytes()[0];
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 128);
    }
}

/// A profile of one stack, all of whose strings are hostile.
fn profile(stage: &Stage) -> String {
    let name = format!("main.{EVIL}{FORGED}");
    let strings = ["", "cpu", "nanoseconds", &name, EVIL, FORGED];
    let kind = [number(1, 1), number(2, 2)].concat();
    let function = [number(1, 1), number(2, 3), number(3, 3), number(4, 4)].concat();
    let line = [number(1, 1), number(2, 7)].concat();
    let location = [number(1, 1), number(2, 1), field(4, &line)].concat();
    let mapping = [number(1, 1), number(5, 4), number(6, 5)].concat();
    let label = [number(1, 4), number(2, 5)].concat();
    let sample = [number(1, 1), number(2, 1_000_000), field(3, &label)].concat();
    let mut bytes = field(1, &kind);
    bytes.extend(field(2, &sample));
    bytes.extend(field(3, &mapping));
    bytes.extend(field(4, &location));
    bytes.extend(field(5, &function));
    for string in strings {
        bytes.extend(field(6, string.as_bytes()));
    }
    bytes.extend(number(13, 4));
    stage.write("evil.pb", bytes).into_string()
}

fn strings_of_a_profile(stage: &Stage) {
    let file = profile(stage);
    let open = ["pprof", "open", &file];
    for form in [
        &["--top"][..],
        &["--tree"],
        &["--traces"],
        &["--tags"],
        &["--raw"],
        &["--comments"],
        &["--peek", "main"],
        &["--list", "main"],
        &["--folded"],
        &["--svg"],
        &["--top", "--functions"],
        &[],
    ] {
        let said = shown(stage, &[&open, form].concat());
        is_not_forged(&said);
    }
    spelled(&shown(stage, &[&open[..], &["--top"]].concat()));
    let said = stage.attack(&[&open[..], &["--json"]].concat());
    said.with(0).is_plain();
    let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let name = value["rows"][0]["name"].as_str().unwrap();
    assert!(name.contains(EVIL), "{name:?}");
    let said = stage.attack(&[&open[..], &["--speedscope"]].concat());
    said.with(0).is_plain();
    serde_json::from_str::<serde_json::Value>(&said.stdout).unwrap();
}

/// Everything that a screen of ours may send: itself, places, styles.
fn on_a_screen(drawn: &str) -> String {
    let known =
        regex::Regex::new("\x1b\\[(\\?(1049|25|1000|1006|7)[hl]|2J|K|[0-9]+;1H|([0-9;]*)m)")
            .unwrap();
    known.replace_all(drawn, "").replace("\r\n", "\n")
}

fn a_flame_graph_on_a_terminal(stage: &Stage) {
    let file = profile(stage);
    let line = format!("stty rows 24 cols 200; {BINARY} pprof open {file} --flame");
    let mut terminal = stage.program("script");
    terminal
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped());
    let out = stage.home.join("drawn");
    terminal.stdout(std::fs::File::create(&out).unwrap());
    let mut child = terminal.spawn().unwrap();
    let drawn = || String::from_utf8_lossy(&std::fs::read(&out).unwrap()).into_owned();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !drawn().contains("\\x1b]52") {
        assert!(std::time::Instant::now() < end, "{:?}", drawn());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.stdin.take().unwrap().write_all(b"q").unwrap();
    assert!(child.wait().unwrap().success());
    let left = Outcome {
        code: 0,
        stdout: on_a_screen(&drawn()),
        stderr: String::new(),
    };
    left.is_plain();
}

/// A file name cannot have a slash.
fn component(name: &str) -> String {
    name.replace('/', "|")
}

fn cluster_folders(stage: &Stage) {
    for name in [EVIL, FORGED, PWN, "\x1b[2J"] {
        let name = component(name);
        stage.write(&format!(".talos/clusters/{name}/state.yaml"), "");
        for words in [
            &["cluster", "list"][..],
            &["cluster", "status", "--name", &name],
            &["cluster", "logs", "--name", &name],
            &["cluster", "destroy", "--name", &name],
            &["cluster", "destroy", "--name", &name, "--dry-run"],
            &["cluster", "destroy", "--name", &name, "--format", "sh"],
            &["cluster", "destroy", "--name", &name, "--format", "json"],
            &["cluster", "up", "--name", &name],
        ] {
            is_not_forged(&shown(stage, words));
        }
    }
    let said = shown(stage, &["doctor"]);
    is_not_forged(&said);
    let list = shown(stage, &["cluster", "list"]);
    spelled(&list);
    assert_eq!(list.stdout.lines().count(), 4, "{}", list.stdout);
    assert!(!stage.home.join("PWN").exists());
}

/// The recorded state of a cluster `lab`, with hostile names of its nodes.
fn cluster(stage: &Stage, node: &str) {
    let text = std::fs::read_to_string(format!("{TESTDATA}/state/1.12.0/state.yaml")).unwrap();
    let quoted = serde_json::to_string(node).unwrap();
    let text = text
        .replace("/home/dev", stage.home.as_str())
        .replace("name: lab-worker-1", &format!("name: {quoted}"));
    stage.write(".talos/clusters/lab/state.yaml", text);
}

fn names_of_nodes(stage: &Stage) {
    for node in [
        format!("lab-{EVIL}"),
        format!("lab-{FORGED}"),
        EVIL.to_owned(),
    ] {
        cluster(stage, &node);
        for words in [
            &["cluster", "status", "--name", "lab"][..],
            &["cluster", "logs", "--name", "lab", "no-such-node"],
            &["cluster", "reboot", "--name", "lab", "--all"],
            &["cluster", "reboot", "--name", "lab", "no-such-node"],
            &["cluster", "destroy", "--name", "lab", "--dry-run"],
            &["cluster", "destroy", "--name", "lab", "--format", "sh"],
            &["pprof", "machined", "heap", "--name", "lab"],
            &["doctor", "--name", "lab"],
        ] {
            is_not_forged(&shown(stage, words));
        }
        let said = stage.attack(&["cluster", "status", "--name", "lab", "--json"]);
        said.ended().is_plain();
        serde_json::from_str::<serde_json::Value>(&said.stdout).unwrap();
    }
}

fn console_lines(stage: &Stage) {
    cluster(stage, "lab-worker-1");
    let text = format!(
        "[    0.000000] Linux version 6.12\n{EVIL}\n[    1.0] {EVIL} \x1b\n\u{9b}2J\u{202e}drow\n"
    );
    for node in ["lab-worker-1", "lab-controlplane-1"] {
        stage.write(&format!(".talos/clusters/lab/{node}.log"), &text);
    }
    let said = shown(stage, &["cluster", "logs", "--name", "lab"]);
    said.says("\\u{9b}2J\\u{202e}drow");
    shown(stage, &["cluster", "status", "--name", "lab"]);
    shown(stage, &["cluster", "reboot", "--name", "lab", "--all"]);
}

/// A checkout of Talos as far as this program looks.
fn checkout(stage: &Stage, dir: &str, makefile: &str) {
    stage.write(
        &format!("{dir}/go.mod"),
        "module github.com/siderolabs/talos\n\ngo 1.25.0\n",
    );
    stage.write(&format!("{dir}/pkg/machinery/gendata/data/tag"), "v1.12.0");
    stage.write(&format!("{dir}/Makefile"), makefile);
}

fn makefile_targets(stage: &Stage) {
    // What a name of a target can have.
    let evil = "\x1bc\u{9b}2J\x07\u{202e}drow\x08\x7f";
    let makefile = format!(
        "NAME ?= {evil}\nall: evil{evil} ## Builds {evil}.\n\t@echo {evil} $(NAME)\n\nevil{evil}:\n\techo '{evil}'\n\n## {evil}\n"
    );
    checkout(stage, "talos", &makefile);
    for words in [
        &["build", "--list"][..],
        &["build", "-n", "all"],
        &["build", "--explain", "all"],
        &["build", "--format", "sh", "all"],
        &["build", "--format", "json", "all"],
        &["build", "al"],
        &["build", &format!("no{evil}")],
        &["build", "--list", "--json"],
    ] {
        shown(stage, &[&["-C", "talos"], words].concat());
    }
    // What is printed to be run does what the recipe says, byte by byte.
    let said = stage.attack(&["-C", "talos", "build", "--format", "sh", "all"]);
    said.with(0).is_plain();
    let mut shell = stage.program("sh");
    let ran = stage.run(shell.args(["-c", &said.stdout]));
    assert!(ran.stdout.contains(evil), "{ran:?}\n{}", said.stdout);
}

fn test_names_and_folders(stage: &Stage) {
    checkout(stage, "talos", "");
    let folder = component(EVIL);
    let test = "package x\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) {\n\
        \tt.Run(\"\\x1b]52;c;eA==\\x07\\u202edrow\", func(t *testing.T) {})\n\
        \tt.Run(\"a\\nforged\", func(t *testing.T) {})\n}\n";
    stage.write(&format!("talos/{folder}/x_test.go"), test);
    stage.write("talos/plain/x_test.go", test);
    stage.write(&format!("talos/plain/{folder}_test.go"), test);
    for words in [
        &["test", "list"][..],
        &["test", "list", "./plain"],
        &["test", "list", "--explain", "TestX"],
        &["test", "list", "--explain", "TestY\x1b[2J"],
        &["test", "unit", "--dry-run"],
        &["test", "shards", "--n", "2"],
    ] {
        is_not_forged(&shown(stage, &[&["-C", "talos"], words].concat()));
    }
    let said = stage.attack(&["-C", "talos", "test", "list", "--json"]);
    said.ended().is_plain();
    serde_json::from_str::<serde_json::Value>(&said.stdout).unwrap();
}

fn reports_of_other_machines(stage: &Stage) {
    let package = format!("p{EVIL}");
    let report = serde_json::json!({
        "schema": 1,
        "counts": {"total": 1, "failed": 1},
        "shard": {
            "number": 1, "of": 1, "commit": EVIL, "platform": EVIL,
            "options": {"packages": [EVIL], "tags": [], "run": null, "sudo": "auto", "race": false,
                "timeout": null, "retries": 0, "strict": false, "allow_flaky": false,
                "go_flags": []},
            "split": [[package]], "tests": {package.clone(): [format!("Test{EVIL}")]},
        },
        "packages": [{
            "package": package, "result": "failed", "failed": [format!("Test{FORGED}")],
            "broken": EVIL, "detail": EVIL,
            "runs": [{"tests": [{"name": format!("Test{EVIL}"), "state": "failed", "output": EVIL}]}],
        }],
    });
    stage.write("legs/1.json", report.to_string());
    let said = shown(stage, &["test", "report", "--merge", "legs"]);
    is_not_forged(&said);
    spelled(&said);
    let said = stage.attack(&["test", "report", "--merge", "legs", "--json"]);
    said.ended().is_plain();
    // A file that is not a report is named with the cause.
    stage.write(&format!("odd/{}.json", component(EVIL)), "\x1b[2J");
    spelled(&shown(stage, &["test", "report", "--merge", "odd"]));
}

fn records_of_runs(stage: &Stage) {
    let ours = ".local/state/talos-xtask";
    let run = serde_json::json!({
        "schema": 1, "id": "r1", "command": ["xtask", EVIL, FORGED], "started": 1,
        "plan": {"steps": [{"why": format!("{EVIL}{FORGED}")}]},
    });
    stage.write(&format!("{ours}/runs/r1/run.json"), run.to_string());
    let event = serde_json::json!({"event": "finish", "step": 1, "ms": u64::MAX, "at": u64::MAX,
        "failure": format!("{EVIL}{FORGED}")});
    stage.write(
        &format!("{ours}/runs/r1/events.jsonl"),
        format!("{event}\n{{\"event\":\"skip\",\"step\":0,\"at\":1}}\n"),
    );
    spelled(&shown(stage, &["runs"]));
    stage.write(
        &format!("{ours}/runs/r1/step-01.log"),
        format!("{EVIL}{FORGED}"),
    );
    for words in [
        &["runs"][..],
        &["runs", "r1"],
        &["runs", "--json"],
        &["runs", "replay", "r1"],
        &["runs", "export", "r1", "--as", "html", "-n"],
        &["runs", "export", "r1", "--as", "trace", "-n"],
    ] {
        is_not_forged(&shown(stage, words));
    }
    let ledger = serde_json::json!({
        "op": "intend", "at": 1, "boot_id": "b", "run": "r",
        "resource": {"kind": "cluster", "name": FORGED, "state_dir": format!("/nowhere/{EVIL}"),
            "bridge": EVIL, "cidr": "172.20.0.0/24"},
    });
    stage.write(&format!("{ours}/ledger.jsonl"), format!("{ledger}\n"));
    is_not_forged(&shown(stage, &["doctor"]));
    is_not_forged(&shown(stage, &["doctor", "--fix", "--dry-run"]));
}

fn words_of_the_command_line(stage: &Stage) {
    for words in [
        &["cluster", EVIL][..],
        &[EVIL],
        &["runs", EVIL],
        &["-C", EVIL, "build", "x"],
        &["pprof", "open", EVIL],
        &["pprof", "open", "--diff", EVIL, EVIL],
        &["cluster", "up", "--cidr", EVIL],
        &["cluster", "up", "--memory", EVIL],
        &["cluster", "status", "--name", EVIL],
        &["registry", "ls", EVIL],
        &["proxies", "check", EVIL],
        &["embed", EVIL],
    ] {
        shown(stage, words);
    }
    stage.write(
        ".cargo/xtask.toml",
        format!("odd = \"{}\"\n", "\u{202e}\u{9b}x"),
    );
    shown(stage, &["cluster", "list"]);
}

/// Marks of an earlier process, or guessed, are text like any other.
fn forged_styles(stage: &Stage) {
    let mut name = String::new();
    for token in ["0000000000000000", "ffffffffffffffff", ""] {
        for open in ['\u{fdd0}', '\u{fdd1}', '\u{f500}', '\u{e000}'] {
            name.extend([&open.to_string(), token, "31m"]);
        }
    }
    stage.write(&format!(".talos/clusters/{name}/state.yaml"), "");
    let piped = stage.attack(&["--color", "always", "cluster", "list"]);
    piped.says("\\u{fdd0}000000000000000031m");
    let painted = piped.stdout.matches('\x1b').count();
    let only = stage.attack(&["cluster", "list"]);
    assert_eq!(only.stdout.matches('\x1b').count(), 0);
    assert_eq!(painted, 2, "one word of ours is painted: {piped:?}");
    shown(stage, &["cluster", "list"]);
}

/// Words of a line that begins with these.
fn typed(said: &Outcome, beginning: &str) -> Vec<String> {
    let text = format!("{}\n{}", said.stdout, said.stderr);
    let line = text
        .lines()
        .find_map(|line| line.find(beginning).map(|at| line[at..].to_owned()));
    let line = line.unwrap_or_else(|| panic!("no `{beginning}` in {text}"));
    shlex::split(&line).unwrap_or_else(|| panic!("no words: {line}"))
}

fn contexts_and_folders_in_cures(stage: &Stage) {
    let name = format!("{PWN}-1");
    stage.write(&format!(".talos/clusters/{PWN}/state.yaml"), "");
    let config = serde_json::json!({
        "context": "x",
        "contexts": {PWN: {"endpoints": ["10.0.0.1"]}, name.as_str(): {"endpoints": ["10.0.0.2"]}},
    });
    stage.write(".talos/config", config.to_string());
    let said = shown(stage, &["doctor"]);
    let words = typed(&said, "talosctl config remove");
    assert_eq!(words[3], PWN);
    let said = shown(stage, &["cluster", "status", "--name", PWN]);
    let words = typed(&said, "xtask cluster destroy");
    assert_eq!(words[3..5], ["--name", PWN]);
    // The whole line, by a shell.
    let dir = stage.dir(PWN);
    let said = shown(stage, &["-C", dir.as_str(), "runs", "nothing"]);
    let hint = said.stderr.lines().last().unwrap();
    let line = hint.strip_prefix("hint: ").unwrap();
    let mut shell = stage.program("sh");
    stage.run(shell.args(["-c", line])).with(0);
    assert!(!stage.home.join("PWN").exists());
}

fn a_checkout_to_embed_into(stage: &Stage) {
    checkout(stage, PWN, "");
    let said = stage.attack(&["embed", PWN]);
    if said.code != 0 {
        // The sources are not visible for this user here.
        said.with(3).is_plain();
        return;
    }
    let next: Vec<&str> = said
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("  next: "))
        .collect();
    assert!(!next.is_empty(), "{said:?}");
    for line in next {
        let line = line.split("   (").next().unwrap();
        // Without cargo: only the shell's part of it counts.
        let line = line.replace("cargo xtask doctor", "true");
        let mut shell = stage.program("sh");
        shell.args(["-c", &line]).current_dir(&stage.home);
        stage.run(&mut shell);
    }
    assert!(!stage.home.join("PWN").exists());
}
