//! The tar format, as far as GNU tar and busybox write it: ustar, with long names by GNU's or by POSIX's way.

use std::io::{self, Read};

/// The length of a block.
pub const BLOCK: usize = 512;
/// A name, or a list of attributes, may not be longer.
const LONGEST_NAME: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    SymLink,
    Folder,
    /// Devices, pipes, and what else there may be.
    Other,
}

/// One entry, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub kind: Kind,
    pub mode: u32,
    pub size: u64,
    /// What a link leads to.
    pub target: String,
}

/// Metadata of an entry that is written.
#[derive(Clone, Debug, Default)]
pub struct Owner {
    pub uid: u64,
    pub gid: u64,
    pub modified: u64,
}

/// Reads an archive, entry by entry.
pub struct Reader<R> {
    from: R,
    /// Of the entry at hand: what has not been read, and what fills its last block.
    left: u64,
    padding: u64,
}

impl<R: Read> Reader<R> {
    pub fn new(from: R) -> Self {
        Reader { from, left: 0, padding: 0 }
    }

    /// The next entry; what was not read of the one before is passed over.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let (mut long_name, mut long_target, mut long_size) = (None, None, None);
        loop {
            let over = self.left + self.padding;
            pass(&mut self.from, over)?;
            (self.left, self.padding) = (0, 0);
            let mut block = [0; BLOCK];
            if !fill(&mut self.from, &mut block)? || block == [0; BLOCK] {
                return Ok(None);
            }
            check(&block)?;
            let size = number(&block[124..136])?;
            self.measure(size);
            match block[156] {
                b'L' => long_name = Some(trimmed(&self.text(size)?)),
                b'K' => long_target = Some(trimmed(&self.text(size)?)),
                b'x' => {
                    for (key, value) in attributes(&self.text(size)?)? {
                        match key.as_str() {
                            "path" => long_name = Some(value),
                            "linkpath" => long_target = Some(value),
                            "size" => long_size = Some(value.parse::<u64>().map_err(|_| corrupt())?),
                            _ => {}
                        }
                    }
                }
                b'g' => drop(self.text(size)?),
                kind => {
                    let size = long_size.unwrap_or(size);
                    let entry = Entry {
                        name: long_name.unwrap_or_else(|| name(&block)),
                        kind: kind_of(kind),
                        mode: u32::try_from(number(&block[100..108])? & 0o7777).unwrap_or(0),
                        size: if matches!(kind, b'1' | b'2' | b'5') { 0 } else { size },
                        target: long_target.unwrap_or_else(|| trimmed(&block[157..257])),
                    };
                    self.measure(entry.size);
                    return Ok(Some(entry));
                }
            }
        }
    }

    fn measure(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn text(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > LONGEST_NAME {
            return Err(corrupt());
        }
        let mut text = Vec::new();
        self.read_to_end(&mut text)?;
        Ok(text)
    }
}

/// The content of the entry at hand.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.from.read(&mut out[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

fn corrupt() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "tar contents corrupted")
}

