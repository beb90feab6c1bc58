//! Names that controllers give: hashes of templates and random endings, in Kubernetes' alphabet.

use crate::api::{Json, Random};

/// Letters and digits that make no words and are hard to mistake for each other.
/// Source: k8s.io/apimachinery/pkg/util/rand.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Longest prefix that a generated name keeps: 63 less five random letters.
/// Source: k8s.io/apiserver/pkg/storage/names/generate.go.
const LONGEST_BASE: usize = 58;

/// `base` and five random letters.
pub(super) fn generated(base: &str, random: &mut dyn Random) -> String {
    let mut name: String = base.chars().take(LONGEST_BASE).collect();
    let mut bits = random.next_u64();
    for _ in 0..5 {
        name.push(char::from(ALPHABET[(bits % 27) as usize]));
        bits /= 27;
    }
    name
}

/// Spells a number with Kubernetes' alphabet, digit by digit.
pub(super) fn safe_encoded(number: u32) -> String {
    number.to_string().bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// A hash of a tree that does not depend on the order of fields, and of how often it collided.
/// It is part of names that live on: its values never change.
pub(super) fn hash(tree: &Json, collisions: Option<i64>) -> String {
    let mut hash = Fnv::new();
    hash.tree(tree);
    if let Some(count) = collisions {
        hash.bytes(&(count as i32).to_le_bytes());
    }
    safe_encoded(hash.0)
}

/// FNV-1a of 32 bits.
struct Fnv(u32);

impl Fnv {
    fn new() -> Self {
        Fnv(0x811c_9dc5)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    fn tree(&mut self, tree: &Json) {
        match tree {
            Json::Object(map) => {
                let mut fields: Vec<_> = map.iter().filter(|(_, v)| !v.is_null()).collect();
                fields.sort_by_key(|(name, _)| *name);
                self.bytes(b"{");
                for (name, value) in fields {
                    self.bytes(name.as_bytes());
                    self.bytes(b"\0");
                    self.tree(value);
                }
                self.bytes(b"}");
            }
            Json::Array(list) => {
                self.bytes(b"[");
                list.iter().for_each(|item| self.tree(item));
                self.bytes(b"]");
            }
            scalar => {
                self.bytes(scalar.to_string().as_bytes());
                self.bytes(b",");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hash_of_a_template_is_the_same_in_every_version() {
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}});
        let first = hash(&template, None);
        assert_eq!(first, hash(&template, None));
        assert_ne!(first, hash(&template, Some(0)));
        assert_ne!(hash(&template, Some(0)), hash(&template, Some(1)));
        assert!(first.bytes().all(|b| ALPHABET.contains(&b)));
        assert_eq!(first, "78bf988969");
    }
}
