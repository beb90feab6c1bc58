//! Template text → nodes. Source: k8s.io/client-go/util/jsonpath/parser.go.

use std::iter::Peekable;
use std::str::CharIndices;

/// One part of a path or template.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Field(String),
    /// `range`, `end`, or something unknown.
    Identifier(String),
    Slice(Slice),
    Filter { left: Vec<Node>, operator: String, right: Vec<Node> },
    Wildcard,
    Recursive,
    Union(Vec<Vec<Node>>),
    /// What stands between two braces.
    Action(Vec<Node>),
}

/// `[from:to:step]`; `derived`: written as a single index.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slice {
    pub from: Option<i64>,
    pub to: Option<i64>,
    pub step: Option<i64>,
    pub derived: bool,
}

/// How deep filters and unions may nest.
const DEEPEST: usize = 32;

pub fn parse(text: &str) -> Result<Vec<Node>, String> {
    parse_at(text, 0)
}

fn parse_at(text: &str, depth: usize) -> Result<Vec<Node>, String> {
    if depth > DEEPEST {
        return Err("the template is nested too deeply".into());
    }
    let mut nodes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        if at > 0 {
            nodes.push(Node::Text(rest[..at].into()));
        }
        let mut action = Action { text: &rest[at + 1..], at: 0, nodes: Vec::new(), depth };
        action.parse()?;
        let used = action.at;
        nodes.push(Node::Action(action.nodes));
        rest = &rest[at + 1 + used..];
    }
    if !rest.is_empty() {
        nodes.push(Node::Text(rest.into()));
    }
    Ok(nodes)
}

/// A path without braces, as in filters.
fn action(text: &str, depth: usize) -> Result<Vec<Node>, String> {
    match parse_at(&format!("{{{text}}}"), depth + 1)?.into_iter().next() {
        Some(Node::Action(nodes)) => Ok(nodes),
        _ => Ok(Vec::new()),
    }
}

struct Action<'a> {
    text: &'a str,
    at: usize,
    nodes: Vec<Node>,
    depth: usize,
}

