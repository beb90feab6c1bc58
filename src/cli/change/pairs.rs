//! `KEY=VALUE` and `KEY-` behind the names of objects. Source: k8s.io/kubectl/pkg/cmd/util/helpers.go.

use std::collections::BTreeMap;

use crate::cli::CliError;

/// What to set, and what to take away.
#[derive(Debug, Default, PartialEq)]
pub struct Pairs {
    pub set: BTreeMap<String, String>,
    pub remove: Vec<String>,
}

fn is_pair(word: &str) -> bool {
    (word.contains('=') && !word.starts_with('=')) || (word.ends_with('-') && word != "-")
}

/// The words that name objects, and the pairs behind them.
pub fn split(args: &[String], what: &str) -> Result<(Vec<String>, Vec<String>), CliError> {
    let first = args.iter().position(|a| is_pair(a)).unwrap_or(args.len());
    let (names, pairs) = args.split_at(first);
    if let Some(late) = pairs.iter().find(|p| !is_pair(p)) {
        return Err(CliError::message(format!("all resources must be specified before {what} changes: {late}")));
    }
    Ok((names.to_vec(), pairs.to_vec()))
}

/// Takes pairs apart at their first `=`; `KEY-` only where something can be taken away.
pub fn parse(words: &[String], what: &str, removes: bool) -> Result<Pairs, CliError> {
    let mut pairs = Pairs::default();
    let mut wrong = Vec::new();
    for word in words {
        if let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) {
            pairs.set.insert(key.into(), value.into());
        } else if removes && word.ends_with('-') && word != "-" {
            pairs.remove.push(word[..word.len() - 1].into());
        } else {
            wrong.push(word.as_str());
        }
    }
    if wrong.is_empty() { Ok(pairs) } else { Err(CliError::message(format!("invalid {what} format: {}", wrong.join(", ")))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn pairs_stand_behind_names() {
        let (names, pairs) = split(&words("pod web a=b c-"), "label").unwrap();
        assert_eq!((names, pairs), (words("pod web"), words("a=b c-")));
        assert_eq!(
            split(&words("pod a=b web"), "label").unwrap_err().text(),
            "all resources must be specified before label changes: web"
        );
    }

    #[test]
    fn a_value_may_hold_equals_signs() {
        let pairs = parse(&words("a=b=c d-"), "annotation", true).unwrap();
        assert_eq!(pairs.set["a"], "b=c");
        assert_eq!(pairs.remove, ["d"]);
        assert_eq!(parse(&words("=x y"), "env", true).unwrap_err().text(), "invalid env format: =x, y");
    }
}
