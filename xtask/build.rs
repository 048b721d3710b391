//! `include_dir!` notices changed files, not new ones: this does.

fn main() {
    println!("cargo:rerun-if-changed=lab");
}
