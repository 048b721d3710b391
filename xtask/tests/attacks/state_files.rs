//! State, settings, ledger and records: files in their place that are none, and
//! links where a file of ours is to be.

use std::os::unix::fs::{PermissionsExt, chown, symlink};

use camino::{Utf8Path, Utf8PathBuf};

use crate::Case;
use crate::room::{BYSTANDER, TESTDATA, UID};
use crate::stage::{Identity, Outcome, Stage};

const STATE: &str = ".local/state/talos-xtask";

/// Every thing that a reader may meet in place of a file, one after the other,
/// and the expected message.
fn in_place_of(stage: &Stage, file: &str, look: impl Fn(&str)) {
    let clear = |path: &Utf8Path| {
        if path.symlink_metadata().is_ok_and(|it| it.is_dir()) {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            let _ = std::fs::remove_file(path);
        }
    };
    let path = stage.fifo_at(file, &clear);
    look("a FIFO");
    clear(&path);
    stage.link(file, "/dev/zero");
    look("");
    clear(&path);
    let socket = std::os::unix::net::UnixListener::bind(short(&path)).unwrap();
    look("a socket");
    drop(socket);
    clear(&path);
    stage.dir(file);
    look("a folder");
    clear(&path);
    stage.write(file, "");
    let sparse = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    sparse.set_len(3 << 30).unwrap();
    look("larger than");
    clear(&path);
    stage.link(file, "/does/not/exist");
    look("");
    clear(&path);
}

/// A socket's path has 107 bytes at most.
fn short(path: &Utf8Path) -> Utf8PathBuf {
    std::env::set_current_dir(path.parent().unwrap()).unwrap();
    path.file_name().unwrap().into()
}

impl Stage {
    fn fifo_at(&self, file: &str, clear: &impl Fn(&Utf8Path)) -> Utf8PathBuf {
        clear(&self.home.join(file));
        self.fifo(file)
    }
}

/// An error that names the file, and no other end.
fn names(said: &Outcome, file: &str, why: &str) {
    said.ended().says(file).says(why);
    assert_ne!(said.code, 0, "{said:?}");
}

fn talos(stage: &Stage) {
    stage.write(
        "talos/go.mod",
        "module github.com/siderolabs/talos\n\ngo 1.24\n",
    );
    stage.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0");
    stage.write("talos/Makefile", "all:\n\ttrue\n");
}

fn cluster(stage: &Stage) {
    let text = std::fs::read_to_string(format!("{TESTDATA}/state/1.12.0/state.yaml")).unwrap();
    let text = text.replace("/home/dev", stage.home.as_str());
    stage.write(".talos/clusters/lab/state.yaml", text);
}

/// Root with the HOME of another user, as `sudo -E` has it; for the user the
/// HOME is their own.
fn home_of_a_user(stage: &Stage) {
    fn give(path: &Utf8Path) {
        std::os::unix::fs::lchown(path, Some(UID), Some(UID)).unwrap();
        if path.symlink_metadata().unwrap().is_dir() {
            for entry in path.read_dir_utf8().unwrap() {
                give(entry.unwrap().path());
            }
        }
    }
    give(&stage.home);
}

/// A file that only root may write, and no test may change here.
fn treasure(stage: &Stage) -> Utf8PathBuf {
    let path = stage.others.join("root/secret");
    if stage.identity == Identity::User {
        // What the user can follow to, and must not want to.
        let own = stage.write("precious", "mine, from before");
        stage.freeze(&own);
        return own;
    }
    path
}

/// A plan of one step, by the command that carries out plans.
fn run_plan(stage: &Stage) -> Outcome {
    let plan = serde_json::json!({
        "title": "t", "notes": [], "steps": [{"why": "a step", "action": {"do": "run", "argv": ["true"]}}],
    });
    let path = stage.write("plan.json", plan.to_string());
    let file = std::fs::File::open(path).unwrap();
    stage.run(stage.xtask(&["internal", "run-plan"]).stdin(file))
}

