//! The end of a log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::line::parse;

const BLOCK: u64 = 64 << 10;

/// Text of the last lines, at most `lines` of them and `bytes` long; empty where there is no log.
pub fn last_lines(path: &Path, lines: usize, bytes: usize) -> String {
    let Ok(mut file) = File::open(path) else { return String::new() };
    let length = file.metadata().map(|m| m.len()).unwrap_or_default();
    // A written line is at most some forty bytes longer than its text, and the shortest text is empty.
    let most = (bytes + lines * 64).try_into().unwrap_or(BLOCK);
    let mut raw = Vec::new();
    let start = length.saturating_sub(most);
    if file.seek(SeekFrom::Start(start)).and_then(|_| file.take(most).read_to_end(&mut raw)).is_err() {
        return String::new();
    }
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for line in raw.split_inclusive(|b| *b == b'\n').filter_map(|l| parse(l.strip_suffix(b"\n").unwrap_or(l))) {
        let mut text = line.text.to_vec();
        if !line.partial {
            text.push(b'\n');
        }
        texts.push(text);
    }
    let kept = texts.split_off(texts.len().saturating_sub(lines)).concat();
    let kept = &kept[kept.len().saturating_sub(bytes)..];
    String::from_utf8_lossy(kept).into_owned()
}

/// Where the last `lines` lines begin.
pub fn offset_of_last(file: &mut File, lines: usize) -> std::io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut wanted = lines;
    let mut block = Vec::new();
    let length = end;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        file.take(end - start).read_to_end(&mut block)?;
        // What follows a newline is the beginning of a line; the last newline of the file begins none.
        for (at, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            let begins = start + at as u64 + 1;
            if begins == length {
                continue;
            }
            if ends_partial(file, begins)? {
                continue;
            }
            if wanted <= 1 {
                return Ok(if wanted == 0 { length } else { begins });
            }
            wanted -= 1;
        }
        end = start;
    }
    Ok(if lines == 0 { length } else { 0 })
}

/// Whether the line before `begins` goes on there.
fn ends_partial(file: &mut File, begins: u64) -> std::io::Result<bool> {
    // Lines of conmon are at most 8 KiB and their head.
    let start = begins.saturating_sub(10 << 10);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(begins - start - 1).read_to_end(&mut bytes)?;
    let line = bytes.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    Ok(parse(line).is_some_and(|l| l.partial))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[(&str, &str)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text: String = lines.iter().map(|(tag, text)| format!("2026-01-01T00:00:00.5Z stdout {tag} {text}\n")).collect();
        std::fs::write(file.path(), text).expect("written");
        file
    }

    #[test]
    fn the_end_of_a_log_is_bounded_by_lines_and_bytes() {
        let file = log(&[("F", "one"), ("P", "tw"), ("F", "o"), ("F", "three")]);
        assert_eq!(last_lines(file.path(), 1, 100), "three\n");
        assert_eq!(last_lines(file.path(), 10, 9), "wo\nthree\n");
        assert_eq!(last_lines(Path::new("/none"), 1, 1), "");
    }

    #[test]
    fn a_tail_counts_whole_lines() {
        let file = log(&[("F", "one"), ("P", "tw"), ("F", "o"), ("F", "three")]);
        let text = std::fs::read_to_string(file.path()).expect("a log");
        let mut open = File::open(file.path()).expect("a file");
        let mut rest = |lines| text[usize::try_from(offset_of_last(&mut open, lines).expect("an offset")).expect("small")..].lines().count();
        assert_eq!((rest(0), rest(1), rest(2), rest(3), rest(9)), (0, 1, 3, 4, 4));
    }
}
