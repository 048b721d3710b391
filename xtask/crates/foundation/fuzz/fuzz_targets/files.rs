#![no_main]
//! No file that others may have written and no answer of a registry may make a
//! reader panic or hang: kubeconfigs, settings, ledgers, records of results and
//! of images, manifests.

use std::sync::LazyLock;

use camino::Utf8PathBuf;
use foundation::ctx::config::Config;
use foundation::ctx::kubeconfig::Kubeconfig;
use foundation::ctx::registry_api;
use foundation::record::images;
use foundation::ctx::ledger::Ledger;
use foundation::record::results::{Failed, History};
use foundation::shell;
use foundation::ui::text;
use libfuzzer_sys::fuzz_target;

/// One folder for all runs, each of which overwrites its files.
static FOLDER: LazyLock<Utf8PathBuf> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder for files").keep();
    let folder = Utf8PathBuf::from_path_buf(folder).expect("a folder named in UTF-8");
    std::fs::create_dir_all(folder.join(".cargo")).expect("a folder for settings");
    std::fs::create_dir_all(folder.join("talos-xtask/tests")).expect("a folder for state");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let file = FOLDER.join("file");
    let state = FOLDER.join("talos-xtask");
    for path in [
        file.clone(),
        FOLDER.join(".cargo/xtask.toml"),
        state.join("ledger.jsonl"),
        state.join("tests/history.json"),
    ] {
        std::fs::write(path, bytes).expect("a file");
    }
    if let Ok(Some(kubeconfig)) = Kubeconfig::read(&file) {
        let entries = kubeconfig.entries_of("talos-default", |_| true);
        let _ = (kubeconfig.contexts().len(), kubeconfig.has_only(&entries));
    }
    let _ = Config::load(&FOLDER);
    let _ = Ledger::in_dir(&state).live();
    let _ = (History::load(&state), Failed::load(&state, &FOLDER));
    let _ = images::read(&file);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = registry_api::parse_manifest("sha256:0", text);
    let _ = (
        Kubeconfig::host(text),
        text::escape(text),
        text::one_line(text),
    );
    let _ = shell::quote(text);
});
