//! Whether the kernel runs programs of another architecture, as builds for
//! `PLATFORM=linux/arm64` on amd64 need (`binfmt_misc`).

use camino::Utf8Path;

use crate::files;

/// The kernel's list of interpreters.
const LIST: &str = "/proc/sys/fs/binfmt_misc";

/// How programs of another architecture are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binfmt {
    /// `binfmt_misc` is not mounted.
    NotMounted,
    /// The list exists but cannot be read.
    Unreadable {
        why: String,
    },
    Absent,
    Disabled,
    /// Without the flag F the interpreter is looked up inside each container,
    /// where it does not exist.
    NotFixed {
        interpreter: String,
    },
    Ready {
        interpreter: String,
    },
}

/// QEMU's name of the Talos architecture `arch`, as in the kernel's list.
fn qemu_name(arch: &str) -> &'static str {
    match arch {
        "arm64" => "qemu-aarch64",
        _ => "qemu-x86_64",
    }
}

/// The Talos architecture that this machine does not have.
pub fn foreign(arch: &str) -> &'static str {
    if arch == "amd64" { "arm64" } else { "amd64" }
}

/// Reads how programs of `arch` are run.
pub fn probe(arch: &str) -> Binfmt {
    read_entry(Utf8Path::new(LIST), arch)
}

fn read_entry(list: &Utf8Path, arch: &str) -> Binfmt {
    let read = |name: &str| match files::read_text(&list.join(name), files::SMALL) {
        Ok(text) => Ok(text),
        Err(error) => Err(Binfmt::Unreadable {
            why: error.to_string(),
        }),
    };
    match read("status") {
        Ok(Some(status)) if status.trim() == "enabled" => {}
        Ok(_) => return Binfmt::NotMounted,
        Err(unreadable) => return unreadable,
    }
    match read(qemu_name(arch)) {
        Ok(Some(text)) => parse(&text),
        Ok(None) => Binfmt::Absent,
        Err(unreadable) => unreadable,
    }
}

/// Lines are `enabled`, `interpreter PATH` and `flags: OCF`.
fn parse(text: &str) -> Binfmt {
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    if text.lines().next() != Some("enabled") {
        return Binfmt::Disabled;
    }
    let interpreter = value("interpreter ").unwrap_or_default().to_owned();
    if value("flags:").unwrap_or_default().contains('F') {
        Binfmt::Ready { interpreter }
    } else {
        Binfmt::NotFixed { interpreter }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests prepare folders")]
mod tests {
    use super::*;

    #[test]
    fn only_a_fixed_interpreter_works_in_containers() {
        let dir = tempfile::tempdir().unwrap();
        let list = Utf8Path::from_path(dir.path()).unwrap();
        assert_eq!(read_entry(list, "arm64"), Binfmt::NotMounted);
        std::fs::write(list.join("status"), "enabled\n").unwrap();
        assert_eq!(read_entry(list, "arm64"), Binfmt::Absent);
        let entry = |text: &str| {
            std::fs::write(list.join("qemu-aarch64"), text).unwrap();
            read_entry(list, "arm64")
        };
        let interpreter = "/usr/bin/qemu-aarch64".to_owned();
        assert_eq!(
            entry("enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: POCF\noffset 0\n"),
            Binfmt::Ready {
                interpreter: interpreter.clone()
            }
        );
        assert_eq!(
            entry("enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: \n"),
            Binfmt::NotFixed { interpreter }
        );
        assert_eq!(
            entry("disabled\ninterpreter /x\nflags: F\n"),
            Binfmt::Disabled
        );
        std::fs::remove_file(list.join("qemu-aarch64")).unwrap();
        std::fs::create_dir(list.join("qemu-aarch64")).unwrap();
        assert!(matches!(
            read_entry(list, "arm64"),
            Binfmt::Unreadable { .. }
        ));
    }
}
