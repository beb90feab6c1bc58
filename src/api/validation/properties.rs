//! What holds for every tree the decoder lets through, whatever is in it.

use proptest::prelude::*;
use serde_json::json;

use crate::api::schema::{Field, Schema, Type};
use crate::api::{Gvk, Json, JsonMap, Object, decode, defaults};

/// Words that mean something somewhere, and words that are wrong everywhere.
const WORDS: &[&str] = &[
    "", "a", "x-1", "web", "A_b", "-", ".", "..", "a/b", "/", "a/b/c", "example.com", "example.com/a", "a%b", "é", "0",
    "80", "65536", "-1", "25%", "101%", "10Gi", "1.2.3.4", "010.1.2.3", "::1", "fe80::1%eth0", "10.0.0.0/8", "10.0.0.1/8", "::/0",
    "None", "*", "*.example.com", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "IPv4", "IPv6", "FQDN",
    "SingleStack", "PreferDualStack", "TCP", "UDP", "Always", "Never", "OnFailure", "Recreate", "RollingUpdate",
    "OnDelete", "Indexed", "NonIndexed", "Complete", "Failed", "True", "False", "In", "NotIn", "Exists", "Gt", "FailJob",
    "FailIndex", "Ignore", "Count", "0,2-4", "4-2", "1-", "@every 1s", "*/5 * * * *", "TZ=UTC * * * * *", "Local",
    "Europe/Berlin", "Container", "Pod", "PersistentVolumeClaim", "Resource", "Utilization", "cpu", "memory",
    "requests.cpu", "count/pods", "Role", "ClusterRole", "User", "Group", "ServiceAccount", "kubernetes.io/tls",
    "kubernetes.io/dockerconfigjson", "{}", "{\"auths\":{}}", "Filesystem", "Block", "Retain", "Delete", "Recycle",
    "ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany", "key", "kubernetes.io/metadata.name", "e30=", "AAAA", "Exact",
    "Prefix", "ImplementationSpecific", "Namespaced", "Cluster", "structural", "object", "v1", "v1beta1", "NamespaceLifecycle",
];

const QUANTITIES: &[&str] = &["0", "1", "500m", "1Gi", "-1", "1e30", "10", "0.1", "1n", "100Ei"];
const TIMES: &[&str] = &["2020-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2262-04-11T23:47:16Z"];
const NUMBERS: &[i64] = &[0, 1, 2, 3, -1, 80, 255, 256, 65535, 65536, 100_000, 100_001, 1 << 31, i64::MAX, i64::MIN];

/// Draws trees of a type from a seed.
struct Drawer {
    state: u64,
}

impl Drawer {
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap_or_default() % bound
    }

    fn one(&mut self, words: &[&str]) -> String {
        words[self.below(words.len())].to_owned()
    }

    fn object(&mut self, gvk: &Gvk) -> Json {
        let kind = Schema::get().type_of(gvk).expect("the schema has the kind");
        let mut tree = self.fields(kind, 0);
        tree["apiVersion"] = json!(gvk.api_version());
        tree["kind"] = json!(gvk.kind);
        if self.below(4) > 0 {
            tree["metadata"] = json!({"name": self.one(WORDS), "namespace": "default"});
        }
        tree
    }

    fn fields(&mut self, kind: &Type, depth: usize) -> Json {
        let mut map = JsonMap::new();
        // Some trees are full, some sparse: with a fixed share deep trees would never be nearly whole.
        let share = [1, 2, 4][self.below(3)];
        for (name, field) in kind.fields.iter().flatten() {
            if depth < 2 && self.below(4) > 0 || kind.required.contains(name) || self.below(share + depth / 2) == 0 {
                map.insert(name.clone(), self.field(field, depth + 1));
            }
        }
        Json::Object(map)
    }

    fn field(&mut self, field: &Field, depth: usize) -> Json {
        if let Some(name) = &field.reference {
            return self.named(name, depth);
        }
        if let Some(choices) = &field.choices
            && self.below(3) > 0
        {
            return choices[self.below(choices.len())].clone();
        }
        match field.kind.as_deref() {
            Some("integer") if field.format.as_deref() == Some("int32") => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                json!(i32::try_from(number).unwrap_or(i32::MAX))
            }
            Some("integer") => json!(NUMBERS[self.below(NUMBERS.len())]),
            Some("number") => json!(1.5),
            Some("boolean") => json!(self.below(2) == 0),
            Some("array") if depth < 12 => {
                let items = field.items.as_deref();
                (0..self.below(4)).map(|_| items.map_or(Json::Null, |items| self.field(items, depth + 1))).collect()
            }
            Some("object") if depth < 12 => {
                let mut map = JsonMap::new();
                for _ in 0..self.below(4) {
                    let value = field.values.as_deref().map_or(json!("x"), |values| self.field(values, depth + 1));
                    map.insert(self.one(WORDS), value);
                }
                Json::Object(map)
            }
            Some("string") if field.format.as_deref() == Some("byte") => json!(self.one(&["", "e30=", "AAAA", "YQ=="])),
            Some("string") => json!(self.one(WORDS)),
            _ => Json::Null,
        }
    }

    fn named(&mut self, name: &str, depth: usize) -> Json {
        let Some(kind) = Schema::get().type_named(name) else { return Json::Null };
        match name.rsplit('.').next() {
            Some("Quantity") => json!(self.one(QUANTITIES)),
            Some("IntOrString") if self.below(2) == 0 => json!(self.one(WORDS)),
            Some("IntOrString") => json!(i32::try_from(NUMBERS[self.below(NUMBERS.len())]).unwrap_or(7)),
            Some("Time") => json!(self.one(TIMES)),
            Some("MicroTime") => json!("2020-01-01T00:00:00.000001Z"),
            _ if kind.fields.is_some() && depth < 14 => self.fields(kind, depth),
            _ if kind.fields.is_some() => json!({}),
            _ if kind.kind.as_deref() == Some("object") => json!({"a": 1}),
            _ => Json::Null,
        }
    }
}

