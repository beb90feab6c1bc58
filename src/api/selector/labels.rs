//! Label selectors: parsed from a query or taken from an object, asked whether labels match.
//! Source: k8s.io/apimachinery/pkg/labels/selector.go.

use std::fmt;

use crate::api::validation::names;
use crate::api::{Json, Object, status::quote};

use super::lexer::{self, Kind, Token};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    Exists,
    DoesNotExist,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    /// Sorted, each once.
    pub values: Vec<String>,
}

/// All of some conditions; with none of them it matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Matches no object.
    pub fn nothing() -> Self {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }

    /// Reads the `labelSelector` of a query; `Err` is worded as the API server words it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: lexer::tokens(text), at: 0 };
        let mut requirements = parser.selector()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector { requirements, nothing: false })
    }

    /// From a `LabelSelector` object: `None` selects nothing, an empty one everything.
    /// Source: metav1.LabelSelectorAsSelector.
    pub fn of(selector: Option<&Json>) -> Result<Self, String> {
        let Some(selector) = selector.filter(|s| !s.is_null()) else { return Ok(LabelSelector::nothing()) };
        let mut requirements = Vec::new();
        let labels = selector.get("matchLabels").and_then(Json::as_object);
        for (key, value) in labels.into_iter().flatten() {
            let values = vec![value.as_str().unwrap_or("").to_owned()];
            requirements.push(Requirement::checked(key, Operator::Equals, values)?);
        }
        let expressions = selector.get("matchExpressions").and_then(Json::as_array);
        for expression in expressions.into_iter().flatten() {
            let text = |key: &str| expression.get(key).and_then(Json::as_str).unwrap_or("");
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{} is not a valid label selector operator", quote(other))),
            };
            let values = expression.get("values").and_then(Json::as_array);
            let values = values.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
            requirements.push(Requirement::checked(text("key"), operator, values)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector { requirements, nothing: false })
    }

    /// From plain equalities (a Service's or ReplicationController's selector).
    pub fn of_map(map: Option<&Json>) -> Self {
        let entries = map.and_then(Json::as_object);
        let requirements = entries
            .into_iter()
            .flatten()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::Equals,
                values: vec![value.as_str().unwrap_or("").to_owned()],
            })
            .collect();
        LabelSelector { requirements, nothing: false }
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether an object's labels satisfy it.
    pub fn matches(&self, object: &Object) -> bool {
        self.matches_by(|key| object.label(key))
    }

    /// Whether a map of labels satisfies it.
    pub fn matches_map(&self, labels: Option<&Json>) -> bool {
        self.matches_by(|key| labels?.get(key)?.as_str())
    }

    /// Whether the labels that `label` looks up satisfy it.
    pub fn matches_by<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(label(&r.key)))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::Greater => write!(f, "{key}>{values}"),
            Operator::Less => write!(f, "{key}<{values}"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

impl Requirement {
    /// A requirement that obeys the rules, or all that is wrong with it.
    fn checked(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, String> {
        let mut errors = Vec::new();
        if let Some(error) = key_error(key, "key") {
            errors.push(error);
        }
        let listed = || Json::from(values.clone()).to_string();
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => errors.push(format!(
                "values: Invalid value: {}: for 'in', 'notin' operators, values set can't be empty",
                listed()
            )),
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => errors.push(format!(
                "values: Invalid value: {}: exact-match compatibility requires one single value",
                listed()
            )),
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => errors.push(format!(
                "values: Invalid value: {}: values set must be empty for exists and does not exist",
                listed()
            )),
            Operator::Greater | Operator::Less => {
                if values.len() != 1 {
                    let says = "for 'Gt', 'Lt' operators, exactly one value is required";
                    errors.push(format!("values: Invalid value: {}: {says}", listed()));
                }
                for (index, value) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                    let says = "for 'Gt', 'Lt' operators, the value must be an integer";
                    errors.push(format!("values[{index}]: Invalid value: {}: {says}", quote(value)));
                }
            }
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                let says = wrong.join("; ");
                errors.push(format!("values[{index}][{key}]: Invalid value: {}: {says}", quote(value)));
            }
        }
        if !errors.is_empty() {
            return Err(aggregate(errors));
        }
        values.sort();
        values.dedup();
        Ok(Requirement { key: key.to_owned(), operator, values })
    }

    fn matches(&self, label: Option<&str>) -> bool {
        let among = |value: &str| self.values.iter().any(|v| v == value);
        let number = |compare: fn(i64, i64) -> bool| {
            let is = label.and_then(|v| v.parse::<i64>().ok());
            let limit = self.values.first().and_then(|v| v.parse::<i64>().ok());
            is.zip(limit).is_some_and(|(is, limit)| compare(is, limit))
        };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => label.is_some_and(among),
            Operator::NotIn | Operator::NotEquals => !label.is_some_and(among),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::Greater => number(|is, limit| is > limit),
            Operator::Less => number(|is, limit| is < limit),
        }
    }
}

fn aggregate(errors: Vec<String>) -> String {
    match errors.as_slice() {
        [one] => one.clone(),
        _ => format!("[{}]", errors.join(", ")),
    }
}

