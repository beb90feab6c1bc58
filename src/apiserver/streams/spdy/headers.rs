//! Header blocks of SPDY/3: one zlib stream in each direction, begun with a dictionary that both sides know.
//! Source: <https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1> (2.6.10).

use std::io;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// What matches may reach back to; zlib's window.
const WINDOW: usize = 32 << 10;
/// The longest block that is taken, when it has been read.
const LONGEST: usize = 64 << 10;
/// zlib's own head, and the number of the dictionary.
const HEAD: usize = 6;

const WORDS: &[&str] = &[
    "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding", "accept-language",
    "accept-ranges", "age", "allow", "authorization", "cache-control", "connection", "content-base", "content-encoding",
    "content-language", "content-length", "content-location", "content-md5", "content-range", "content-type", "date", "etag",
    "expect", "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
    "last-modified", "location", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer",
    "retry-after", "server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning",
    "www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie",
    "keep-alive", "origin",
];
const REST: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative \
    Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server \
    Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, \
    Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in WORDS {
        bytes.extend(u32::try_from(word.len()).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(word.as_bytes());
    }
    bytes.extend_from_slice(REST.as_bytes());
    bytes
}

/// Reads the blocks of one direction, in order.
pub struct Inflate {
    state: Box<DecompressorOxide>,
    window: Vec<u8>,
    at: usize,
    begun: bool,
}

impl Inflate {
    pub fn new() -> Self {
        let mut window = dictionary();
        let at = window.len();
        window.resize(WINDOW, 0);
        Inflate { state: Box::default(), window, at, begun: false }
    }

    /// The headers of the next block.
    pub fn headers(&mut self, mut block: &[u8]) -> io::Result<Vec<(String, String)>> {
        if !self.begun && !block.is_empty() {
            block = block.get(HEAD..).ok_or_else(wrong)?;
            self.begun = true;
        }
        let mut text = Vec::new();
        loop {
            let (status, read, written) =
                decompress(&mut self.state, block, &mut self.window, self.at, TINFL_FLAG_HAS_MORE_INPUT);
            text.extend_from_slice(&self.window[self.at..self.at + written]);
            self.at = (self.at + written) % WINDOW;
            block = &block[read..];
            match status {
                _ if text.len() > LONGEST => return Err(wrong()),
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput => return pairs(&text),
                _ => return Err(wrong()),
            }
        }
    }
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a SPDY header block cannot be read")
}

/// A count, and as many names and values, each with its length.
fn pairs(mut text: &[u8]) -> io::Result<Vec<(String, String)>> {
    fn number(text: &mut &[u8]) -> io::Result<usize> {
        let (bytes, rest) = text.split_first_chunk::<4>().ok_or_else(wrong)?;
        *text = rest;
        Ok(u32::from_be_bytes(*bytes) as usize)
    }
    fn word(text: &mut &[u8]) -> io::Result<String> {
        let length = number(text)?;
        let (word, rest) = text.split_at_checked(length).ok_or_else(wrong)?;
        *text = rest;
        Ok(String::from_utf8_lossy(word).into_owned())
    }
    let count = number(&mut text)?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((word(&mut text)?, word(&mut text)?));
    }
    Ok(pairs)
}

/// Writes blocks: stored, without compression. They hold nothing.
#[derive(Default)]
pub struct Deflate {
    begun: bool,
}

impl Deflate {
    /// A block without headers.
    pub fn no_headers(&mut self) -> Vec<u8> {
        let mut block = if self.begun { Vec::new() } else { vec![0x78, 0x01] };
        self.begun = true;
        // Not the last one, stored, four bytes: the count.
        block.extend([0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0]);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adler-32, by which zlib names a dictionary.
    fn adler(bytes: &[u8]) -> u32 {
        let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65521;
            (a, (b + a) % 65521)
        });
        (b << 16) | a
    }

    #[test]
    fn the_dictionary_is_the_one_that_all_know() {
        assert_eq!((dictionary().len(), adler(&dictionary())), (1423, 0xe3c6_a7c2));
    }

    #[test]
    fn blocks_of_another_zlib_are_read_one_after_the_other() {
        // By zlib 1.2.13, level 9, each ended by a sync flush.
        let first = [
            0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2, 0x02, 0x25, 0x3a, 0x70, 0x3a, 0x2b, 0x29, 0x4a, 0x4d, 0xcc, 0x85, 0x16, 0x25,
            0xac, 0xa9, 0xa0, 0x80, 0x86, 0x14, 0xcb, 0x45, 0xe0, 0x1c, 0x60, 0x61, 0x60, 0x61, 0x00, 0xa4, 0x39, 0x8b, 0x20,
            0xd1, 0x98, 0x09, 0x4a, 0xde, 0x8c, 0x06, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff,
        ];
        let second = [0xc2, 0xaa, 0x19, 0x54, 0x0e, 0x25, 0x12, 0xd6, 0x0b, 0x00, 0x00, 0x00, 0xff, 0xff];
        let mut inflate = Inflate::new();
        let of = |kind: &str| [("streamtype", kind), ("port", "8080"), ("requestid", "0")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(inflate.headers(&first).expect("a block"), of("error"));
        assert_eq!(inflate.headers(&second).expect("a block"), of("data"));
        assert!(inflate.headers(&[0xff; 9]).is_err());
    }
}
