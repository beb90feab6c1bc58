//! Trees read by the schema's list and map types: checked, merged, compared, cut to a set of fields.
//! Source of the rules: sigs.k8s.io/structured-merge-diff/v6/typed.

mod atom;
mod compare;
mod covers;
mod custom;
mod differing;
mod items;
mod merge;
mod reconcile;
mod structured;
mod validate;

pub use atom::{List, TypeRef};
pub use custom::CustomTypes;
pub use compare::{Comparison, compare, same};
pub use covers::covers;
pub use differing::differing;
pub use items::{field_set, remove_items, with_named_fields};
pub use merge::merge;
pub use reconcile::reconcile;
pub use structured::{reset, reset_of_custom, structured};
pub use validate::{Duplicates, TypeErrors, validate};

use crate::api::Json;
use crate::apply::fields::{Element, Scalar};

/// The step that names an entry of an associative list.
/// `Err`: the entry cannot be named; the text of the reason.
pub(crate) fn list_element(list: &List<'_>, item: &Json) -> Result<Element, String> {
    if list.keys.is_empty() { set_element(item) } else { keyed_element(list, item) }
}

fn set_element(item: &Json) -> Result<Element, String> {
    match item {
        Json::Object(_) => Err("associative list without keys has an element that's a map type".into()),
        Json::Array(_) => Err("not supported: associative list with lists as elements".into()),
        Json::Null => Err("associative list without keys has an element that's an explicit null".into()),
        value => Ok(Element::Value(Scalar(value.clone()))),
    }
}

fn keyed_element(list: &List<'_>, item: &Json) -> Result<Element, String> {
    let map = match item {
        Json::Object(map) => map,
        Json::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let mut keys = Vec::with_capacity(list.keys.len());
    for name in list.keys {
        if let Some(value) = map.get(name) {
            keys.push((name.clone(), Scalar(value.clone())));
        } else if let Some(default) = list.item.field(name).and_then(|f| f.default.as_ref()) {
            keys.push((name.clone(), Scalar(default.clone())));
        }
    }
    if keys.is_empty() {
        let names: Vec<_> = list.keys.iter().map(|k| crate::api::status::quote(k)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] \
             (and doesn't have default values for any key fields)",
            names.join(" ")
        ));
    }
    keys.sort();
    Ok(Element::Key(keys))
}

#[cfg(test)]
mod tests;
