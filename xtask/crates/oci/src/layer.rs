//! The tar stream of a layer: what its first bytes say that it is, whatever its media
//! type, with a limit for streams that expand without end.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::error::{Cause, ImageError};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The end of the numbers 0x184D2A50 to 0x184D2A5F.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// Bytes read at once from a blob.
const BUFFER: usize = 128 << 10;
/// Largest layer, unpacked: ten times the largest extension.
const LARGEST: u64 = 16 << 30;
/// Above `HARMLESS` bytes, a layer that expands more than this is not data.
const MOST_EXPANSION: u64 = 100;
const HARMLESS: u64 = 256 << 20;

/// Bytes of the blob read so far.
pub(crate) type Progress = Rc<Cell<u64>>;

/// Counts what a reader above takes.
pub(crate) struct Counted<R> {
    inner: R,
    progress: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.set(self.progress.get() + read as u64);
        Ok(read)
    }
}

type Source<'a> = BufReader<Counted<Box<dyn Read + 'a>>>;

enum Decoder<'a> {
    Plain(Source<'a>),
    Gzip(Box<MultiGzDecoder<Source<'a>>>),
    Zstd(Frames<Source<'a>>),
}

impl Decoder<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Plain(_) => "tar",
            Self::Gzip(_) => "gzip",
            Self::Zstd(_) => "zstd",
        }
    }
}

/// Reads a layer's tar stream.
pub(crate) struct Unpacked<'a> {
    decoder: Decoder<'a>,
    what: String,
    bytes: u64,
    compressed: Progress,
    cause: Cause,
}

impl<'a> Unpacked<'a> {
    /// # Errors
    /// If the blob cannot be read, or its compression is not supported.
    pub(crate) fn new(
        blob: Box<dyn Read + 'a>,
        what: &str,
        cause: &Cause,
    ) -> Result<Self, ImageError> {
        let compressed = Progress::default();
        let counted = Counted {
            inner: blob,
            progress: compressed.clone(),
        };
        let mut source = BufReader::with_capacity(BUFFER, counted);
        let start = source
            .fill_buf()
            .map_err(|error| cause.or_else(|| ImageError::io(what, &error)))?;
        let decoder = if start.starts_with(&GZIP) {
            Decoder::Gzip(Box::new(MultiGzDecoder::new(source)))
        } else if start.starts_with(&ZSTD) {
            Decoder::Zstd(Frames(Frame::Between(Some(source))))
        } else if start.starts_with(&XZ) {
            return Err(ImageError::Unsupported {
                what: what.into(),
                reason: "xz is not a compression of OCI layers".into(),
            });
        } else if start
            .iter()
            .find(|byte| !byte.is_ascii_whitespace())
            .is_some_and(|byte| *byte == b'<')
            && start.get(257..262).is_none_or(|magic| magic != b"ustar")
        {
            return Err(ImageError::Html { what: what.into() });
        } else {
            Decoder::Plain(source)
        };
        Ok(Self {
            decoder,
            what: what.to_owned(),
            bytes: 0,
            compressed,
            cause: cause.clone(),
        })
    }

    /// Reads what follows the last entry: trailers are verified, and the blob's digest.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink())?;
        let source = match &mut self.decoder {
            Decoder::Plain(source) => source,
            Decoder::Gzip(decoder) => decoder.get_mut(),
            Decoder::Zstd(frames) => match &mut frames.0 {
                Frame::Between(Some(source)) => source,
                _ => return Ok(()),
            },
        };
        io::copy(source, &mut io::sink()).map(drop)
    }

    fn check_size(&self) -> Result<(), ImageError> {
        let compressed = self.compressed.get();
        if self.bytes > HARMLESS && self.bytes / MOST_EXPANSION > compressed {
            return Err(ImageError::Bomb {
                what: self.what.clone(),
                bytes: self.bytes,
                compressed,
            });
        }
        if self.bytes > LARGEST {
            return Err(ImageError::Limit {
                what: self.what.clone(),
                limit: "16 GiB".into(),
            });
        }
        Ok(())
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.decoder {
            Decoder::Plain(source) => source.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(frames) => frames.read(buffer),
        };
        let read = match read {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                return Err(self.cause.stop(ImageError::Compression {
                    what: self.what.clone(),
                    format: self.decoder.name(),
                    reason: error.to_string(),
                }));
            }
        };
        self.bytes += read as u64;
        self.check_size().map_err(|error| self.cause.stop(error))?;
        Ok(read)
    }
}

/// All frames of a zstd stream, one after the other.
struct Frames<R: Read>(Frame<R>);

enum Frame<R: Read> {
    Between(Option<R>),
    Within(Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.0 {
                Frame::Within(decoder) => {
                    let read = decoder.read(buffer)?;
                    if read > 0 {
                        return Ok(read);
                    }
                    let Frame::Within(decoder) =
                        std::mem::replace(&mut self.0, Frame::Between(None))
                    else {
                        return Ok(0);
                    };
                    self.0 = Frame::Between(Some(decoder.into_inner()));
                }
                Frame::Between(source) => {
                    let Some(mut source) = source.take() else {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    };
                    let start = source.fill_buf()?;
                    if start.is_empty() {
                        self.0 = Frame::Between(Some(source));
                        return Ok(0);
                    }
                    // Tables of contents of seekable layers. A number cut by the end of the
                    // buffer is an error of the decoder.
                    let skipped = start.get(1..4) == Some(&SKIPPABLE) && start[0] >> 4 == 5;
                    if skipped {
                        let mut header = [0; 8];
                        source.read_exact(&mut header)?;
                        let [_, _, _, _, size @ ..] = header;
                        let size = u64::from(u32::from_le_bytes(size));
                        let mut frame = (&mut source).take(size);
                        if io::copy(&mut frame, &mut io::sink())? < size {
                            return Err(io::ErrorKind::UnexpectedEof.into());
                        }
                        self.0 = Frame::Between(Some(source));
                        continue;
                    }
                    let decoder = StreamingDecoder::new(source);
                    let decoder = decoder.map_err(|error| io::Error::other(error.to_string()))?;
                    self.0 = Frame::Within(Box::new(decoder));
                }
            }
        }
    }
}
