//! The same questions to Talos itself and to the stand-in: exit code, error, the header of a table, the fields of JSON. What
//! Talos answered is in `testdata/answers`, recorded by the test of real nodes with `XTASK_UPDATE=1`; no value is in there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Lab, TALOSCTL};

const RECORDED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/testdata/answers/talos-1.13.json"
);
const NODE: &str = "172.20.0.2";

/// What `cargo xtask` asks, and what users of talosctl do, as its words. Without `containers` and `stats`: the stand-in
/// answers that it has not got them.
const QUESTIONS: &[&str] = &[
    "dmesg",
    "get kernelmodulespecs -o json",
    "get machinestatus -o json",
    "get nodename -o json",
    "get nosuch",
    "get securitystate",
    "get securitystate -o json",
    "list --long --depth=1 /sys/module/module",
    "list /nosuch",
    "logs apid",
    "logs nosuch",
    "memory",
    "mounts",
    "processes",
    "read /nosuch",
    "read /proc",
    "read /proc/cmdline",
    "read /proc/modules",
    "read /proc/sys/kernel/osrelease",
    "read /proc/sys/kernel/random/boot_id",
    "service apid",
    "service nosuch",
    "services",
    "version",
];
/// Of these only the form of the first line counts.
const LOGS: [&str; 4] = [
    "dmesg",
    "logs apid",
    "read /proc/cmdline",
    "read /proc/modules",
];

/// All answers, by question.
pub(crate) fn ask(lab: &Lab) -> Value {
    let answers = QUESTIONS.iter().map(|question| {
        let said = lab.sh(&format!(
            "{TALOSCTL} -n {NODE} {question} >~/answer 2>~/error; echo $?; cat ~/error; printf '\\036'; cat ~/answer"
        ));
        let (code, rest) = said.split_once('\n').unwrap();
        let (error, answer) = rest.split_once('\u{1e}').unwrap();
        let answer = json!({
            "code": code.parse::<i32>().unwrap(),
            "error": error.trim().replace(NODE, "NODE"),
            "form": form(question, answer),
        });
        ((*question).to_owned(), answer)
    });
    answers.collect::<serde_json::Map<_, _>>().into()
}

pub(crate) fn recorded() -> Value {
    serde_json::from_slice(&std::fs::read(RECORDED).unwrap()).unwrap()
}

pub(crate) fn record(answers: &Value) {
    std::fs::write(RECORDED, format!("{answers:#}\n")).unwrap();
}

/// Where `of` differs from what Talos answered: a question's other code, error or header, and fields that Talos has not.
pub(crate) fn differences(talos: &Value, of: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for question in QUESTIONS {
        let (one, other) = (&talos[question], &of[question]);
        for part in ["code", "error"] {
            if one[part] != other[part] {
                found.push(format!(
                    "{question}: {part}: {} and not {}",
                    other[part], one[part]
                ));
            }
        }
        match (one["form"].as_object(), other["form"].as_object()) {
            (Some(one), Some(other)) => {
                let unlike = other
                    .iter()
                    .filter(|(path, kind)| one.get(*path) != Some(kind));
                found.extend(unlike.map(|(path, kind)| format!("{question}: {path} is {kind}")));
            }
            _ if one["form"] == other["form"] => {}
            _ => found.push(format!(
                "{question}: {} and not {}",
                other["form"], one["form"]
            )),
        }
    }
    found
}

fn form(question: &str, answer: &str) -> Value {
    if question.ends_with("json") {
        let mut fields = BTreeMap::new();
        for document in serde_json::Deserializer::from_str(answer).into_iter::<Value>() {
            collect("", &document.unwrap(), &mut fields);
        }
        return json!(fields);
    }
    let first = answer.lines().next().unwrap_or_default();
    if LOGS.contains(&question) {
        // The node's address, and whether there is anything.
        return json!(!first.is_empty());
    }
    if question == "version" || question.starts_with("service ") {
        // One name a line.
        let names = answer
            .lines()
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| {
                let name = line.trim().split([':', ' ']).next()?;
                Some(name.to_owned()).filter(|name| !name.is_empty())
            });
        return json!(names.collect::<Vec<_>>());
    }
    if question.starts_with("read ") {
        return json!(!first.is_empty());
    }
    json!(
        first
            .split("  ")
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
    )
}

/// `spec.selinuxState`: `string`. Members of lists and maps of names share a path.
fn collect(at: &str, value: &Value, fields: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            for item in items {
                collect(&format!("{at}[]"), item, fields);
            }
            return;
        }
        Value::Object(members) => {
            for (name, member) in members {
                collect(&format!("{at}.{name}"), member, fields);
            }
            return;
        }
    };
    fields.insert(at.to_owned(), kind);
}
