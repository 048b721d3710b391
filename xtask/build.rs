//! `include_dir!` notices changed files, not new ones: this does.

#[expect(clippy::disallowed_macros, reason = "for cargo")]
fn main() {
    println!("cargo:rerun-if-changed=lab");
}
