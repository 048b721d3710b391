//! Lines of `go test -json`, of Go 1.20 and later, described in `go doc test2json` and
//! `go help buildjson`.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::json;

use super::{End, Event, What};

/// A line of the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// An event in the package of that import path.
    Event(String, Event),
    /// The package begins.
    Start(String),
    /// The package ends; `failed_build` is the import path that could not be built.
    End {
        package: String,
        end: End,
        seconds: Option<f64>,
        failed_build: Option<String>,
    },
    /// Output of the compiler.
    Build { package: String, output: String },
    /// The package cannot be built.
    BuildFailed { package: String },
    /// Not an event: output printed in between, or an event that was cut off.
    Other(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fields {
    action: String,
    #[serde(default)]
    package: Option<String>,
    #[serde(default)]
    import_path: Option<String>,
    #[serde(default)]
    test: Option<String>,
    #[serde(default)]
    output: Option<String>,
    #[serde(default)]
    elapsed: Option<f64>,
    #[serde(default)]
    failed_build: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    path: Option<String>,
}

/// Reads one line, without its newline.
pub fn parse_line(line: &[u8]) -> Line {
    let other = || Line::Other(String::from_utf8_lossy(line).into_owned());
    let Ok(fields) = serde_json::from_slice::<Fields>(line) else {
        return other();
    };
    let output = fields.output.unwrap_or_default();
    if let Some(package) = fields.import_path {
        return match fields.action.as_str() {
            "build-output" => Line::Build { package, output },
            "build-fail" => Line::BuildFailed { package },
            _ => other(),
        };
    }
    let Some(package) = fields.package else {
        return other();
    };
    let end = match fields.action.as_str() {
        "pass" => Some(End::Pass),
        "fail" => Some(End::Fail),
        "skip" => Some(End::Skip),
        "bench" => Some(End::Bench),
        _ => None,
    };
    let seconds = fields.elapsed;
    let what = match (fields.action.as_str(), end) {
        (_, Some(end)) if fields.test.is_none() && end != End::Bench => {
            return Line::End {
                package,
                end,
                seconds,
                failed_build: fields.failed_build,
            };
        }
        (_, Some(end)) => What::End(end, seconds),
        ("start", _) => return Line::Start(package),
        ("run", _) => What::Run,
        ("pause", _) => What::Pause,
        ("cont", _) => What::Continue,
        ("output", _) => What::Output(output.into_bytes()),
        ("attr", _) => What::Attribute(
            fields.key.unwrap_or_default(),
            fields.value.unwrap_or_default(),
        ),
        ("artifacts", _) => {
            What::Attribute("artifacts".to_owned(), fields.path.unwrap_or_default())
        }
        _ => return other(),
    };
    let test = fields.test;
    Line::Event(package, Event { test, what })
}

/// Returns the line of an event as `go test -json` prints it; without an event, the
/// package begins.
///
/// # Arguments
/// `time`: RFC 3339.
pub fn json_line(time: &str, package: &str, event: Option<&Event>) -> String {
    let mut line = json!({"Time": time, "Package": package});
    let (action, test) = match event {
        None => ("start", None),
        Some(event) => {
            let action = match &event.what {
                What::Run => "run",
                What::Pause => "pause",
                What::Continue => "cont",
                What::Output(bytes) => {
                    line["Output"] = String::from_utf8_lossy(bytes).into();
                    "output"
                }
                What::End(end, seconds) => {
                    if let Some(seconds) = seconds {
                        line["Elapsed"] = json!(seconds);
                    }
                    match end {
                        End::Pass => "pass",
                        End::Fail => "fail",
                        End::Skip => "skip",
                        End::Bench => "bench",
                    }
                }
                What::Attribute(key, value) if key == "artifacts" => {
                    line["Path"] = value.as_str().into();
                    "artifacts"
                }
                What::Attribute(key, value) => {
                    line["Key"] = key.as_str().into();
                    line["Value"] = value.as_str().into();
                    "attr"
                }
            };
            (action, event.test.as_deref())
        }
    };
    line["Action"] = action.into();
    if let Some(test) = test {
        line["Test"] = test.into();
    }
    format!("{line}\n")
}

/// Returns the lines for a build that has failed, `a/b` or `a/b [a/b.test]`, with the
/// compiler's output.
pub fn json_lines_of_build(build: &str, output: &str) -> String {
    let mut out = String::new();
    for line in output.split_inclusive('\n') {
        let line = json!({"ImportPath": build, "Action": "build-output", "Output": line});
        let _ = writeln!(out, "{line}");
    }
    let failed = json!({"ImportPath": build, "Action": "build-fail"});
    let _ = writeln!(out, "{failed}");
    out
}

/// Returns the lines for a package that cannot be tested, because `build` has failed.
pub fn json_lines_unbuilt(time: &str, package: &str, build: &str) -> String {
    let mut out = String::new();
    let failed = format!("FAIL\t{package} [build failed]\n");
    for line in [
        json!({"Time": time, "Action": "start", "Package": package}),
        json!({"Time": time, "Action": "output", "Package": package, "Output": failed}),
        json!({"Time": time, "Action": "fail", "Package": package, "Elapsed": 0, "FailedBuild": build}),
    ] {
        let _ = writeln!(out, "{line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_go_test_json_are_read() {
        let line = br#"{"Time":"2026-01-01T00:00:00Z","Action":"pass","Package":"a/b","Test":"TestA","Elapsed":0.5}"#;
        let event = Event {
            test: Some("TestA".to_owned()),
            what: What::End(End::Pass, Some(0.5)),
        };
        assert_eq!(parse_line(line), Line::Event("a/b".to_owned(), event));
        let line = br#"{"ImportPath":"a/b [a/b.test]","Action":"build-fail"}"#;
        let package = "a/b [a/b.test]".to_owned();
        assert_eq!(parse_line(line), Line::BuildFailed { package });
        let line =
            br#"{"Action":"fail","Package":"a/b","Elapsed":0,"FailedBuild":"a/b [a/b.test]"}"#;
        let Line::End {
            end, failed_build, ..
        } = parse_line(line)
        else {
            panic!("not an end");
        };
        assert_eq!(end, End::Fail);
        assert_eq!(failed_build.as_deref(), Some("a/b [a/b.test]"));
    }

    #[test]
    fn what_is_written_is_read() {
        let whats = [
            What::Run,
            What::Pause,
            What::Continue,
            What::Output(b"a\n".to_vec()),
            What::End(End::Skip, Some(0.5)),
            What::Attribute("key".to_owned(), "value".to_owned()),
            What::Attribute("artifacts".to_owned(), "/a".to_owned()),
        ];
        for what in whats {
            let event = Event {
                test: Some("TestA/b".to_owned()),
                what,
            };
            let line = json_line("2026-01-01T00:00:00Z", "a/b", Some(&event));
            let read = parse_line(line.trim_end().as_bytes());
            assert_eq!(read, Line::Event("a/b".to_owned(), event));
        }
        let line = json_line("", "a/b", None);
        let read = parse_line(line.trim_end().as_bytes());
        assert_eq!(read, Line::Start("a/b".to_owned()));
    }

    #[test]
    fn a_line_that_is_not_an_event_is_kept() {
        for line in [
            "",
            "FAIL",
            r#"{"Action":"pass","Packag"#,
            r#"{"Action":"dance","Package":"a"}"#,
            r#"{"a":1}"#,
            "[]",
        ] {
            assert_eq!(parse_line(line.as_bytes()), Line::Other(line.to_owned()));
        }
    }
}
