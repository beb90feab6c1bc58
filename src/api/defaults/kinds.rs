//! Which module holds the defaults of which kind (all but Pod).

use crate::api::{Gvk, Json};

/// Fills the defaults of a kind into the tree.
pub fn fill(gvk: &Gvk, tree: &mut Json) {
    let _ = (gvk, tree);
}
