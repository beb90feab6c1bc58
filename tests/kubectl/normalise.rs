//! What two runs may differ in becomes the same: uids, times, versions, addresses.

/// A pattern at the start of a text: how long it is, and what stands for it.
type Match = Option<(usize, String)>;

/// Rewrites every place where `pattern` matches; it gets the character before, and the rest.
fn rewrite(text: &str, pattern: impl Fn(Option<char>, &str) -> Match) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match pattern(before, &text[at..]) {
            Some((length, instead)) if length > 0 => {
                out.push_str(&instead);
                before = text[..at + length].chars().next_back();
                at += length;
            }
            _ => {
                out.push(c);
                before = Some(c);
                at += c.len_utf8();
            }
        }
    }
    out
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn at_boundary(before: Option<char>) -> bool {
    !before.is_some_and(is_word)
}

/// The length of a start of `text` of this shape: `0` a digit, `h` a hexadecimal digit, else itself.
fn shape(text: &str, shape: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    for (i, s) in shape.bytes().enumerate() {
        let b = *bytes.get(i)?;
        let fits = match s {
            b'0' => b.is_ascii_digit(),
            b'h' => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
            s => s == b,
        };
        if !fits {
            return None;
        }
    }
    Some(shape.len())
}

fn ends_word(rest: &str) -> bool {
    !rest.starts_with(is_word)
}