/// Fills a block; `false`: there is nothing more.
fn fill(from: &mut impl Read, block: &mut [u8; BLOCK]) -> io::Result<bool> {
    let mut at = 0;
    while at < BLOCK {
        match from.read(&mut block[at..]) {
            Ok(0) if at == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => at += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn pass(from: &mut impl Read, bytes: u64) -> io::Result<()> {
    let passed = io::copy(&mut from.take(bytes), &mut io::sink())?;
    if passed == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn check(block: &[u8; BLOCK]) -> io::Result<()> {
    let sum: u64 = block.iter().enumerate().map(|(at, b)| u64::from(if (148..156).contains(&at) { b' ' } else { *b })).sum();
    if number(&block[148..156])? == sum { Ok(()) } else { Err(corrupt()) }
}

/// Octal digits, or GNU's binary form of large numbers.
fn number(field: &[u8]) -> io::Result<u64> {
    if field[0] & 0x80 != 0 {
        let mut value = u64::from(field[0] & 0x7f);
        for byte in &field[1..] {
            value = value.checked_mul(256).and_then(|v| v.checked_add(u64::from(*byte))).ok_or_else(corrupt)?;
        }
        return Ok(value);
    }
    let text = trimmed(field);
    let text = text.trim();
    if text.is_empty() { Ok(0) } else { u64::from_str_radix(text, 8).map_err(|_| corrupt()) }
}

fn trimmed(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn name(block: &[u8; BLOCK]) -> String {
    let name = trimmed(&block[..100]);
    let prefix = if &block[257..263] == b"ustar\0" { trimmed(&block[345..500]) } else { String::new() };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

fn kind_of(byte: u8) -> Kind {
    match byte {
        0 | b'0' | b'7' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::SymLink,
        b'5' => Kind::Folder,
        _ => Kind::Other,
    }
}

/// `LENGTH KEY=VALUE\n`, over and over.
fn attributes(mut text: &[u8]) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    while !text.is_empty() {
        let blank = text.iter().position(|b| *b == b' ').ok_or_else(corrupt)?;
        let length: usize = std::str::from_utf8(&text[..blank]).ok().and_then(|t| t.parse().ok()).ok_or_else(corrupt)?;
        let record = text.get(blank + 1..length).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(corrupt)?;
        let record = String::from_utf8_lossy(record);
        let (key, value) = record.split_once('=').ok_or_else(corrupt)?;
        found.push((key.to_owned(), value.to_owned()));
        text = &text[length..];
    }
    Ok(found)
}

/// The head of an entry, long names before it.
pub fn head(entry: &Entry, owner: &Owner) -> Vec<u8> {
    let mut out = Vec::new();
    for (text, kind) in [(&entry.target, b'K'), (&entry.name, b'L')] {
        if text.len() > 100 {
            let content = [text.as_bytes(), &[0]].concat();
            out.extend(block("././@LongLink", kind, 0, content.len() as u64, "", &Owner::default()));
            out.extend_from_slice(&content);
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
    }
    let kind = match entry.kind {
        Kind::File | Kind::Other => b'0',
        Kind::HardLink => b'1',
        Kind::SymLink => b'2',
        Kind::Folder => b'5',
    };
    out.extend(block(&entry.name, kind, entry.mode, entry.size, &entry.target, owner));
    out
}

fn block(name: &str, kind: u8, mode: u32, size: u64, target: &str, owner: &Owner) -> [u8; BLOCK] {
    let mut block = [0u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8], room: usize| {
        let length = bytes.len().min(room);
        block[at..at + length].copy_from_slice(&bytes[..length]);
    };
    put(0, name.as_bytes(), 100);
    put(100, &digits(u64::from(mode), 8), 8);
    put(108, &digits(owner.uid, 8), 8);
    put(116, &digits(owner.gid, 8), 8);
    put(124, &digits(size, 12), 12);
    put(136, &digits(owner.modified, 12), 12);
    put(148, b"        ", 8);
    put(156, &[kind], 1);
    put(157, target.as_bytes(), 100);
    put(257, b"ustar  \0", 8);
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Octal digits and a zero, or GNU's binary form where they do not fit.
fn digits(value: u64, room: usize) -> Vec<u8> {
    let text = format!("{value:0width$o}\0", width = room - 1);
    if text.len() <= room {
        return text.into_bytes();
    }
    let mut bytes = vec![0; room];
    bytes[room - 8..].copy_from_slice(&value.to_be_bytes());
    bytes[0] |= 0x80;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: Kind, size: u64, target: &str) -> Entry {
        Entry { name: name.into(), kind, mode: 0o644, size, target: target.into() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let long = "d/".repeat(90) + "file";
        let entries = [
            entry("short", Kind::File, 3, ""),
            entry(&long, Kind::File, 0, ""),
            entry("link", Kind::SymLink, 0, &long),
            entry("folder", Kind::Folder, 0, ""),
        ];
        let mut archive = Vec::new();
        for entry in &entries {
            archive.extend(head(entry, &Owner { uid: 5, gid: 6, modified: 7 }));
            archive.extend(std::iter::repeat_n(b'x', usize::try_from(entry.size).unwrap()));
            archive.resize(archive.len().next_multiple_of(BLOCK), 0);
        }
        archive.extend([0; 2 * BLOCK]);
        let mut reader = Reader::new(archive.as_slice());
        for entry in &entries {
            assert_eq!(reader.next_entry().unwrap().as_ref(), Some(entry));
        }
        assert_eq!(reader.next_entry().unwrap(), None);
        assert_eq!(number(&digits(1 << 40, 12)).unwrap(), 1 << 40);
        assert_eq!(number(&digits(0o644, 8)).unwrap(), 0o644);
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert!(Reader::new([b'x'; BLOCK].as_slice()).next_entry().is_err());
        assert!(Reader::new([b'x'; 7].as_slice()).next_entry().is_err());
        let mut cut = head(&entry("a", Kind::File, 600, ""), &Owner::default());
        cut.extend([b'x'; 100]);
        let mut reader = Reader::new(cut.as_slice());
        reader.next_entry().unwrap();
        assert!(reader.next_entry().is_err(), "it breaks off");
    }

    #[test]
    fn posix_attributes_are_read() {
        let text = b"15 path=abc/def\n".to_vec();
        assert!(attributes(&text).is_err(), "the length is wrong");
        assert_eq!(attributes(b"16 path=abc/def\n").unwrap(), [("path".to_owned(), "abc/def".to_owned())]);
    }
}
