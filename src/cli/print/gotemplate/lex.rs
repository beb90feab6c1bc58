//! Template text → tokens. Source: text/template/parse/lex.go.

/// A word of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Text(String),
    Open,
    Close,
    /// `.name`, without its dot.
    Field(String),
    Dot,
    /// `$name`, with its dollar.
    Variable(String),
    Identifier(String),
    String(String),
    Character(char),
    Number(String),
    Declare,
    Assign,
    Pipe,
    Comma,
    LeftParenthesis,
    RightParenthesis,
    Space,
    Other(char),
}

/// A token and where it starts.
#[derive(Clone, Debug)]
pub struct Placed {
    pub token: Token,
    pub at: usize,
}

/// What is wrong, and at which offset.
pub type Wrong = (usize, String);

pub fn lex(text: &str) -> Result<Vec<Placed>, Wrong> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Placed>,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// A name, which must end where names may end.
    fn word(&mut self, token: Token, length: usize) -> Result<(), Wrong> {
        let behind = &self.rest()[length..];
        match behind.chars().next() {
            Some(c) if !is_space(c) && !matches!(c, '.' | ',' | '|' | ':' | ')' | '(') && !behind.starts_with("}}") => {
                Err((self.at, format!("bad character U+{:04X} '{c}'", c as u32)))
            }
            _ => {
                self.push(token, length);
                Ok(())
            }
        }
    }

    fn push(&mut self, token: Token, length: usize) {
        self.tokens.push(Placed { token, at: self.at });
        self.at += length;
    }

    fn run(&mut self) -> Result<(), Wrong> {
        let mut trim = false;
        loop {
            let rest = self.rest();
            let open = rest.find("{{");
            let literal = &rest[..open.unwrap_or(rest.len())];
            let mut shown = if trim { literal.trim_start_matches(is_space) } else { literal };
            let trims_left = open.is_some_and(|at| {
                let behind = &rest[at + 2..];
                behind.starts_with('-') && behind[1..].starts_with(is_space)
            });
            if trims_left {
                shown = shown.trim_end_matches(is_space);
            }
            if !shown.is_empty() {
                self.tokens.push(Placed { token: Token::Text(shown.into()), at: self.at });
            }
            self.at += literal.len();
            if open.is_none() {
                return Ok(());
            }
            let start = self.at;
            self.at += 2 + usize::from(trims_left);
            let body = self.rest().trim_start_matches(is_space);
            if body.starts_with("/*") {
                trim = self.comment(start)?;
                continue;
            }
            self.tokens.push(Placed { token: Token::Open, at: start });
            trim = self.inside(start)?;
        }
    }

    /// Behind `{{`: up to and behind the closing braces. Whether the text behind is trimmed.
    fn comment(&mut self, start: usize) -> Result<bool, Wrong> {
        let end = self.rest().find("*/").ok_or((start, "unclosed comment".to_owned()))?;
        self.at += end + 2;
        match self.closing() {
            Some((length, trim)) => {
                self.at += length;
                Ok(trim)
            }
            None => Err((start, "comment ends before closing delimiter".into())),
        }
    }

    fn closing(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        if rest.starts_with("}}") {
            return Some((2, false));
        }
        let behind = rest.trim_start_matches(is_space);
        let skipped = rest.len() - behind.len();
        (skipped > 0 && behind.starts_with("-}}")).then_some((skipped + 3, true))
    }

    fn inside(&mut self, start: usize) -> Result<bool, Wrong> {
        let mut depth = 0_usize;
        loop {
            if let Some((length, trim)) = self.closing() {
                if depth > 0 {
                    return Err((self.at, "unclosed left paren".into()));
                }
                self.push(Token::Close, length);
                return Ok(trim);
            }
            let rest = self.rest();
            let Some(c) = rest.chars().next() else {
                return Err((start, "unclosed action".into()));
            };
            match c {
                c if is_space(c) => self.push(Token::Space, rest.len() - rest.trim_start_matches(is_space).len()),
                '=' => self.push(Token::Assign, 1),
                ':' if rest.starts_with(":=") => self.push(Token::Declare, 2),
                ':' => return Err((self.at, "expected :=".into())),
                '|' => self.push(Token::Pipe, 1),
                ',' => self.push(Token::Comma, 1),
                '"' => self.string()?,
                '`' => {
                    let end = rest[1..].find('`').ok_or((self.at, "unterminated raw quoted string".to_owned()))?;
                    self.push(Token::String(rest[1..=end].into()), end + 2);
                }
                '\'' => self.character()?,
                '(' => {
                    depth += 1;
                    self.push(Token::LeftParenthesis, 1);
                }
                ')' => {
                    depth = depth.checked_sub(1).ok_or((self.at, "unexpected right paren".to_owned()))?;
                    self.push(Token::RightParenthesis, 1);
                }
                '$' => {
                    let end = rest[1..].find(|c| !is_word(c)).map_or(rest.len(), |n| n + 1);
                    self.word(Token::Variable(rest[..end].into()), end)?;
                }
                '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                    let end = rest[1..].find(|c| !is_word(c)).map_or(rest.len(), |n| n + 1);
                    let token = if end == 1 { Token::Dot } else { Token::Field(rest[1..end].into()) };
                    if end == 1 { self.push(token, end) } else { self.word(token, end)? }
                }
                c if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => {
                    let end = rest[1..]
                        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_')))
                        .map_or(rest.len(), |n| n + 1);
                    self.push(Token::Number(rest[..end].into()), end);
                }
                c if is_word(c) => {
                    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                    self.word(Token::Identifier(rest[..end].into()), end)?;
                }
                c => self.push(Token::Other(c), c.len_utf8()),
            }
        }
    }

    fn string(&mut self) -> Result<(), Wrong> {
        let rest = self.rest();
        let mut escaped = false;
        for (i, c) in rest.char_indices().skip(1) {
            match c {
                '\n' => break,
                '"' if !escaped => {
                    let text = unquote(&rest[1..i]).ok_or((self.at, "invalid syntax".to_owned()))?;
                    self.push(Token::String(text), i + 1);
                    return Ok(());
                }
                _ => escaped = c == '\\' && !escaped,
            }
        }
        Err((self.at, "unterminated quoted string".into()))
    }

    fn character(&mut self) -> Result<(), Wrong> {
        let rest = self.rest();
        let end = rest[1..].find('\'').map(|n| n + 1).ok_or((self.at, "unterminated character constant".to_owned()))?;
        let end = if &rest[1..end] == "\\" { end + 1 } else { end };
        let text = rest.get(1..end).and_then(unquote).unwrap_or_default();
        let c = text.chars().next().ok_or((self.at, format!("malformed character constant: {rest}")))?;
        self.push(Token::Character(c), end + 1);
        Ok(())
    }
}

fn unquote(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let code = |digits: String, radix: u32| u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32);
        out.push(match chars.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            c @ ('\\' | '"' | '\'') => c,
            'x' => code(chars.by_ref().take(2).collect(), 16)?,
            'u' => code(chars.by_ref().take(4).collect(), 16)?,
            'U' => code(chars.by_ref().take(8).collect(), 16)?,
            c @ '0'..='7' => code(std::iter::once(c).chain(chars.by_ref().take(2)).collect(), 8)?,
            _ => return None,
        });
    }
    Some(out)
}