fn key_error(key: &str, path: &str) -> Option<String> {
    let wrong = names::qualified_name(key);
    (!wrong.is_empty()).then(|| format!("{path}: Invalid value: {}: {}", quote(key), wrong.join("; ")))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    /// The next token; where a value may stand, `in` and `notin` are plain words. The end is never passed.
    fn peek(&self, words: bool) -> Token {
        let mut token = self.tokens[self.at.min(self.tokens.len() - 1)].clone();
        if words && matches!(token.kind, Kind::In | Kind::NotIn) {
            token.kind = Kind::Identifier;
        }
        token
    }

    fn next(&mut self, words: bool) -> Token {
        let token = self.peek(words);
        self.at += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            let token = self.peek(true);
            match token.kind {
                Kind::Identifier | Kind::Not => {
                    let requirement = self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
                    requirements.push(requirement);
                    let token = self.next(true);
                    match token.kind {
                        Kind::End => return Ok(requirements),
                        Kind::Comma => {
                            let after = self.peek(true);
                            if !matches!(after.kind, Kind::Identifier | Kind::Not) {
                                return Err(format!("found '{}', expected: identifier after ','", after.text));
                            }
                        }
                        _ => return Err(format!("found '{}', expected: ',' or 'end of string'", token.text)),
                    }
                }
                Kind::End => return Ok(requirements),
                _ => return Err(format!("found '{}', expected: !, identifier, or 'end of string'", token.text)),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut token = self.next(true);
        let absent = token.kind == Kind::Not;
        if absent {
            token = self.next(true);
        }
        if token.kind != Kind::Identifier {
            return Err(format!("found '{}', expected: identifier", token.text));
        }
        let key = token.text;
        if let Some(error) = key_error(&key, "<nil>") {
            return Err(error);
        }
        if absent {
            return Requirement::checked(&key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(true).kind, Kind::End | Kind::Comma) {
            return Requirement::checked(&key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        Requirement::checked(&key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let token = self.next(false);
        Ok(match token.kind {
            Kind::In => Operator::In,
            Kind::Equals => Operator::Equals,
            Kind::DoubleEquals => Operator::DoubleEquals,
            Kind::Greater => Operator::Greater,
            Kind::Less => Operator::Less,
            Kind::NotIn => Operator::NotIn,
            Kind::NotEquals => Operator::NotEquals,
            _ => return Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", token.text)),
        })
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek(true).kind, Kind::End | Kind::Comma) {
            return Ok(String::new());
        }
        let token = self.next(true);
        match token.kind {
            Kind::Identifier => Ok(token.text),
            _ => Err(format!("found '{}', expected: identifier", token.text)),
        }
    }

    /// A list in parentheses; empty places in it are the empty value.
    fn values(&mut self) -> Result<Vec<String>, String> {
        let open = self.next(true);
        if open.kind != Kind::Open {
            return Err(format!("found '{}' expected: '('", open.text));
        }
        let first = self.peek(true);
        match first.kind {
            Kind::Identifier | Kind::Comma => {
                let mut values = self.listed()?;
                if self.next(true).kind != Kind::Close {
                    return Err(format!("found '{}', expected: ')'", first.text));
                }
                values.sort();
                values.dedup();
                Ok(values)
            }
            Kind::Close => {
                self.next(true);
                Ok(vec![String::new()])
            }
            _ => Err(format!("found '{}', expected: ',', ')' or identifier", first.text)),
        }
    }

    fn listed(&mut self) -> Result<Vec<String>, String> {
        let mut values = Vec::new();
        loop {
            let token = self.next(true);
            match token.kind {
                Kind::Identifier => {
                    values.push(token.text);
                    let after = self.peek(true);
                    match after.kind {
                        Kind::Comma => {}
                        Kind::Close => return Ok(values),
                        _ => return Err(format!("found '{}', expected: ',' or ')'", after.text)),
                    }
                }
                Kind::Comma => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.peek(true).kind {
                        Kind::Close => {
                            values.push(String::new());
                            return Ok(values);
                        }
                        Kind::Comma => values.push(String::new()),
                        _ => {}
                    }
                }
                _ => return Err(format!("found '{}', expected: ',', or identifier", token.text)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn shows(text: &str, expected: &str) {
        assert_eq!(LabelSelector::parse(text).unwrap().to_string(), expected);
    }

    #[test]
    fn selectors_are_read_and_shown_in_order_of_key() {
        shows("", "");
        shows("x in (b,a), !y ,a", "a,x in (a,b),!y");
        shows("a = b,c==d,e != f", "a=b,c==d,e!=f");
        shows("a in (,)", "a in ()");
        shows("n>1,m<2", "m<2,n>1");
        shows("in in (in)", "in in (in)");
    }

    #[test]
    fn malformed_selectors_are_refused_in_kubernetes_words() {
        let error = |text: &str| LabelSelector::parse(text).unwrap_err();
        assert_eq!(error("a,"), "found '', expected: identifier after ','");
        assert_eq!(error("(a)"), "found '(', expected: !, identifier, or 'end of string'");
        assert_eq!(error("a b"), "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
        assert!(error("a in b").ends_with("found 'b' expected: '('"));
    }

    #[test]
    fn absent_labels_satisfy_only_negations() {
        let labels = json!({"a": "1", "b": ""});
        let matches = |text: &str| LabelSelector::parse(text).unwrap().matches_map(Some(&labels));
        assert!(matches("a=1,b,!c,c!=x,c notin (x)"));
        assert!(!matches("c"));
        assert!(matches("a>0"));
        assert!(!matches("b>0"));
    }

    #[test]
    fn no_selector_object_selects_nothing_and_an_empty_one_everything() {
        assert!(!LabelSelector::of(None).unwrap().matches_map(None));
        assert!(LabelSelector::of(Some(&json!({}))).unwrap().matches_map(None));
    }
}
