//! The first block of one file of a squashfs that is read as a stream, from
//! Documentation/filesystems/squashfs.rst. Compressed by zstd only.

use std::io::{Read, Result};

use ruzstd::decoding::StreamingDecoder;

use super::{invalid, skip};

const SUPERBLOCK: usize = 96;
const MAGIC: u32 = 0x7371_7368;
const ZSTD: u16 = 6;
/// Uncompressed bytes of a block of metadata.
const METADATA: usize = 8 << 10;
const LARGEST_BLOCK: u32 = 1 << 20;
/// Inodes and folders of a root file system have some hundred KiB.
const LARGEST_TABLES: u64 = 64 << 20;

/// Inodes and folders.
pub(super) struct Tables {
    root: u64,
    /// Bytes of a block of a file.
    block: u64,
    inodes: Vec<u8>,
    folders: Vec<u8>,
}

/// Where a block of a file is.
pub(super) struct Block {
    /// From the start of the file system.
    at: u64,
    size: u32,
    is_compressed: bool,
}

/// What is at a path.
enum Inode {
    Folder {
        block: u64,
        offset: usize,
        size: usize,
    },
    File(Option<Block>),
    Other,
}

impl Tables {
    /// Reads a whole file system.
    pub(super) fn read(from: &mut dyn Read) -> Result<Self> {
        let mut superblock = [0; SUPERBLOCK];
        from.read_exact(&mut superblock)?;
        if number::<4>(&superblock, 0)? != u64::from(MAGIC) {
            return Err(invalid("not a squashfs"));
        }
        if number::<2>(&superblock, 20)? != u64::from(ZSTD) {
            return Err(invalid("a squashfs that is not compressed by zstd"));
        }
        let [inodes, folders, fragments] = [64, 72, 80].map(|at| number::<8>(&superblock, at));
        let (inodes, folders, fragments) = (inodes?, folders?, fragments?);
        let ends = [Some(fragments), number::<8>(&superblock, 48).ok()];
        let is_set = |at: &u64| *at != u64::MAX && *at > folders;
        let end = ends.into_iter().flatten().filter(is_set).min();
        let end = end.ok_or_else(|| invalid("no end of the folders"))?;
        let before = inodes.checked_sub(SUPERBLOCK as u64);
        skip(from, before.ok_or_else(|| invalid("no inodes"))?)?;
        let mut table = |from_offset: u64, until: u64| {
            let size = until
                .checked_sub(from_offset)
                .filter(|it| *it <= LARGEST_TABLES);
            let size = size.ok_or_else(|| invalid("tables in another order"))?;
            let mut table = Vec::new();
            from.take(size).read_to_end(&mut table)?;
            Ok::<_, std::io::Error>(table)
        };
        Ok(Self {
            root: number::<8>(&superblock, 32)?,
            block: number::<4>(&superblock, 12)?,
            inodes: table(inodes, folders)?,
            folders: table(folders, end)?,
        })
    }

    /// Returns the first block of a file; `None` if no file has this path, or only a part of a
    /// block, which it shares with others.
    pub(super) fn find(&self, path: &str) -> Result<Option<Block>> {
        let mut inode = self.inode(self.root)?;
        for name in path.split('/') {
            let Inode::Folder {
                block,
                offset,
                size,
            } = inode
            else {
                return Ok(None);
            };
            let Some(found) = self.entry(block, offset, size, name)? else {
                return Ok(None);
            };
            inode = self.inode(found)?;
        }
        Ok(match inode {
            Inode::File(block) => block,
            _ => None,
        })
    }

