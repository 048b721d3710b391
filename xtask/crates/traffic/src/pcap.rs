//! Reads a capture stream as `tcpdump -w -` writes it: a header, then records.

use std::io::{Error, ErrorKind, Read, Result};

/// A longer record is damage: no capture of ours is that long.
const LONGEST: u32 = 256 << 10;

/// One captured frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Milliseconds since 1970.
    pub at: u64,
    /// The beginning of the frame.
    pub bytes: Vec<u8>,
}

/// A stream of Ethernet frames.
#[derive(Debug)]
pub struct PcapReader<R> {
    input: R,
    is_little: bool,
    is_nanoseconds: bool,
}

impl<R: Read> PcapReader<R> {
    /// Reads the stream's header.
    ///
    /// # Errors
    /// I/O errors; also if this is not a capture of Ethernet frames.
    pub fn new(mut input: R) -> Result<Self> {
        let mut header = [0; 24];
        input.read_exact(&mut header)?;
        let [a, b, c, d, ..] = header;
        let (is_little, is_nanoseconds) = match [a, b, c, d] {
            [0xd4, 0xc3, 0xb2, 0xa1] => (true, false),
            [0x4d, 0x3c, 0xb2, 0xa1] => (true, true),
            [0xa1, 0xb2, 0xc3, 0xd4] => (false, false),
            [0xa1, 0xb2, 0x3c, 0x4d] => (false, true),
            _ => return Err(Error::new(ErrorKind::InvalidData, "it is not a capture")),
        };
        let reader = Self {
            input,
            is_little,
            is_nanoseconds,
        };
        // The low 16 bits are the link type; 1 is Ethernet.
        match reader.number(&header, 20) & 0xffff {
            1 => Ok(reader),
            other => Err(Error::new(
                ErrorKind::InvalidData,
                format!("its frames are of link type {other}, not Ethernet"),
            )),
        }
    }

    /// Returns the next frame; `None` at the end of the stream, also within a record.
    ///
    /// # Errors
    /// I/O errors; also for a record that is too long.
    pub fn next_frame(&mut self) -> Result<Option<Captured>> {
        let mut header = [0; 16];
        if !filled(&mut self.input, &mut header)? {
            return Ok(None);
        }
        let fraction = u64::from(self.number(&header, 4));
        let per_millisecond = if self.is_nanoseconds { 1_000_000 } else { 1000 };
        let at = u64::from(self.number(&header, 0)) * 1000 + fraction / per_millisecond;
        let length = self.number(&header, 8);
        if length > LONGEST {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("a frame of {length} bytes"),
            ));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        let is_whole = filled(&mut self.input, &mut bytes)?;
        Ok(is_whole.then_some(Captured { at, bytes }))
    }

    fn number(&self, bytes: &[u8], at: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&bytes[at..at + 4]);
        if self.is_little {
            u32::from_le_bytes(word)
        } else {
            u32::from_be_bytes(word)
        }
    }
}

/// Fills the buffer. Returns false if the stream ends before.
fn filled(input: &mut impl Read, buffer: &mut [u8]) -> Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(link: u8) -> Vec<u8> {
        let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        bytes.extend([0; 12]);
        bytes.extend([link, 0, 0, 0]);
        bytes
    }

    #[test]
    fn records_are_read_to_a_torn_one() {
        let mut stream = header(1);
        stream.extend([
            1, 0, 0, 0, 0x50, 0xc3, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 7, 8, 9,
        ]);
        stream.extend([1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 7]);
        let mut reader = PcapReader::new(stream.as_slice()).unwrap();
        let frame = reader.next_frame().unwrap().unwrap();
        assert_eq!((frame.at, frame.bytes), (1050, vec![7, 8, 9]));
        assert_eq!(reader.next_frame().unwrap(), None);
    }

    #[test]
    fn other_streams_are_refused() {
        assert!(PcapReader::new(header(113).as_slice()).is_err());
        assert!(PcapReader::new([0; 24].as_slice()).is_err());
        let mut stream = header(1);
        stream.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0]);
        assert!(
            PcapReader::new(stream.as_slice())
                .unwrap()
                .next_frame()
                .is_err()
        );
    }
}
