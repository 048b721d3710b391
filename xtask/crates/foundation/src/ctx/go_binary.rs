//! Programs that the go command has built.

use object::Endianness;
use object::elf::{FileHeader64, NoteType};
use object::read::elf::{FileHeader, ProgramHeader};

/// The kind of Go's note (cmd/internal/buildid).
const BUILD_ID: NoteType = NoteType(4);
/// Bytes of a program that have its notes: the linker writes them right behind the headers.
pub const START: usize = 64 << 10;

/// Returns the build id that the go command has linked into a program: a hash of all that it was
/// linked from. `None` for a program without, such as with `-ldflags=-buildid=`, and for another
/// format than ELF of 64 bits.
///
/// # Arguments
/// `start`: its first bytes.
pub fn build_id(start: &[u8]) -> Option<Vec<u8>> {
    let header = FileHeader64::<Endianness>::parse(start).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, start).ok()? {
        let Ok(Some(mut notes)) = segment.notes(endian, start) else {
            continue;
        };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == b"Go" && note.n_type(endian) == BUILD_ID {
                let id = note.desc();
                return (!id.is_empty()).then(|| id.to_vec());
            }
        }
    }
    None
}
