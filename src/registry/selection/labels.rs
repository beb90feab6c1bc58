//! Label selectors in text: `app=web,tier in (a, b),!old,count>3`.
//! Source: k8s.io/apimachinery/pkg/labels/selector.go.

use crate::api::status::quote;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

/// All requirements must hold; none: everything is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

impl LabelSelector {
    /// Reads a selector. `Err`: the text of Kubernetes' error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        parser.selector().map(LabelSelector)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether labels, looked up one by one, are selected.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| requirement.holds(label(&requirement.key)))
    }
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|v| v == value);
        let compare = |holds: fn(&i64, &i64) -> bool| {
            let present = value.and_then(|v| v.parse::<i64>().ok());
            let wanted = self.values.first().and_then(|v| v.parse::<i64>().ok());
            present.zip(wanted).is_some_and(|(present, wanted)| holds(&present, &wanted))
        };
        match self.operator {
            Operator::In => value.is_some_and(listed),
            Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compare(i64::gt),
            Operator::LessThan => compare(i64::lt),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    End,
    Word(String),
    /// `(`, `)`, `,`, `!`, `=`, `==`, `!=`, `<`, `>`, `in`, `notin`.
    Sign(&'static str),
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::End => "",
            Token::Word(word) => word,
            Token::Sign(sign) => sign,
        }
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self, Token::Sign(s) if *s == sign)
    }
}

const SIGNS: &[&str] = &["==", "!=", "(", ")", ",", "!", "=", "<", ">"];