impl<'a> Action<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn chars(&self) -> Peekable<CharIndices<'a>> {
        self.rest().char_indices().peekable()
    }

    /// Up to and behind the closing brace.
    fn parse(&mut self) -> Result<(), String> {
        loop {
            let rest = self.rest();
            if rest.starts_with('}') {
                self.at += 1;
                return Ok(());
            }
            if rest.starts_with("[?(") {
                self.filter()?;
                continue;
            }
            if rest.starts_with("..") {
                self.recursive()?;
                continue;
            }
            match rest.chars().next() {
                None | Some('\n' | '\r') => return Err("unclosed action".into()),
                Some(' ' | '@' | '$') => self.at += 1,
                Some('[') => self.array()?,
                Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
                Some('.') => {
                    self.at += 1;
                    self.field();
                }
                Some(c) if c == '+' || c == '-' || c.is_ascii_digit() => self.number()?,
                Some(c) if is_word(c) => self.identifier(),
                Some(c) => return Err(format!("unrecognized character in action: U+{:04X} '{c}'", c as u32)),
            }
        }
    }

    fn recursive(&mut self) -> Result<(), String> {
        if self.nodes.last() == Some(&Node::Recursive) {
            return Err("invalid multiple recursive descent".into());
        }
        self.at += 2;
        self.nodes.push(Node::Recursive);
        if self.rest().starts_with(is_word) {
            self.field();
        }
        Ok(())
    }

    fn field(&mut self) {
        let mut chars = self.chars();
        let mut end = self.rest().len();
        while let Some((i, c)) = chars.next() {
            if c == '\\' {
                chars.next();
            } else if matches!(c, ' ' | '\t' | '\n' | '\r' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}') {
                end = i;
                break;
            }
        }
        let value = &self.rest()[..end];
        self.at += end;
        self.nodes.push(if value == "*" { Node::Wildcard } else { Node::Field(value.replace('\\', "")) });
    }

    fn identifier(&mut self) {
        let end = self.rest().find(|c| !is_word(c)).unwrap_or(self.rest().len());
        let word = &self.rest()[..end];
        self.at += end;
        self.nodes.push(match word {
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            word => Node::Identifier(word.into()),
        });
    }

    fn number(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let signed = usize::from(rest.starts_with(['+', '-']));
        let end = rest[signed..].find(|c: char| c != '.' && !c.is_ascii_digit()).map_or(rest.len(), |n| n + signed);
        let value = &rest[..end];
        self.at += end;
        let node = value.parse().map(Node::Integer).or_else(|_| value.parse().map(Node::Float));
        self.nodes.push(node.map_err(|_| format!("cannot parse number {value}"))?);
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<(), String> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let end = (1..bytes.len()).find(|i| bytes[*i] == b'\n' || (bytes[*i] == quote as u8 && bytes[i - 1] != b'\\'));
        let end = end.filter(|i| bytes[*i] != b'\n').ok_or("unterminated quoted string")?;
        let inner = unquote(&rest[1..end]);
        let inner = inner.ok_or_else(|| format!("unquote string {} error invalid syntax", &rest[..=end]))?;
        self.at += end + 1;
        self.nodes.push(Node::Text(inner));
        Ok(())
    }

    fn array(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let end = rest.find([']', '\n']).filter(|i| rest[*i..].starts_with(']')).ok_or("unterminated array")?;
        let text = &rest[1..end];
        self.at += end + 1;
        let parts: Vec<&str> = text.split(',').collect();
        if parts.len() > 1 {
            let parts = parts.iter().map(|p| action(&format!("[{}]", p.trim_matches(' ')), self.depth));
            self.nodes.push(Node::Union(parts.collect::<Result<_, _>>()?));
            return Ok(());
        }
        if let Some(key) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).filter(|k| !k.contains('\'')) {
            self.nodes.extend(action(&format!(".{key}"), self.depth)?);
            return Ok(());
        }
        self.nodes.push(Node::Slice(slice(if text == "*" { ":" } else { text })?));
        Ok(())
    }

    fn filter(&mut self) -> Result<(), String> {
        let rest = &self.rest()[3..];
        let end = filter_end(rest).ok_or("unterminated filter")?;
        if !rest[end + 1..].starts_with(']') {
            return Err("unclosed array expect ]".into());
        }
        self.at += 3 + end + 2;
        let text = &rest[..end];
        let is_operator = |c: char| matches!(c, '!' | '<' | '>' | '=');
        let comparison = text.find(is_operator).filter(|at| *at > 0).and_then(|at| {
            let length = text[at..].find(|c| !is_operator(c))?;
            Some((&text[..at], &text[at..at + length], &text[at + length..]))
        });
        self.nodes.push(match comparison {
            None => Node::Filter { left: action(text, self.depth)?, operator: "exists".into(), right: Vec::new() },
            Some((left, operator, right)) => Node::Filter {
                left: action(left, self.depth)?,
                operator: operator.into(),
                right: action(right, self.depth)?,
            },
        });
        Ok(())
    }
}

/// Where the closing parenthesis stands: outside of the one pair of quotes that a filter may have.
fn filter_end(text: &str) -> Option<usize> {
    let (mut quote, mut closed) = (None, false);
    let mut before = '\0';
    for (i, c) in text.char_indices() {
        match c {
            '\n' => return None,
            '"' | '\'' => match quote {
                None => quote = Some(c),
                Some(q) => closed |= before != '\\' && c == q,
            },
            ')' if quote.is_some() == closed => return Some(i),
            _ => {}
        }
        before = c;
    }
    None
}

fn slice(text: &str) -> Result<Slice, String> {
    let invalid = || format!("invalid array index {text}");
    let parts: Vec<&str> = text.split(':').collect();
    let fits = |p: &&str| {
        let digits = p.strip_prefix('-').unwrap_or(p);
        digits.chars().all(|c| c.is_ascii_digit())
    };
    if parts.len() > 3 || !parts.iter().all(fits) {
        return Err(invalid());
    }
    let number = |p: &str| match p {
        "" => Ok(None),
        p => p.parse().map(Some).map_err(|_| format!("array index {p} is not a number")),
    };
    let from = number(parts[0])?;
    if parts.len() == 1 {
        return Ok(Slice { from, to: Some(from.unwrap_or(0).saturating_add(1)), step: None, derived: true });
    }
    let step = parts.get(2).map_or(Ok(None), |p| number(p))?;
    Ok(Slice { from, to: number(parts[1])?, step, derived: false })
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Go's escapes in a quoted string.
fn unquote(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let hex = |chars: &mut std::str::Chars<'_>, n: usize| {
            let digits: String = chars.by_ref().take(n).collect();
            u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
        };
        out.push(match chars.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'x' => hex(&mut chars, 2)?,
            'u' => hex(&mut chars, 4)?,
            'U' => hex(&mut chars, 8)?,
            c @ ('\\' | '"' | '\'') => c,
            _ => return None,
        });
    }
    Some(out)
}