pub const CASES: &[Case] = &[
    Case {
        name: "a_ledger_that_cannot_be_read",
        kind: "what cannot be read counts as absent",
        attack: |stage| {
            cluster(stage);
            stage.freeze(stage.home.join(".talos"));
            in_place_of(stage, &format!("{STATE}/ledger.jsonl"), |why| {
                let destroy = ["cluster", "destroy", "--name", "lab", "--yes"];
                names(&stage.attack(&destroy), "ledger.jsonl", why);
                names(&run_plan(stage), "ledger.jsonl", why);
                stage.attack(&["doctor"]).ended().says("ledger.jsonl");
            });
        },
    },
    Case {
        name: "a_state_that_cannot_be_read",
        kind: "what cannot be read counts as absent",
        attack: |stage| {
            cluster(stage);
            in_place_of(stage, ".talos/clusters/lab/state.yaml", |why| {
                let said = stage.attack(&["cluster", "status", "--name", "lab"]);
                said.ended().says("state.yaml").says(why);
                let destroy = ["cluster", "destroy", "--name", "lab", "--yes"];
                names(&stage.attack(&destroy), "state.yaml", why);
            });
        },
    },
    Case {
        name: "settings_that_cannot_be_read",
        kind: "what cannot be read counts as absent",
        attack: |stage| {
            in_place_of(stage, ".cargo/xtask.toml", |why| {
                names(&stage.attack(&["doctor"]), ".cargo/xtask.toml", why);
            });
        },
    },
    Case {
        name: "a_version_that_cannot_be_read",
        kind: "what cannot be read counts as absent",
        attack: |stage| {
            talos(stage);
            let tag = "talos/pkg/machinery/gendata/data/tag";
            in_place_of(stage, tag, |why| {
                let words = ["-C", "talos", "test", "list"];
                names(&stage.attack(&words), tag, why);
            });
        },
    },
    Case {
        name: "a_makefile_that_cannot_be_read",
        kind: "what is opened is not what it seems",
        attack: |stage| {
            talos(stage);
            in_place_of(stage, "talos/Makefile", |why| {
                let words = ["-C", "talos", "build", "-n", "all"];
                names(&stage.attack(&words), "Makefile", why);
            });
        },
    },
    Case {
        name: "a_dockerfile_that_cannot_be_read",
        kind: "what cannot be read counts as absent",
        attack: |stage| {
            talos(stage);
            stage.write(
                "talos/a/a_test.go",
                "package a\nimport \"testing\"\nfunc TestA(t *testing.T) {}\n",
            );
            in_place_of(stage, "talos/Dockerfile", |why| {
                let words = ["-C", "talos", "test", "unit", "-n"];
                names(&stage.attack(&words), "Dockerfile", why);
            });
        },
    },
    Case {
        name: "configs_that_cannot_be_read",
        kind: "what cannot be read counts as absent",
        attack: |stage| {
            cluster(stage);
            for file in [".talos/config", ".kube/config"] {
                in_place_of(stage, file, |_| {
                    let words = ["cluster", "destroy", "--name", "lab", "--dry-run"];
                    stage.attack(&words).ended().says(file);
                });
            }
        },
    },
    Case {
        name: "a_console_that_is_none",
        kind: "what is opened is not what it seems",
        attack: |stage| {
            cluster(stage);
            in_place_of(stage, ".talos/clusters/lab/lab-worker-1.log", |_| {
                let status = ["cluster", "status", "--name", "lab"];
                stage.attack(&status).ended();
            });
            let console = ".talos/clusters/lab/lab-worker-1.log";
            stage.fifo(console);
            let logs = ["cluster", "logs", "--name", "lab", "lab-worker-1"];
            names(&stage.attack(&logs), "lab-worker-1.log", "a FIFO");
        },
    },
    Case {
        name: "a_console_of_three_gigabytes",
        kind: "memory without a bound",
        attack: |stage| {
            cluster(stage);
            let path = stage.write(".talos/clusters/lab/lab-worker-1.log", "");
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(3 << 30).unwrap();
            let logs = [
                "cluster",
                "logs",
                "--name",
                "lab",
                "--lines",
                "1",
                "lab-worker-1",
            ];
            stage.attack(&logs).with(0).says("this is its end");
        },
    },
    Case {
        name: "records_that_cannot_be_read",
        kind: "what cannot be read counts as absent",
        attack: |stage| {
            run_plan(stage).with(0);
            let runs = stage.home.join(STATE).join("runs");
            let id = runs.read_dir_utf8().unwrap().next().unwrap().unwrap();
            let dir = format!("{STATE}/runs/{}", id.file_name());
            for file in ["run.json", "events.jsonl"] {
                in_place_of(stage, &format!("{dir}/{file}"), |why| {
                    names(&stage.attack(&["runs", "latest"]), file, why);
                    stage.attack(&["runs"]).with(0).says(file).says(why);
                });
                stage.write(&format!("{dir}/{file}"), "{}");
            }
        },
    },
    Case {
        name: "results_and_pushes_that_cannot_be_read",
        kind: "what cannot be read counts as absent",
        attack: |stage| {
            talos(stage);
            stage.write(
                "talos/a/a_test.go",
                "package a\nimport \"testing\"\nfunc TestA(t *testing.T) {}\n",
            );
            in_place_of(stage, &format!("{STATE}/tests/history.json"), |why| {
                let said = stage.attack(&["-C", "talos", "test", "list"]);
                said.with(0).says("TestA").says("history.json").says(why);
            });
            in_place_of(stage, &format!("{STATE}/images.jsonl"), |why| {
                names(&stage.attack(&["images"]), "images.jsonl", why);
            });
        },
    },
    Case {
        name: "a_lock_that_is_a_link",
        kind: "a link is followed as root",
        attack: |stage| {
            cluster(stage);
            let treasure = treasure(stage);
            for lock in ["cluster-lab", "registries"] {
                stage.link(&format!("{STATE}/{lock}.lock"), &treasure);
            }
            home_of_a_user(stage);
            let destroy = ["cluster", "destroy", "--name", "lab", "--yes"];
            names(&stage.attack(&destroy), "cluster-lab.lock", "");
        },
    },
    Case {
        name: "a_ledger_that_is_a_link",
        kind: "a link is followed as root",
        attack: |stage| {
            let treasure = treasure(stage);
            stage.link(&format!("{STATE}/ledger.jsonl"), &treasure);
            home_of_a_user(stage);
            names(&run_plan(stage), "ledger.jsonl", "is a link");
        },
    },
    Case {
        name: "runs_that_are_a_link",
        kind: "a link is followed as root",
        attack: |stage| {
            // Its oldest entries would be taken for old records, and removed.
            let folder = stage.others.join("shared");
            for age in 0..200 {
                let dir = folder.join(format!("{age:011x}-run"));
                std::fs::create_dir(&dir).unwrap();
                chown(&dir, Some(stage.identity.uid()), None).unwrap();
            }
            stage.freeze(&folder);
            stage.link(&format!("{STATE}/runs"), &folder);
            home_of_a_user(stage);
            names(&run_plan(stage), "runs", "is a link");
            let names = folder.read_dir_utf8().unwrap().count();
            assert_eq!(names, 202, "a record was made in it");
        },
    },
    Case {
        name: "a_state_folder_that_is_a_link",
        kind: "a link is followed as root",
        attack: |stage| {
            let folder = stage.others.join("root");
            for above in [".local", ".local/state", STATE] {
                stage.link(above, &folder);
                home_of_a_user(stage);
                let said = run_plan(stage);
                names(&said, "", "");
                std::fs::remove_file(stage.home.join(above)).unwrap();
            }
            assert_eq!(folder.read_dir_utf8().unwrap().count(), 1);
        },
    },
    Case {
        name: "a_folder_of_results_that_is_a_link",
        kind: "a link is followed as root",
        attack: |stage| {
            talos(stage);
            let folder = stage.others.join("shared");
            for linked in [&format!("{STATE}/tests"), ".cache/talos-xtask/tests"] {
                stage.link(linked, &folder);
            }
            home_of_a_user(stage);
            stage
                .attack(&["-C", "talos", "test", "list"])
                .with(0)
                .says("tests");
            let names = folder.read_dir_utf8().unwrap().count();
            assert_eq!(names, 2, "a cache was made in it");
        },
    },
    Case {
        name: "a_second_name_of_a_file_of_roots",
        kind: "a link is followed as root",
        attack: |stage| {
            if stage.identity == Identity::User {
                // The user's rights end at their own files.
                return;
            }
            let folder = stage.dir(STATE);
            // As where the kernel lets everybody link everything.
            let secret = stage.root.join("secret");
            std::fs::write(&secret, "root's, from before").unwrap();
            std::fs::hard_link(&secret, folder.join("ledger.jsonl")).unwrap();
            std::fs::hard_link(&secret, folder.join("cluster-lab.lock")).unwrap();
            cluster(stage);
            home_of_a_user(stage);
            std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
            chown(&secret, Some(0), Some(0)).unwrap();
            stage.freeze(&secret);
            let destroy = ["cluster", "destroy", "--name", "lab", "--yes"];
            names(&stage.attack(&destroy), "cluster-lab.lock", "hard link");
        },
    },
    Case {
        name: "a_set_of_profiles_with_a_name_of_its_own",
        kind: "a claim decides what is removed",
        attack: |stage| {
            let victim = stage.write("victim/file", "mine, from before");
            stage.freeze(victim.parent().unwrap());
            for number in 0..100 {
                let id = "../../../../victim";
                let set = serde_json::json!({"id": id, "entries": [], "schema": 1});
                stage.write(
                    &format!("{STATE}/pprof/{number}/index.json"),
                    set.to_string(),
                );
            }
            stage.attack(&["pprof", "list"]).ended();
        },
    },
    Case {
        name: "a_git_whose_child_keeps_the_pipe",
        kind: "waiting for the holder of a pipe",
        attack: |stage| {
            talos(stage);
            std::fs::remove_file(stage.home.join("talos/pkg/machinery/gendata/data/tag")).unwrap();
            let script = "#!/bin/sh\nsetsid sleep 300 &\necho v1.12.0\n";
            let git = stage.write("bin/git", script);
            std::fs::set_permissions(git, PermissionsExt::from_mode(0o755)).unwrap();
            let path = format!(
                "{}:{}",
                stage.home.join("bin"),
                std::env::var("PATH").unwrap()
            );
            let mut command = stage.xtask(&["-C", "talos", "test", "list"]);
            stage.run(command.env("PATH", path)).with(0);
        },
    },
    Case {
        name: "a_file_of_another_user_in_place_of_ours",
        kind: "what cannot be read counts as absent",
        attack: |stage| {
            if stage.identity == Identity::Root {
                return;
            }
            let path = stage.write(&format!("{STATE}/ledger.jsonl"), "");
            chown(&path, Some(BYSTANDER), Some(BYSTANDER)).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            names(&run_plan(stage), "ledger.jsonl", "Permission denied");
            let other = stage.others.join("bystander");
            symlink(&other, stage.home.join("elsewhere")).unwrap();
        },
    },
];
