//! Cuts the text of a label selector into tokens. Source: k8s.io/apimachinery/pkg/labels/selector.go.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
}

fn kind_of(text: &str) -> Option<Kind> {
    Some(match text {
        ")" => Kind::Close,
        "," => Kind::Comma,
        "!" => Kind::Not,
        "==" => Kind::DoubleEquals,
        "=" => Kind::Equals,
        ">" => Kind::Greater,
        "in" => Kind::In,
        "<" => Kind::Less,
        "!=" => Kind::NotEquals,
        "notin" => Kind::NotIn,
        "(" => Kind::Open,
        _ => return None,
    })
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

/// All tokens, the last of them [`Kind::End`]. A NUL ends the text.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let text = text.split('\0').next().unwrap_or("");
    let mut rest = text;
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(is_space);
        let token = match rest.chars().next() {
            None => {
                found.push(Token { kind: Kind::End, text: String::new() });
                return found;
            }
            Some(c) if is_symbol(c) => symbol(rest),
            Some(_) => {
                let end = rest.find(|c| is_symbol(c) || is_space(c)).unwrap_or(rest.len());
                let word = &rest[..end];
                Token { kind: kind_of(word).unwrap_or(Kind::Identifier), text: word.to_owned() }
            }
        };
        rest = &rest[token.text.len()..];
        found.push(token);
    }
}

/// The longest operator at the start of `rest`, which starts with a symbol; every symbol is one itself.
fn symbol(rest: &str) -> Token {
    for length in [2, 1] {
        if let Some(kind) = rest.get(..length).and_then(kind_of) {
            return Token { kind, text: rest[..length].to_owned() };
        }
    }
    Token { kind: Kind::Error, text: rest[..1].to_owned() }
}
