use super::*;

fn line(run: &Run) -> String {
    run_command(run, "")
}

fn argv(words: &[&str]) -> Run {
    Run {
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
        ..Run::default()
    }
}

#[test]
fn a_shells_own_commands_are_not_used() {
    assert_eq!(line(&argv(&["echo", "-e", "x"])), "env echo -e x");
    assert_eq!(line(&argv(&["make", "x"])), "make x");
}

#[test]
fn a_folder_that_is_not_there_ends_the_step() {
    let run = Run {
        cwd: Some("/d".into()),
        also_ok: vec![1],
        ..argv(&["x"])
    };
    assert_eq!(
        line(&run),
        "( cd -- /d || exit 1; rc=0; x || rc=$?; [ $rc = 0 ] || [ $rc = 1 ] || exit $rc )"
    );
}

#[test]
fn comments_cannot_become_commands() {
    let mut plan = Plan::new("a\nrm -rf /");
    plan.note("b\r\nrm -rf /");
    plan.push(Step::run("c\nrm -rf /", ["true"]));
    let script = render(&plan);
    assert!(
        !script.lines().any(|line| line.starts_with("rm")),
        "{script}"
    );
}
