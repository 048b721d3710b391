//! `include_dir!` notices changed files, not new ones: this does. `cargo xtask` compiles
//! quietly, so this also says on the terminal that the first time takes long.

use std::io::Write;

#[expect(clippy::disallowed_macros, reason = "for cargo")]
fn main() {
    println!("cargo:rerun-if-changed=lab");
    // As `.cargo/config.toml` names the profile.
    let is_quiet = std::env::var("OUT_DIR").is_ok_and(|dir| dir.contains("/xtask/build/"));
    if is_quiet {
        let _ = tell("compiling cargo xtask, which takes a minute or two the first time\n");
    }
}

/// Cargo shows what build scripts print only when they fail.
#[expect(clippy::disallowed_methods, reason = "the terminal of the user")]
fn tell(text: &str) -> std::io::Result<()> {
    let mut terminal = std::fs::OpenOptions::new().write(true).open("/dev/tty")?;
    terminal.write_all(text.as_bytes())
}
