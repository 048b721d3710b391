//! Kernel modules of a few hundred bytes, made by hand: ELF sections and a signature.

pub struct Ko {
    pub machine: u16,
    pub modinfo: Vec<(&'static str, String)>,
    pub imports: Vec<&'static str>,
    pub exports: Vec<&'static str>,
    /// Checksums of symbols.
    pub versions: Vec<(&'static str, u32)>,
    pub signer: Option<(&'static str, u8)>,
}

pub const RELEASE: &str = "6.18.1-talos";

impl Ko {
    /// A module that is as it should be.
    pub fn new(name: &'static str) -> Self {
        Self {
            machine: 62,
            modinfo: vec![
                ("name", name.into()),
                (
                    "vermagic",
                    format!("{RELEASE} SMP preempt mod_unload modversions "),
                ),
                ("depends", String::new()),
            ],
            imports: vec!["_printk"],
            exports: vec![],
            versions: vec![("module_layout", 0x1234_5678)],
            signer: Some(("Build time throw-away kernel key", 7)),
        }
    }

    pub fn set(mut self, key: &str, value: &str) -> Self {
        let field = self.modinfo.iter_mut().find(|it| it.0 == key).unwrap();
        value.clone_into(&mut field.1);
        self
    }

    pub fn build(&self) -> Vec<u8> {
        let mut bytes = elf(self);
        if let Some((signer, key)) = self.signer {
            let pkcs7 = pkcs7(signer, key);
            bytes.extend(&pkcs7);
            bytes.extend([0, 0, 2, 0, 0, 0, 0, 0]);
            bytes.extend(u32::try_from(pkcs7.len()).unwrap().to_be_bytes());
            bytes.extend(b"~Module signature appended~\n");
        }
        bytes
    }
}

/// An ELF file with `.modinfo` and a table of symbols.
fn elf(ko: &Ko) -> Vec<u8> {
    let mut modinfo = Vec::new();
    for (key, value) in &ko.modinfo {
        modinfo.extend(format!("{key}={value}\0").bytes());
    }
    let mut strings = vec![0];
    let mut symbols = vec![0; 24];
    let imports = ko.imports.iter().map(|name| ((*name).to_owned(), 0_u16));
    let exports = ko
        .exports
        .iter()
        .map(|name| (format!("__ksymtab_{name}"), 1));
    for (name, section) in imports.chain(exports) {
        symbols.extend(u32::try_from(strings.len()).unwrap().to_le_bytes());
        symbols.extend([0x10, 0]);
        symbols.extend(section.to_le_bytes());
        symbols.extend([0; 16]);
        strings.extend(name.bytes().chain([0]));
    }
    let mut versions = Vec::new();
    for (name, version) in &ko.versions {
        let mut entry = u64::from(*version).to_le_bytes().to_vec();
        entry.extend(name.bytes());
        entry.resize(64, 0);
        versions.extend(entry);
    }
    let names = b"\0.modinfo\0.symtab\0.strtab\0.shstrtab\0__versions\0";
    let mut body = Vec::new();
    let mut headers = vec![0; 64];
    let mut section = |name: u32, kind: u32, link: u32, info: u32, entry: u64, bytes: &[u8]| {
        let offset = 64 + body.len() as u64;
        for field in [name, kind] {
            headers.extend(field.to_le_bytes());
        }
        for field in [0, 0, offset, bytes.len() as u64] {
            headers.extend(field.to_le_bytes());
        }
        for field in [link, info] {
            headers.extend(field.to_le_bytes());
        }
        for field in [1, entry] {
            headers.extend(field.to_le_bytes());
        }
        body.extend(bytes);
        body.resize(body.len().next_multiple_of(8), 0);
    };
    section(1, 1, 0, 0, 0, &modinfo);
    section(10, 2, 3, 1, 24, &symbols);
    section(18, 3, 0, 0, 0, &strings);
    section(26, 3, 0, 0, 0, names);
    section(36, 1, 0, 0, 0, &versions);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(1_u16.to_le_bytes());
    file.extend(ko.machine.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for field in [0, 0, 64 + body.len() as u64] {
        file.extend(field.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for field in [64_u16, 0, 0, 64, 6, 4] {
        file.extend(field.to_le_bytes());
    }
    file.extend(body);
    file.extend(headers);
    file
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    let mut bytes = vec![tag, 0x82];
    bytes.extend(length);
    bytes.extend(value);
    bytes
}

fn pkcs7(signer: &str, key: u8) -> Vec<u8> {
    let sha512 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 3];
    let algorithm = der(0x30, &[&der(6, &[&sha512])]);
    let name = der(
        0x30,
        &[&der(6, &[&[0x55, 4, 3]]), &der(0x0c, &[signer.as_bytes()])],
    );
    let issuer = der(0x30, &[&der(0x31, &[&name])]);
    let id = der(0x30, &[&issuer, &der(2, &[&[0x1f, key]])]);
    let info = der(
        0x30,
        &[&der(2, &[&[1]]), &id, &algorithm, &der(4, &[&[0; 512]])],
    );
    let data = der(0x30, &[&der(6, &[&[1, 2]])]);
    let content = der(
        0x30,
        &[
            &der(2, &[&[1]]),
            &der(0x31, &[&algorithm]),
            &data,
            &der(0x31, &[&info]),
        ],
    );
    der(0x30, &[&der(6, &[&[1, 2, 3]]), &der(0xa0, &[&content])])
}
