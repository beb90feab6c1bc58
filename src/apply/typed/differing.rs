//! Two trees cut down to where they differ: what compares them has less to read.

use crate::api::{Json, JsonMap};

/// Both trees without the fields that are equal in them; entries of lists stay. A comparison of what is left finds what one of the
/// whole trees finds.
pub fn differing(old: &Json, new: &Json) -> (Json, Json) {
    let (Json::Object(old), Json::Object(new)) = (old, new) else { return (old.clone(), new.clone()) };
    let (mut left, mut right) = (JsonMap::new(), JsonMap::new());
    for (key, was) in old {
        match new.get(key) {
            None => drop(left.insert(key.clone(), was.clone())),
            Some(is) if was == is => {}
            Some(is) => {
                let (was, is) = differing(was, is);
                left.insert(key.clone(), was);
                right.insert(key.clone(), is);
            }
        }
    }
    let fresh = new.iter().filter(|(key, _)| !old.contains_key(*key));
    right.extend(fresh.map(|(key, is)| (key.clone(), is.clone())));
    (Json::Object(left), Json::Object(right))
}
