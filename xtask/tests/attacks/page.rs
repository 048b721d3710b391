//! Names in profiles, as the page and the pictures show them. What a browser
//! makes of it is tried in `tests/pprof/page.rs`.

use crate::Case;
use crate::common::node::profile;
use crate::stage::Stage;

const NAMES: &str = "names that are read as markup";
const PLACES: &str = "files in the place of an output";

pub const CASES: &[Case] = &[
    case("names_that_end_a_script", NAMES, names_that_end_a_script),
    case("a_title_that_is_markup", NAMES, a_title_that_is_markup),
    case(
        "names_of_the_script_itself",
        NAMES,
        names_of_the_script_itself,
    ),
    case("names_in_other_forms", NAMES, names_in_other_forms),
    case("an_output_that_is_a_link", PLACES, an_output_that_is_a_link),
    case("a_stack_without_end", "depth", a_stack_without_end),
];

const fn case(name: &'static str, kind: &'static str, attack: fn(&Stage)) -> Case {
    Case { name, kind, attack }
}

const HOSTILE: [&[u8]; 7] = [
    b"</script><script>alert(1)</script>",
    b"<!--<script>",
    b"\";alert(1);//",
    b"</title><img src=x onerror=alert(1)>",
    "\u{2028}alert(1)\u{2029}".as_bytes(),
    b"\xed\xa0\x80\xff",
    b"]]>&amp;<![CDATA[",
];

/// The page of a profile in a file of this name.
fn page(stage: &Stage, name: &str, bytes: &[u8]) -> String {
    stage.write(name, bytes);
    let args = ["pprof", "open", name, "--web", "--output", "page.html"];
    stage.attack(&args).with(0);
    std::fs::read_to_string(stage.home.join("page.html")).unwrap()
}

/// Its own scripts and nothing else; loads nothing.
fn is_whole(page: &str) {
    assert_eq!(page.matches("<script").count(), 3);
    assert_eq!(page.matches("</script").count(), 3);
    for foreign in ["<!--<", "<img", "\u{2028}"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("default-src 'none'"));
}

fn names_that_end_a_script(stage: &Stage) {
    let bytes = profile(HOSTILE[0], HOSTILE[1], &HOSTILE, 1);
    is_whole(&page(stage, "x.pb", &bytes));
}

fn a_title_that_is_markup(stage: &Stage) {
    let bytes = profile(b"space", b"bytes", &HOSTILE, 1);
    is_whole(&page(stage, "<img src=x onerror=alert(1)>.pb", &bytes));
}

fn names_of_the_script_itself(stage: &Stage) {
    let own: [&[u8]; 5] = [
        b"constructor",
        b"__proto__",
        b"toString",
        b"valueOf",
        b"length",
    ];
    for unit in own {
        let page = page(stage, "x.pb", &profile(unit, unit, &own, 1));
        is_whole(&page);
        // Looked up by a name, an object answers with what it has of its own.
        assert!(!page.contains("UNITS[") && !page.contains("}[event.key]"));
    }
}

fn names_in_other_forms(stage: &Stage) {
    stage.write("x.pb", profile(HOSTILE[0], HOSTILE[1], &HOSTILE, 1));
    for form in ["--speedscope", "--firefox"] {
        let outcome = stage.attack(&["pprof", "open", "x.pb", form]);
        outcome.with(0);
        let value: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert!(value.is_object());
    }
    stage
        .attack(&["pprof", "open", "x.pb", "--svg", "--output", "x.svg"])
        .with(0);
    let svg = std::fs::read_to_string(stage.home.join("x.svg")).unwrap();
    assert!(!svg.contains("<script") && !svg.contains("<img") && !svg.contains("<![CDATA["));
    for form in [
        "--top",
        "--tree",
        "--traces",
        "--raw",
        "--folded",
        "--tags",
        "--goroutines",
    ] {
        stage
            .attack(&["pprof", "open", "x.pb", form])
            .ended()
            .is_plain();
    }
}

/// Replaced, not written through.
fn an_output_that_is_a_link(stage: &Stage) {
    stage.write("x.pb", profile(b"space", b"bytes", &[b"f"], 1));
    let secret = stage.write("secret", "from before");
    stage.freeze(&secret);
    for (form, name) in [
        ("--web", "page"),
        ("--svg", "svg"),
        ("--top", "top"),
        ("--proto", "proto"),
    ] {
        stage.link(name, &secret);
        stage
            .attack(&["pprof", "open", "x.pb", form, "--output", name])
            .with(0);
        assert!(stage.home.join(name).symlink_metadata().unwrap().is_file());
        stage.link(&format!("{name}-root"), stage.others.join("root/secret"));
        let name = format!("{name}-root");
        stage
            .attack(&["pprof", "open", "x.pb", form, "--output", &name])
            .with(0);
    }
}

fn a_stack_without_end(stage: &Stage) {
    stage.write("x.pb", profile(b"space", b"bytes", &[b"f", b"g"], 100_000));
    for form in [
        "--top",
        "--tree",
        "--web",
        "--folded",
        "--svg",
        "--firefox",
        "--goroutines",
    ] {
        let args = ["pprof", "open", "x.pb", form, "--output", "out"];
        stage.attack(&args).with(0);
    }
}
