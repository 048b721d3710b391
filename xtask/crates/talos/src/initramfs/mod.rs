//! Which program an initramfs makes process 1: `init` of the root file system in it, as Talos
//! packs it, or its own `/init`.

mod cpio;
mod squashfs;

use std::io::{BufRead, Error, Read, Result};

/// A program's headers and notes are at its start.
const START: u64 = 64 << 10;
/// Where Talos has its init, by the layout of a version's root file system.
const INITS: [&str; 3] = ["usr/bin/init", "usr/sbin/init", "sbin/init"];

/// Returns the first bytes of the program, as many as a block of the file system has, or all.
///
/// # Arguments
/// `open`: opens the initramfs; twice, because it is too large for memory.
///
/// # Errors
/// I/O errors, and a format or compression that is not zstd, cpio and squashfs, which Talos has
/// used since 1.8.
pub fn first_program<R: BufRead>(open: impl Fn() -> Result<R>) -> Result<Vec<u8>> {
    let mut own = None;
    let mut packed = None;
    cpio::visit(open()?, |name, content| {
        match name {
            "init" => own = Some(start_of(content)?),
            "rootfs.sqsh" => packed = Some(squashfs::Tables::read(content)?),
            _ => {}
        }
        Ok(packed.is_some())
    })?;
    let Some(tables) = packed else {
        return own.ok_or_else(|| invalid("no init in the initramfs"));
    };
    let block = INITS.iter().find_map(|path| tables.find(path).transpose());
    let block = block.ok_or_else(|| invalid("no init in rootfs.sqsh"))??;
    // The start of the file is behind what a stream has passed.
    let mut found = None;
    cpio::visit(open()?, |name, content| {
        if name == "rootfs.sqsh" {
            found = Some(block.read(content)?);
        }
        Ok(found.is_some())
    })?;
    found.ok_or_else(|| invalid("rootfs.sqsh is gone"))
}

fn start_of(content: &mut dyn Read) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    content.take(START).read_to_end(&mut start)?;
    Ok(start)
}

fn skip(content: &mut dyn Read, bytes: u64) -> Result<()> {
    let skipped = std::io::copy(&mut content.take(bytes), &mut std::io::sink())?;
    if skipped < bytes {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn invalid(what: &str) -> Error {
    Error::new(std::io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by GNU cpio, mksquashfs 4.5 and zstd: an archive that is not compressed, then one with
    /// Talos' layout, in which `usr/bin/init` has 5,000 bytes, blocks of 4 KiB and a second name.
    const PACKED: &[u8] = include_bytes!("../../testdata/initramfs");

    #[test]
    fn the_program_is_that_of_the_root_file_system() {
        let program = first_program(|| Ok(PACKED)).unwrap();
        let whole: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(program, whole[..4096]);
    }

    #[test]
    fn without_a_root_file_system_it_is_that_of_the_archive() {
        // The first archive alone, with the zeros that fill its last block.
        let plain = PACKED.windows(4).position(|it| it == b"\x28\xb5\x2f\xfd");
        let program = first_program(|| Ok(&PACKED[..plain.unwrap()])).unwrap();
        assert_eq!(program, b"small\n");
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        for length in 0..110 {
            assert!(first_program(|| Ok(&PACKED[..length])).is_err(), "{length}");
        }
        for at in (0..PACKED.len()).step_by(3) {
            let mut damaged = PACKED.to_vec();
            damaged[at] ^= 0x55;
            let _ = first_program(|| Ok(&damaged[..]));
        }
    }
}
