//! Entries of a tar stream with bounded memory: the crate tar reads long names and PAX
//! records of any size into memory, so they are read here, with a limit.

use std::io::{self, Read};

use tar::{Entries, EntryType, PaxExtensions};

use crate::entry::{Entry, Kind, clean, clean_written};

/// Maximum bytes of a long name or of PAX records.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// A capability set as an extended attribute.
const CAPABILITY: &str = "SCHILY.xattr.security.capability";

/// What precedes an entry and changes it.
#[derive(Default)]
struct Extensions {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    capabilities: bool,
    sparse: bool,
}

/// Passes every entry with its content and the position of its content.
pub(crate) fn entries<R: Read>(
    entries: Entries<'_, R>,
    layer: usize,
    mut each: impl FnMut(&Entry, u64, &mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let mut extensions = Extensions::default();
    for entry in entries.raw(true) {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                extensions.path = Some(until_nul(&read_extension(&mut entry)?));
                continue;
            }
            EntryType::GNULongLink => {
                extensions.link = Some(until_nul(&read_extension(&mut entry)?));
                continue;
            }
            EntryType::XHeader => {
                let records = read_extension(&mut entry)?;
                extensions.read(&records)?;
                continue;
            }
            EntryType::XGlobalHeader => {
                // Git writes its commit there. Go's reader takes it for an entry, and so the
                // imager makes an empty file of it.
                let name = String::from_utf8_lossy(&entry.header().path_bytes()).into_owned();
                read_extension(&mut entry)?;
                let found = Entry {
                    path: clean(&name).0,
                    written: clean_written(&name),
                    climbs: false,
                    kind: Kind::File,
                    mode: 0,
                    uid: 0,
                    gid: 0,
                    size: 0,
                    capabilities: false,
                    layer,
                };
                let position = entry.raw_file_position();
                each(&found, position, &mut io::empty())?;
                continue;
            }
            _ => {}
        }
        let extensions = std::mem::take(&mut extensions);
        let header = entry.header();
        if kind == EntryType::GNUSparse || extensions.sparse {
            return Err(invalid(
                "it contains a sparse file, which no builder writes",
            ));
        }
        let size = header.entry_size()?;
        if extensions.size.is_some_and(|other| other != size) {
            // Readers disagree about such an entry, and so about all that follow.
            return Err(invalid(
                "the sizes of an entry and of its PAX record differ",
            ));
        }
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let path = extensions
            .path
            .unwrap_or_else(|| lossy(&header.path_bytes()));
        let link = extensions
            .link
            .or_else(|| header.link_name_bytes().map(|bytes| lossy(&bytes)))
            .unwrap_or_default();
        let is_dir = path.ends_with('/');
        let written = clean_written(&path);
        let (path, climbs) = clean(&path);
        let found = Entry {
            path,
            written,
            climbs,
            kind: match kind {
                EntryType::Directory => Kind::Directory,
                EntryType::Symlink => Kind::Symlink(link),
                EntryType::Link => Kind::HardLink(clean(&link).0),
                EntryType::Fifo => Kind::Fifo,
                EntryType::Char | EntryType::Block => Kind::Device,
                // As Go reads archives from before POSIX.
                _ if is_dir => Kind::Directory,
                _ => Kind::File,
            },
            mode: header.mode()? & 0o7777,
            uid: extensions.uid.map_or_else(|| header.uid(), Ok)?,
            gid: extensions.gid.map_or_else(|| header.gid(), Ok)?,
            size,
            capabilities: extensions.capabilities,
            layer,
        };
        let position = entry.raw_file_position();
        each(&found, position, &mut entry)?;
    }
    Ok(())
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn read_extension(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(LONGEST_EXTENSION + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_EXTENSION {
        return Err(invalid("a name or attribute is longer than 1 MiB"));
    }
    Ok(bytes)
}

fn until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

impl Extensions {
    fn read(&mut self, records: &[u8]) -> io::Result<()> {
        for record in PaxExtensions::new(records) {
            let record = record?;
            let value = || String::from_utf8_lossy(record.value_bytes()).into_owned();
            let number = || value().parse().ok();
            match record.key().unwrap_or_default() {
                "path" => self.path = Some(value()),
                "linkpath" => self.link = Some(value()),
                "size" => self.size = number(),
                "uid" => self.uid = number(),
                "gid" => self.gid = number(),
                CAPABILITY => self.capabilities = true,
                key if key.starts_with("GNU.sparse.") => self.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}
