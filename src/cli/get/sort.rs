//! `--sort-by`. Source: k8s.io/kubectl/pkg/cmd/get/sorter.go.

use crate::api::Json;
use crate::api::quantity::Quantity;
use crate::cli::CliError;
use crate::cli::print::gosort;
use crate::cli::print::jsonpath::{JsonPath, relaxed};

/// Objects in the order of what the path finds.
pub fn objects(items: Vec<Json>, path: &str) -> Result<Vec<Json>, CliError> {
    if items.is_empty() {
        return Ok(items);
    }
    let path = relaxed(path).map_err(CliError::Message)?;
    let order = order(items.iter(), &path).map_err(CliError::Message)?;
    let mut items: Vec<Option<Json>> = items.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|i| items[i].take()).collect())
}

/// Rows of a table in the order of what the path finds in their objects.
pub fn rows<'a>(rows: Vec<&'a Json>, path: &str) -> Result<Vec<&'a Json>, String> {
    let path = relaxed(path).unwrap_or_else(|_| path.to_owned());
    let empty = Json::Null;
    let order = order(rows.iter().map(|row| row.get("object").unwrap_or(&empty)), &path)?;
    Ok(order.into_iter().map(|i| rows[i]).collect())
}

/// The positions in sorted order; Go's sort is not stable, so it is Go's sort that is used.
fn order<'a>(items: impl Iterator<Item = &'a Json>, path: &str) -> Result<Vec<usize>, String> {
    let parsed = JsonPath::parse(path)?;
    let mut keys: Vec<(usize, Option<Json>)> = Vec::new();
    for (i, item) in items.enumerate() {
        let found = parsed.find(item)?;
        keys.push((i, found.into_iter().next().and_then(|first| first.into_iter().next()).map(|v| v.into_json())));
    }
    if keys.iter().all(|(_, key)| key.is_none()) {
        let quoted = crate::api::status::quote(path);
        return Err(format!("couldn't find any field with path {quoted} in the list of objects"));
    }
    gosort::sort(&mut keys, |a, b| match (&a.1, &b.1) {
        (None, _) => true,
        (_, None) => false,
        (Some(a), Some(b)) => less(a, b),
    });
    Ok(keys.into_iter().map(|(i, _)| i).collect())
}

fn less(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Null, Json::Null) | (_, Json::Null) => false,
        (Json::Null, _) => true,
        (Json::Number(a), Json::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a < b,
            _ => a.as_f64() < b.as_f64(),
        },
        (Json::String(a), Json::String(b)) => match (Quantity::parse(a), Quantity::parse(b)) {
            (Ok(a), Ok(b)) => a < b,
            _ => a < b,
        },
        (Json::Array(a), Json::Array(b)) => a.iter().zip(b).all(|(a, b)| less(a, b)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_numbers_and_names_have_their_own_orders() {
        let sorted = |values: Vec<Json>| {
            let items = values.into_iter().map(|v| json!({"v": v})).collect();
            let sorted = objects(items, ".v").unwrap();
            sorted.into_iter().map(|mut i| i["v"].take()).collect::<Vec<_>>()
        };
        assert_eq!(sorted(vec![json!("1Gi"), json!("100Mi"), json!("2")]), [json!("2"), json!("100Mi"), json!("1Gi")]);
        assert_eq!(sorted(vec![json!("a9"), json!("a10")]), [json!("a10"), json!("a9")]);
        assert_eq!(sorted(vec![json!(10), json!(9)]), [json!(9), json!(10)]);
        assert!(objects(vec![json!({})], ".x").is_err());
    }
}