/// Every kind that can be written.
fn kinds() -> Vec<Gvk> {
    let mut kinds: Vec<Gvk> = Schema::get()
        .resources
        .iter()
        .map(|r| Gvk { group: r.group.clone(), version: r.version.clone(), kind: r.kind.clone() })
        .filter(|gvk| Schema::get().type_of(gvk).is_some())
        .collect();
    kinds.sort_by(|a, b| (&a.group, &a.version, &a.kind).cmp(&(&b.group, &b.version, &b.kind)));
    kinds.dedup();
    kinds
}

/// A decoded tree of `gvk`; none where what was drawn does not decode.
fn decoded(gvk: &Gvk, seed: u64) -> Option<Json> {
    let drawn = Drawer { state: seed | 1 }.object(gvk);
    decode::decode(gvk, drawn).ok().map(|decoded| decoded.tree)
}

fn filled(gvk: &Gvk, seed: u64) -> Option<Object> {
    let mut tree = decoded(gvk, seed)?;
    defaults::fill(gvk, &mut tree);
    Some(Object::new(tree))
}

#[test]
fn most_trees_drawn_decode_and_every_kind_is_drawn() {
    for gvk in kinds() {
        let decoded = (1..=40).filter(|seed: &u64| decoded(&gvk, u64::wrapping_mul(*seed, 0x9E37_79B9_7F4A_7C15)).is_some()).count();

        assert!(decoded > 10, "{gvk:?}: {decoded} of 40");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn defaults_filled_twice_are_those_filled_once(seed: u64) {
        for gvk in kinds() {
            let Some(once) = filled(&gvk, seed) else { continue };
            let mut twice = once.json().clone();
            defaults::fill(&gvk, &mut twice);
            prop_assert_eq!(once.json(), &twice, "{:?}", gvk);
        }
    }

    #[test]
    fn trees_with_defaults_decode_to_themselves(seed: u64) {
        for gvk in kinds() {
            let Some(object) = filled(&gvk, seed) else { continue };
            let again = decode::decode(&gvk, object.json().clone()).map(|decoded| decoded.tree);
            prop_assert_eq!(again.as_ref(), Ok(object.json()), "{:?}", gvk);
        }
    }

    #[test]
    fn no_tree_makes_the_rules_panic(seed: u64, other: u64) {
        for gvk in kinds() {
            let (Some(new), Some(old)) = (filled(&gvk, seed), filled(&gvk, other)) else { continue };
            super::create(&gvk, &new);
            super::warnings(&gvk, &new, None);
            super::update(&gvk, &new, &old);
            super::update_status(&gvk, &new, &old);
            super::warnings(&gvk, &new, Some(&old));
        }
    }
}