    fn inode(&self, reference: u64) -> Result<Inode> {
        let offset = usize::from((reference & 0xffff) as u16);
        // The longest inode, with one size of a block.
        let inode = metadata(&self.inodes, reference >> 16, offset, 60)?;
        let file = |start: u64, size: u64, fragment: u64, stored: u64| {
            // Without a whole block the first is in a fragment.
            let has_block = size >= self.block || fragment == 0xffff_ffff;
            let length = u32::try_from(stored & 0x00ff_ffff).unwrap_or_default();
            let is_usable = has_block && length > 0 && length <= LARGEST_BLOCK;
            Inode::File(is_usable.then_some(Block {
                at: start,
                size: length,
                is_compressed: stored & 0x0100_0000 == 0,
            }))
        };
        let folder = |block: u64, offset: u64, size: u64| Inode::Folder {
            block,
            offset: usize::try_from(offset).unwrap_or_default(),
            size: usize::try_from(size.saturating_sub(3)).unwrap_or_default(),
        };
        let at = |at: usize| number::<4>(&inode, at);
        Ok(match number::<2>(&inode, 0)? {
            1 => folder(at(16)?, number::<2>(&inode, 26)?, number::<2>(&inode, 24)?),
            8 => folder(at(24)?, number::<2>(&inode, 34)?, at(20)?),
            2 => file(at(16)?, at(28)?, at(20)?, at(32)?),
            9 => {
                let (start, size) = (number::<8>(&inode, 16)?, number::<8>(&inode, 24)?);
                file(start, size, at(44)?, at(56)?)
            }
            _ => Inode::Other,
        })
    }

    /// The reference of an entry's inode.
    fn entry(&self, block: u64, offset: usize, size: usize, name: &str) -> Result<Option<u64>> {
        let listing = metadata(&self.folders, block, offset, size)?;
        let mut at = 0;
        while at + 12 <= listing.len() {
            let (count, start) = (number::<4>(&listing, at)?, number::<4>(&listing, at + 4)?);
            at += 12;
            for _ in 0..=count {
                let offset = number::<2>(&listing, at)?;
                let length = usize::try_from(number::<2>(&listing, at + 6)?).unwrap_or_default();
                let found = listing.get(at + 8..at + 9 + length);
                if found.ok_or_else(|| invalid("a short folder"))? == name.as_bytes() {
                    return Ok(Some(start << 16 | offset));
                }
                at += 9 + length;
            }
        }
        Ok(None)
    }
}

impl Block {
    /// Reads it from the start of its file system.
    pub(super) fn read(&self, from: &mut dyn Read) -> Result<Vec<u8>> {
        skip(from, self.at)?;
        let mut stored = Vec::new();
        from.take(self.size.into()).read_to_end(&mut stored)?;
        if self.is_compressed {
            inflate(&stored, LARGEST_BLOCK.into())
        } else {
            Ok(stored)
        }
    }
}

/// Reads up to `size` bytes of a table from an offset in one of its blocks, and the blocks behind.
fn metadata(table: &[u8], block: u64, offset: usize, size: usize) -> Result<Vec<u8>> {
    let mut rest = usize::try_from(block).ok().and_then(|at| table.get(at..));
    let mut out = Vec::new();
    while let Some(block) = rest.filter(|it| it.len() > 2 && out.len() < offset + size) {
        let header = number::<2>(block, 0)?;
        let length = usize::try_from(header & 0x7fff).unwrap_or_default();
        let stored = block.get(2..2 + length);
        let stored = stored.ok_or_else(|| invalid("a short block of metadata"))?;
        if header & 0x8000 == 0 {
            out.extend(inflate(stored, METADATA as u64)?);
        } else {
            out.extend_from_slice(stored);
        }
        rest = block.get(2 + length..);
    }
    let end = out.len().min(offset + size);
    let part = out.get(offset..end);
    Ok(part
        .ok_or_else(|| invalid("an offset behind its block"))?
        .to_vec())
}

fn inflate(stored: &[u8], most: u64) -> Result<Vec<u8>> {
    let decoder = StreamingDecoder::new(stored).map_err(|error| invalid(&error.to_string()))?;
    let mut out = Vec::new();
    decoder.take(most).read_to_end(&mut out)?;
    Ok(out)
}

/// A number of `N` bytes, little endian.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<u64> {
    let digits = bytes
        .get(at..at + N)
        .ok_or_else(|| invalid("a short record"))?;
    Ok(digits
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}
