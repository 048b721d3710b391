//! Names of all forms, and builds that differ.

use super::*;

fn sources(dir: &Utf8Path) -> Sources {
    let go = OnceCell::new();
    go.set(GoDirs {
        modules: Some(dir.join("mod")),
        root: Some(dir.join("go")),
    })
    .unwrap();
    Sources {
        modules: vec![Module {
            path: TALOS.into(),
            dir: dir.join("talos"),
        }],
        checkout: None,
        cwd: dir.join("elsewhere"),
        home: None,
        search: Vec::new(),
        trim: Vec::new(),
        go,
        found: RefCell::default(),
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // a tree to find things in
fn names_of_all_kinds_lead_to_files_here() {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(dir.path()).unwrap();
    let make = |file: &str| {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, file.as_str()).unwrap();
    };
    make("talos/internal/app/machined/main.go");
    make("talos/pkg/machinery/config/config.go");
    make("mod/github.com/!azure/go@v1.2.3/x.go");
    make("mod/golang.org/x/net@v0.1.0/http2/h.go");
    make("go/src/runtime/proc.go");
    let sources = sources(root);
    for (name, want) in [
        (
            "github.com/siderolabs/talos/internal/app/machined/main.go",
            "talos/internal/app/machined/main.go",
        ),
        (
            "github.com/siderolabs/talos/pkg/machinery@v1.13.0-alpha.0/config/config.go",
            "talos/pkg/machinery/config/config.go",
        ),
        // In the image's module cache, and with -trimpath.
        (
            "/.cache/mod/golang.org/x/net@v0.1.0/http2/h.go",
            "mod/golang.org/x/net@v0.1.0/http2/h.go",
        ),
        (
            "github.com/Azure/go@v1.2.3/x.go",
            "mod/github.com/!azure/go@v1.2.3/x.go",
        ),
        ("/opt/go/src/runtime/proc.go", "go/src/runtime/proc.go"),
        ("runtime/proc.go", "go/src/runtime/proc.go"),
        (
            "/go/pkg/mod/golang.org/toolchain@v0.0.1-go1.26.1.linux-amd64/src/runtime/proc.go",
            "go/src/runtime/proc.go",
        ),
    ] {
        let lines = sources.read(name).unwrap();
        assert_eq!(lines, [root.join(want).as_str()], "{name}");
    }
    let error = sources.read("/src/nowhere.go").unwrap_err();
    assert!(error.contains("/src/nowhere.go"), "{error}");
    let moved = sources.moved();
    let ours = moved.iter().find(|(theirs, _)| theirs == "/opt");
    assert_eq!(ours.map(|(_, ours)| ours.clone()), Some(root.to_owned()));
}

#[test]
fn another_commit_is_told_apart_from_the_same_with_changes() {
    let builds = |text: &str| vec![text.to_owned()];
    let (tag, later) = ("v1.12.0", "v1.12.0-3-gabc1234");
    assert_eq!(differs(&builds(tag), tag), None);
    assert_eq!(differs(&builds(later), "v1.12.0-3-gabc1234-dirty"), None);
    assert_eq!(differs(&builds(later), tag), Some(later));
    assert_eq!(differs(&[], tag), None);
    assert_eq!(commit_of("v1.12.0-3-gabc1234-dirty"), "abc1234");
    assert_eq!(commit_of("v1.12.0-alpha.1"), "v1.12.0-alpha.1");
}