fn tokens(text: &str) -> Vec<Token> {
    let special = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = rest.chars().next() else { break };
        if special(first) {
            let sign = SIGNS.iter().find(|s| rest.starts_with(**s)).copied().unwrap_or(",");
            found.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
            continue;
        }
        let end = rest.find(|c| special(c) || matches!(c, ' ' | '\t' | '\r' | '\n')).unwrap_or(rest.len());
        found.push(match &rest[..end] {
            "in" => Token::Sign("in"),
            "notin" => Token::Sign("notin"),
            word => Token::Word(word.to_owned()),
        });
        rest = &rest[end..];
    }
    found.push(Token::End);
    found
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    /// The next token; `in` and `notin` are words where values or keys are wanted.
    fn peek(&self, words: bool) -> Token {
        match self.tokens.get(self.at).cloned().unwrap_or(Token::End) {
            Token::Sign(sign @ ("in" | "notin")) if words => Token::Word(sign.to_owned()),
            token => token,
        }
    }

    fn next(&mut self, words: bool) -> Token {
        let token = self.peek(words);
        self.at += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut found = Vec::new();
        loop {
            match self.peek(true) {
                Token::Word(_) => {}
                token if token.is("!") => {}
                Token::End => return Ok(sorted(found)),
                token => {
                    return Err(format!("found '{}', expected: !, identifier, or 'end of string'", token.text()));
                }
            }
            found.push(self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?);
            match self.next(true) {
                Token::End => return Ok(sorted(found)),
                token if token.is(",") => {
                    let after = self.peek(true);
                    if !matches!(after, Token::Word(_)) && !after.is("!") {
                        return Err(format!("found '{}', expected: identifier after ','", after.text()));
                    }
                }
                token => return Err(format!("found '{}', expected: ',' or 'end of string'", token.text())),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.peek(true).is("!");
        if negated {
            self.at += 1;
        }
        let key = match self.next(true) {
            Token::Word(key) => key,
            token => return Err(format!("found '{}', expected: identifier", token.text())),
        };
        check_key(&key)?;
        if negated {
            return Ok(Requirement { key, operator: Operator::DoesNotExist, values: Vec::new() });
        }
        let next = self.peek(true);
        if next == Token::End || next.is(",") {
            return Ok(Requirement { key, operator: Operator::Exists, values: Vec::new() });
        }
        let operator = match self.next(false) {
            token if token.is("in") => Operator::In,
            token if token.is("notin") => Operator::NotIn,
            token if token.is("=") || token.is("==") => return self.exact(key, Operator::In),
            token if token.is("!=") => return self.exact(key, Operator::NotIn),
            token if token.is(">") => return self.exact(key, Operator::GreaterThan),
            token if token.is("<") => return self.exact(key, Operator::LessThan),
            token => {
                return Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", token.text()));
            }
        };
        let values = self.values()?;
        checked(Requirement { key, operator, values })
    }

    fn exact(&mut self, key: String, operator: Operator) -> Result<Requirement, String> {
        let next = self.peek(true);
        if next == Token::End || next.is(",") {
            return checked(Requirement { key, operator, values: vec![String::new()] });
        }
        match self.next(true) {
            Token::Word(value) => checked(Requirement { key, operator, values: vec![value] }),
            token => Err(format!("found '{}', expected: identifier", token.text())),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        let open = self.next(true);
        if !open.is("(") {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        let next = self.peek(true);
        if next.is(")") {
            self.at += 1;
            return Ok(vec![String::new()]);
        }
        if !matches!(next, Token::Word(_)) && !next.is(",") {
            return Err(format!("found '{}', expected: ',', ')' or identifier", next.text()));
        }
        let mut values = self.identifiers()?;
        let close = self.next(true);
        if !close.is(")") {
            return Err(format!("found '{}', expected: ')'", close.text()));
        }
        values.sort();
        values.dedup();
        Ok(values)
    }

    fn identifiers(&mut self) -> Result<Vec<String>, String> {
        let mut values = Vec::new();
        loop {
            match self.next(true) {
                Token::Word(value) => {
                    values.push(value);
                    let next = self.peek(true);
                    if next.is(")") {
                        return Ok(values);
                    }
                    if !next.is(",") {
                        return Err(format!("found '{}', expected: ',' or ')'", next.text()));
                    }
                }
                token if token.is(",") => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    let next = self.peek(true);
                    if next.is(")") {
                        values.push(String::new());
                        return Ok(values);
                    }
                    if next.is(",") {
                        self.at += 1;
                        values.push(String::new());
                    }
                }
                token => return Err(format!("found '{}', expected: ',', or identifier", token.text())),
            }
        }
    }
}

fn sorted(mut requirements: Vec<Requirement>) -> Vec<Requirement> {
    requirements.sort_by(|a, b| a.key.cmp(&b.key));
    requirements
}

fn checked(requirement: Requirement) -> Result<Requirement, String> {
    if matches!(requirement.operator, Operator::GreaterThan | Operator::LessThan) {
        for (index, value) in requirement.values.iter().enumerate() {
            if value.parse::<i64>().is_err() {
                return Err(format!(
                    "values[{index}]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer",
                    quote(value)
                ));
            }
        }
    }
    for (index, value) in requirement.values.iter().enumerate() {
        if let Some(why) = bad_value(value) {
            return Err(format!("values[{index}][{}]: Invalid value: {}: {why}", requirement.key, quote(value)));
        }
    }
    Ok(requirement)
}

const NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn bad_value(value: &str) -> Option<String> {
    if value.len() > 63 {
        return Some("must be no more than 63 bytes".into());
    }
    if value.is_empty() || is_name(value) {
        return None;
    }
    Some(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start \
         and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
         validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            .into(),
    )
}

/// apimachinery/pkg/util/validation: IsQualifiedName.
fn check_key(key: &str) -> Result<(), String> {
    let mut errors: Vec<String> = Vec::new();
    let (prefix, name) = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => (None, (*name).to_owned()),
        [prefix, name] => (Some((*prefix).to_owned()), (*name).to_owned()),
        _ => {
            let why = NAME.replacen("name part must", "a valid label key must", 1);
            let why = format!("{why} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
            return Err(format!("<nil>: Invalid value: {}: {why}", quote(key)));
        }
    };
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            errors.push("prefix part must be non-empty".into());
        } else if !is_subdomain(&prefix) {
            errors.push(
                "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
                 '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                 validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                    .into(),
            );
        }
    }
    if name.is_empty() {
        errors.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 bytes".into());
    }
    if !is_name(&name) {
        errors.push(NAME.into());
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(format!("<nil>: Invalid value: {}: {}", quote(key), errors.join("; ")))
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| {
            let bytes = part.as_bytes();
            let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            ends(bytes.first())
                && ends(bytes.last())
                && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        })
}
