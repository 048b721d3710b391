//! Sections of a module, and the interpreter of a program.

use std::collections::{BTreeMap, BTreeSet};

use object::read::elf::{ElfFile64, FileHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol};

/// Why a file is not a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    #[error("it is not an ELF file: {0}")]
    NotElf(String),
    #[error("it has no section .modinfo")]
    NoModinfo,
}

/// What modinfo shows, and symbols.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Module {
    /// Go's name of the architecture, or the number of the ELF header.
    pub architecture: String,
    pub name: String,
    pub vermagic: String,
    /// Names of modules, with `_` for `-`.
    pub depends: Vec<String>,
    pub firmware: Vec<String>,
    /// Symbols that it exports to other modules.
    pub exports: BTreeSet<String>,
    /// Symbols that it needs from the kernel or from other modules.
    pub imports: BTreeSet<String>,
    /// Checksums of the symbols that it was built against.
    pub versions: BTreeMap<String, u32>,
}

impl Module {
    /// # Errors
    /// If it is not a module.
    pub fn parse(bytes: &[u8]) -> Result<Self, ModuleError> {
        let file = ElfFile64::<Endianness>::parse(bytes)
            .map_err(|error| ModuleError::NotElf(error.to_string()))?;
        let machine = file.elf_header().e_machine(file.endian());
        let modinfo = file
            .section_by_name(".modinfo")
            .and_then(|section| section.data().ok())
            .ok_or(ModuleError::NoModinfo)?;
        let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for field in modinfo.split(|byte| *byte == 0) {
            if let Ok(field) = std::str::from_utf8(field)
                && let Some((key, value)) = field.split_once('=')
            {
                fields.entry(key).or_default().push(value);
            }
        }
        let first = |key: &str| {
            let value = fields.get(key).and_then(|values| values.first());
            value.map_or("", |value| value).to_owned()
        };
        let mut module = Self {
            architecture: architecture(machine),
            name: normalized(&first("name")),
            vermagic: first("vermagic"),
            depends: first("depends")
                .split(',')
                .filter(|name| !name.is_empty())
                .map(normalized)
                .collect(),
            firmware: fields
                .get("firmware")
                .into_iter()
                .flatten()
                .map(|it| (*it).to_owned())
                .collect(),
            ..Self::default()
        };
        let versions = file.section_by_name("__versions");
        if let Some(bytes) = versions.and_then(|section| section.data().ok()) {
            module.versions = versions_in(bytes);
        }
        for symbol in file.symbols() {
            let Ok(name) = symbol.name() else { continue };
            if let Some(exported) = name.strip_prefix("__ksymtab_") {
                module.exports.insert(exported.to_owned());
            } else if symbol.is_undefined() && !symbol.is_weak() && !name.is_empty() {
                module.imports.insert(name.to_owned());
            }
        }
        Ok(module)
    }
}

/// `struct modversion_info`: a checksum in eight bytes, then the symbol's name.
fn versions_in(bytes: &[u8]) -> BTreeMap<String, u32> {
    const ENTRY: usize = 64;
    let entries = bytes.chunks_exact(ENTRY).filter_map(|entry| {
        let (checksum, name) = entry.split_at(8);
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = std::str::from_utf8(name).ok()?;
        // Both architectures are little-endian, and four bytes are used.
        let checksum = u32::from_le_bytes(*checksum.first_chunk()?);
        Some((name.to_owned(), checksum))
    });
    entries.collect()
}

/// The kernel takes `-` and `_` as the same.
pub(crate) fn normalized(name: &str) -> String {
    name.trim().replace('-', "_")
}

fn architecture(machine: object::elf::Machine) -> String {
    match machine {
        object::elf::EM_X86_64 => "amd64".to_owned(),
        object::elf::EM_AARCH64 => "arm64".to_owned(),
        other => format!("ELF machine {}", other.0),
    }
}

/// What a program needs to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// Statically linked.
    Static {
        architecture: String,
    },
    Dynamic {
        architecture: String,
        interpreter: String,
    },
    Script {
        interpreter: String,
    },
    /// Nothing that a kernel starts, as far as its first bytes tell.
    Other,
}

/// Reads the first bytes of a program.
pub fn program(start: &[u8]) -> Program {
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let interpreter = line.split_whitespace().next().unwrap_or_default();
        return Program::Script {
            interpreter: interpreter.to_owned(),
        };
    }
    // The headers and the interpreter's name are at the start of a file; sections, which
    // are at its end, are not needed.
    let found = segments::<object::elf::FileHeader64<Endianness>>(start)
        .or_else(|| segments::<object::elf::FileHeader32<Endianness>>(start));
    match found {
        Some((machine, Some(interpreter))) => Program::Dynamic {
            architecture: architecture(machine),
            interpreter,
        },
        Some((machine, None)) => Program::Static {
            architecture: architecture(machine),
        },
        None => Program::Other,
    }
}

/// The machine and the interpreter, if the file is an ELF of this class. `None` also if
/// the interpreter's name is not among the first bytes, as patchelf moves it.
fn segments<H: FileHeader<Endian = Endianness>>(
    start: &[u8],
) -> Option<(object::elf::Machine, Option<String>)> {
    use object::read::elf::ProgramHeader;
    let header = H::parse(start).ok()?;
    let endian = header.endian().ok()?;
    let mut interpreter = None;
    for segment in header.program_headers(endian, start).ok()? {
        if let Some(name) = segment.interpreter(endian, start).ok()? {
            interpreter = Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    Some((header.e_machine(endian), interpreter))
}
