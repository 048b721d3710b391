//! On a terminal: what is drawn, and that the terminal is given back.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::{Home, skip, within};
use crate::node::{ask, corpus, healthy};

const SOON: Duration = Duration::from_secs(30);

/// A program with a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    drawn: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// None where util-linux' `script` is missing.
    fn start(test: &str, home: &Home, line: &str) -> Option<Self> {
        // What the terminal is set to before and after must be the same.
        let line = format!(
            "stty rows 24 cols 80; stty -g >{0}/before; {line}; echo $? >{0}/code; stty -g >{0}/after",
            home.root
        );
        let child = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("HOME", &home.root)
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .env_remove("XDG_STATE_HOME")
            .current_dir(&home.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else {
            skip(test, "no `script` of util-linux");
            return None;
        };
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let (mut out, into) = (child.stdout.take().unwrap(), Arc::clone(&drawn));
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Some(Self {
            keyboard: child.stdin.take().unwrap(),
            child,
            drawn,
            reader,
        })
    }

    fn drawn(&self) -> String {
        String::from_utf8_lossy(&self.drawn.lock().unwrap()).into_owned()
    }

    fn waits_for(&self, text: &str) {
        let seen = within(SOON, || self.drawn().contains(text));
        assert!(seen, "no `{text}` in {:?}", self.drawn());
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// What the program ended with.
    fn ends(mut self, home: &Home) -> i32 {
        let ended = within(SOON, || self.child.try_wait().unwrap().is_some());
        if !ended {
            let _ = self.child.kill();
        }
        assert!(within(SOON, || self.reader.is_finished()), "all is read");
        assert!(ended, "it does not end: {:?}", self.drawn());
        let read = |name: &str| std::fs::read_to_string(home.path(name)).unwrap();
        assert_eq!(read("before"), read("after"), "the terminal is as it was");
        let drawn = self.drawn();
        for (on, off) in [
            ("\x1b[?1049h", "\x1b[?1049l"),
            ("\x1b[?25l", "\x1b[?25h"),
            ("\x1b[?1000h", "\x1b[?1000l"),
            ("\x1b[?7l", "\x1b[?7h"),
        ] {
            let (begun, ended) = (drawn.rfind(on), drawn.rfind(off));
            assert!(begun.is_some() && begun < ended, "{on:?} is taken back");
        }
        read("code").trim().parse().unwrap()
    }
}

fn flame() -> String {
    let xtask = env!("CARGO_BIN_EXE_xtask");
    format!("{xtask} pprof open {} --flame", corpus("cpu.pb.gz"))
}

#[test]
fn a_flame_graph_is_drawn_searched_and_left() {
    let home = Home::new();
    let test = "a_flame_graph_is_drawn_searched_and_left";
    let Some(mut terminal) = Terminal::start(test, &home, &flame()) else {
        return;
    };
    terminal.waits_for("main.(*controller).reconcile");
    terminal.waits_for("610ms");
    terminal.types("/main.fib\r");
    terminal.waits_for("160ms 26.23%");
    // A click on the row of the root, in the terminal's own words.
    terminal.types("\x1b[<0;3;2M\x1b[<0;3;2m");
    terminal.waits_for(" 610ms  100% of all");
    terminal.types("q");
    assert_eq!(terminal.ends(&home), 0);
}

#[test]
fn ctrl_c_and_a_signal_give_the_terminal_back() {
    for how in ["key", "signal"] {
        let home = Home::new();
        let line = format!("{} & echo $! >pid; wait $!", flame());
        // In the background a shell without job control takes the keyboard away:
        // only the key needs it.
        let line = if how == "key" { flame() } else { line };
        let test = "ctrl_c_and_a_signal_give_the_terminal_back";
        let Some(mut terminal) = Terminal::start(test, &home, &line) else {
            return;
        };
        terminal.waits_for("reconcile");
        if how == "key" {
            terminal.types("\x03");
        } else {
            let pid = std::fs::read_to_string(home.path("pid")).unwrap();
            let sent = Command::new("kill").args(["-TERM", pid.trim()]).status();
            assert!(sent.unwrap().success());
        }
        assert_eq!(terminal.ends(&home), 130, "{how}");
    }
}

#[test]
fn a_watch_fills_the_screen_and_q_quits() {
    let home = Home::new();
    let node = healthy("heap.pb.gz");
    let command = ask(
        &home,
        &["machined", "heap", "--watch", "--every", "1s"],
        &[&node],
    );
    let words = command.get_args().map(|word| word.to_str().unwrap());
    let line = format!(
        "{} {}",
        env!("CARGO_BIN_EXE_xtask"),
        words.collect::<Vec<_>>().join(" ")
    );
    let test = "a_watch_fills_the_screen_and_q_quits";
    let Some(mut terminal) = Terminal::start(test, &home, &line) else {
        return;
    };
    terminal.waits_for("main.(*controller).reconcile");
    terminal.waits_for("by cum");
    terminal.types("c");
    terminal.waits_for("by flat");
    terminal.types("q");
    assert_eq!(terminal.ends(&home), 0);
}

#[test]
fn without_a_terminal_it_says_what_works() {
    let home = Home::new();
    // A session of its own has no terminal.
    let output = Command::new("setsid")
        .arg("--wait")
        .args(flame().split(' '))
        .env("HOME", &home.root)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = crate::common::said(&output);
    assert_eq!(told.code, Some(2), "{}", told.stderr);
    assert!(told.stderr.contains("--web"), "{}", told.stderr);
}
