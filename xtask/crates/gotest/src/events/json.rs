//! A line of `go test -json`, Go 1.20 and later. What it means is in
//! `go doc test2json` and `go help buildjson`.

use serde::Deserialize;

use super::{End, Event, What};

/// What one line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// In a package.
    Event(String, Event),
    /// The package begins.
    Start(String),
    /// The package has ended, with its seconds and what could not be built.
    End {
        package: String,
        end: End,
        seconds: Option<f64>,
        failed_build: Option<String>,
    },
    /// The compiler's words about a package.
    Build { package: String, output: String },
    /// The package cannot be built.
    BuildFailed { package: String },
    /// It is no event: what somebody printed in between, or one that was cut.
    Other(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Said {
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

/// Read one line, without its newline.
pub fn parse_line(line: &[u8]) -> Line {
    let other = || Line::Other(String::from_utf8_lossy(line).into_owned());
    let Ok(said) = serde_json::from_slice::<Said>(line) else {
        return other();
    };
    let output = said.output.unwrap_or_default();
    if let Some(package) = said.import_path {
        return match said.action.as_str() {
            "build-output" => Line::Build { package, output },
            "build-fail" => Line::BuildFailed { package },
            _ => other(),
        };
    }
    let Some(package) = said.package else {
        return other();
    };
    let end = match said.action.as_str() {
        "pass" => Some(End::Pass),
        "fail" => Some(End::Fail),
        "skip" => Some(End::Skip),
        "bench" => Some(End::Bench),
        _ => None,
    };
    let seconds = said.elapsed;
    let what = match (said.action.as_str(), end) {
        (_, Some(end)) if said.test.is_none() && end != End::Bench => {
            return Line::End {
                package,
                end,
                seconds,
                failed_build: said.failed_build,
            };
        }
        (_, Some(end)) => What::End(end, seconds),
        ("start", _) => return Line::Start(package),
        ("run", _) => What::Run,
        ("pause", _) => What::Pause,
        ("cont", _) => What::Continue,
        ("output", _) => What::Output(output.into_bytes()),
        ("attr", _) => {
            What::Attribute(said.key.unwrap_or_default(), said.value.unwrap_or_default())
        }
        ("artifacts", _) => What::Attribute("artifacts".to_owned(), said.path.unwrap_or_default()),
        _ => return other(),
    };
    let test = said.test;
    Line::Event(package, Event { test, what })
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
    fn what_is_no_event_is_kept() {
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