fn uid(before: Option<char>, text: &str) -> Match {
    let length = shape(text, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh").filter(|_| at_boundary(before))?;
    ends_word(&text[length..]).then(|| (length, "<uid>".into()))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn time(before: Option<char>, text: &str) -> Match {
    if !at_boundary(before) {
        return None;
    }
    let mut length = shape(text, "0000-00-00T00:00:00").or_else(|| shape(text, "0000-00-00 00:00:00"))?;
    if text[length..].starts_with('.') && digits(&text[length + 1..]) > 0 {
        length += 1 + digits(&text[length + 1..]);
    }
    if text[length..].starts_with('Z') {
        length += 1;
    } else if let Some(n) = shape(&text[length..], " +0000").or_else(|| shape(&text[length..], " -0000")) {
        length += n;
    }
    if text[length..].starts_with(" UTC") {
        length += 4;
    }
    Some((length, "<time>".into()))
}

fn long_time(before: Option<char>, text: &str) -> Match {
    const DAYS: &[&str] = &["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let day = DAYS.iter().find(|d| text.starts_with(**d)).filter(|_| at_boundary(before))?;
    let rest = &text[day.len()..];
    let n = shape(rest, ", 00 ")?;
    let month = rest.get(n..n + 3).filter(|m| m.chars().all(char::is_alphabetic))?;
    let behind = &rest[n + month.len()..];
    let m = shape(behind, " 0000 00:00:00 +0000").or_else(|| shape(behind, " 0000 00:00:00 -0000"))?;
    Some((day.len() + n + month.len() + m, "<time>".into()))
}

/// `resourceVersion: "1"`, in JSON too, and with its quotes escaped.
fn version(_: Option<char>, text: &str) -> Match {
    let name = "resourceVersion";
    let rest = text.strip_prefix(name)?;
    let slashes = rest.bytes().take_while(|b| *b == b'\\').count();
    let escape = &rest[..slashes];
    let mut at = slashes;
    if rest[at..].starts_with('"') {
        at += 1;
    } else if slashes > 0 {
        return None;
    }
    if !rest[at..].starts_with(':') {
        return None;
    }
    at += 1;
    if slashes == 0 && rest[at..].starts_with(' ') {
        at += 1;
    }
    let open = format!("{escape}\"");
    if !rest[at..].starts_with(&open) {
        return None;
    }
    at += open.len();
    let count = digits(&rest[at..]);
    if !rest[at + count..].starts_with(&open) || (slashes > 0 && count == 0) {
        return None;
    }
    let length = name.len() + at + count + open.len();
    Some((length, format!("{}<rv>{open}", &text[..name.len() + at])))
}

fn described_version(before: Option<char>, text: &str) -> Match {
    if before.is_some_and(|c| c != '\n') {
        return None;
    }
    let indent = text.bytes().take_while(|b| *b == b' ').count();
    let rest = text[indent..].strip_prefix("Resource Version: ")?;
    let blanks = rest.bytes().take_while(|b| *b == b' ').count();
    let count = digits(&rest[blanks..]);
    let head = text.len() - rest.len() + blanks;
    (count > 0 && blanks > 0).then(|| (head + count, format!("{}<rv>", &text[..head])))
}

/// `/tmp/LIVE-123/` → `/LIVE/`: the folder goes with what stands before it.
fn diff_folder(before: Option<char>, text: &str) -> Match {
    if before.is_some_and(|c| !c.is_whitespace()) {
        return None;
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let word = &text[..end];
    ["LIVE", "MERGED"].iter().find_map(|name| {
        let at = word.rfind(&format!("/{name}-"))?;
        let behind = &word[at + name.len() + 2..];
        let count = digits(behind);
        let length = at + name.len() + 2 + count + 1;
        (count > 0 && behind[count..].starts_with('/')).then(|| (length, format!("{name}/")))
    })
}

fn diff_head(before: Option<char>, text: &str) -> Match {
    if before.is_some_and(|c| c != '\n') || !(text.starts_with("--- ") || text.starts_with("+++ ")) {
        return None;
    }
    let line = &text[..text.find('\n').unwrap_or(text.len())];
    let tab = line.find('\t')?;
    Some((line.len(), line[..tab].to_owned()))
}

fn token(before: Option<char>, text: &str) -> Match {
    let rest = text.strip_prefix("eyJ").filter(|_| at_boundary(before))?;
    let part = |text: &str| text.find(|c| !(is_word(c) || c == '-')).unwrap_or(text.len());
    let mut length = 3 + part(rest);
    for _ in 0..2 {
        let rest = text[length..].strip_prefix('.')?;
        length += 1 + part(rest);
    }
    Some((length, "<token>".into()))
}

fn program(before: Option<char>, text: &str) -> Match {
    let rest = text.strip_prefix("kubectl").filter(|_| at_boundary(before))?;
    (ends_word(rest) && !rest.starts_with(['-', '.', '('])).then(|| (7, "wl".into()))
}

fn log_head(before: Option<char>, text: &str) -> Match {
    if before.is_some_and(|c| c != '\n') || !text.starts_with(['E', 'W', 'I']) {
        return None;
    }
    let length = 1 + shape(&text[1..], "0000 00:00:00.")?;
    let end = text[length..].find(']')?;
    (!text[..length + end].contains('\n')).then(|| (length + end + 1, "<log>".into()))
}

fn server(before: Option<char>, text: &str) -> Match {
    let scheme = ["https://", "http://"].iter().find(|s| text.starts_with(**s)).map_or(0, |s| s.len());
    if scheme == 0 && before.is_some_and(|c| c == '/' || is_word(c)) {
        return None;
    }
    let host = ["127.0.0.1:", "localhost:"].iter().find(|h| text[scheme..].starts_with(**h))?;
    let count = digits(&text[scheme + host.len()..]);
    (count > 0).then(|| (scheme + host.len() + count, "<server>".into()))
}

fn address(before: Option<char>, text: &str) -> Match {
    let mut length = "10.96.".len();
    if !text.starts_with("10.96.") || !at_boundary(before) {
        return None;
    }
    let third = digits(&text[length..]);
    length += third;
    let rest = text[length..].strip_prefix('.')?;
    let fourth = digits(rest);
    length += 1 + fourth;
    (third > 0 && fourth > 0 && ends_word(&text[length..])).then(|| (length, "<ip>".into()))
}

/// `Expected resource version to be 1, was 15`: the version of the moment.
fn told_version(before: Option<char>, text: &str) -> Match {
    let start = ", was ";
    let expected = text.strip_prefix("Expected resource version to be ").filter(|_| at_boundary(before))?;
    let at = expected.find(start)? + start.len();
    let count = digits(&expected[at..]);
    let head = text.len() - expected.len() + at;
    (count > 0).then(|| (head + count, format!("{}<rv>", &text[..head])))
}

/// The text at level *exact*. `mutates`: service addresses are the server's choice.
pub fn exact(text: &str, cwd: &str, mutates: bool) -> String {
    let mut text = if cwd.is_empty() { text.to_owned() } else { text.replace(cwd, "<cwd>") };
    let patterns: &[fn(Option<char>, &str) -> Match] = &[
        uid,
        time,
        long_time,
        version,
        described_version,
        told_version,
        diff_folder,
        diff_head,
        token,
        program,
        log_head,
        server,
    ];
    for pattern in patterns {
        text = rewrite(&text, pattern);
    }
    if mutates { rewrite(&text, address) } else { text }
}

/// Of `explain` the recordings keep the shape, not what stands under `DESCRIPTION:`.
pub fn without_descriptions(text: &str) -> String {
    let Some((before, rest)) = text.split_once("DESCRIPTION:\n") else { return text.to_owned() };
    let after = rest.find("\nFIELDS:").map_or("", |at| &rest[at..]);
    format!("{before}DESCRIPTION:\n    <text>{after}")
}

/// Takes annotations out of an object's metadata.
pub fn without_annotations(metadata: &mut serde_json::Map<String, serde_json::Value>, names: &[&str]) {
    let Some(annotations) = metadata.get_mut("annotations").and_then(serde_json::Value::as_object_mut) else { return };
    let before = annotations.len();
    annotations.retain(|name, _| !names.contains(&name.as_str()));
    if annotations.is_empty() && before > 0 {
        metadata.remove("annotations");
    }
}
