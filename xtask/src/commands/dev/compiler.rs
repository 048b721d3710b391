//! The messages of the Go compiler in the output of a failed build, with the paths of the
//! checkout.

use regex::Regex;

/// Where the checkout is in the builder, and the name of its module.
const PREFIXES: [&str; 3] = ["/src/", MODULE, "./"];
const MODULE: &str = "github.com/siderolabs/talos/";

/// Finds them in lines as buildx or go print them.
pub(super) fn messages(lines: &[String]) -> Vec<String> {
    // buildx puts the step and the seconds before each line.
    let Ok(line) =
        Regex::new(r"^(?:#\d+ )?(?:[\d.]+ )?\s*(?:vet: )?([\w./@+-]+\.go):(\d+(?::\d+)?): (.+)$")
    else {
        return Vec::new();
    };
    let Ok(package) = Regex::new(r"^(?:#\d+ )?(?:[\d.]+ )?# ([\w./@+-]+)(?: \[.*\])?$") else {
        return Vec::new();
    };
    let mut folder: Option<&str> = None;
    let mut found = Vec::new();
    for text in lines {
        if let Some(captures) = package.captures(text) {
            let path = captures.get(1).map_or("", |it| it.as_str());
            folder = path.strip_prefix(MODULE);
        } else if let Some(captures) = line.captures(text) {
            let part = |at| captures.get(at).map_or("", |it| it.as_str());
            let mut path = part(1).to_owned();
            // Paths of go are relative to the folder in which it was started.
            let name = path.rsplit('/').next().unwrap_or_default();
            if let Some(folder) = folder.filter(|_| !path.starts_with('/')) {
                path = format!("{folder}/{name}");
            }
            for prefix in PREFIXES {
                if let Some(rest) = path.strip_prefix(prefix) {
                    path = rest.to_owned();
                }
            }
            found.push(format!("{path}:{}: {}", part(2), part(3)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_paths_of_the_checkout() {
        let text = "\
12.30 # github.com/siderolabs/talos/internal/app/machined/pkg/runtime
12.34 ../../pkg/runtime/mode.go:12:3: undefined: foo
12.35 ./x.go:5: missing return
12.36 note: module requires Go 1.26
#25 1.2 /src/pkg/a/b.go:1:2: expected 'package'";
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let expected = [
            "internal/app/machined/pkg/runtime/mode.go:12:3: undefined: foo",
            "internal/app/machined/pkg/runtime/x.go:5: missing return",
            "pkg/a/b.go:1:2: expected 'package'",
        ];
        assert_eq!(messages(&lines), expected);
        let plain = ["main.go:7:2: declared and not used: x".to_owned()];
        assert_eq!(messages(&plain), plain);
    }
}
