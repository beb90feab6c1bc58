//! Endpoints' subsets in their one canonical form. Source: pkg/api/v1/endpoints/util.go (RepackSubsets).

use std::collections::BTreeMap;

use serde_json::json;

use super::super::resources::dig;
use crate::api::Json;

/// Most addresses of one Endpoints. Source: pkg/controller/endpoint/endpoints_controller.go (maxCapacity).
const MOST: usize = 1000;

/// Addresses by port; `None` is a Service without ports.
#[derive(Default)]
pub(super) struct Offers {
    addresses: BTreeMap<Who, Json>,
    /// Port (as text, which orders them) → who offers it, and whether they are ready.
    by_port: BTreeMap<String, (Option<Json>, BTreeMap<Who, bool>)>,
}

/// IP and uid, by which addresses are told apart and ordered.
type Who = (String, String);

impl Offers {
    pub fn add(&mut self, address: &Json, port: Option<Json>, ready: bool) {
        let field = |path: &[&str]| dig(address, path).as_str().unwrap_or("").to_owned();
        let who = (field(&["ip"]), field(&["targetRef", "uid"]));
        self.addresses.entry(who.clone()).or_insert_with(|| address.clone());
        let name = port.as_ref().map_or(String::new(), port_order);
        let (_, offered) = self.by_port.entry(name).or_insert_with(|| (port, BTreeMap::new()));
        // Not ready by one port's telling is not ready.
        offered.entry(who).and_modify(|was| *was &= ready).or_insert(ready);
    }

    /// Ports with the same addresses in the same state share a subset.
    pub fn subsets(&self) -> Vec<Json> {
        let mut grouped: BTreeMap<Vec<(&Who, bool)>, Vec<Json>> = BTreeMap::new();
        let mut order = Vec::new();
        for (port, offered) in self.by_port.values() {
            let key: Vec<_> = offered.iter().map(|(who, ready)| (who, *ready)).collect();
            if !order.contains(&key) {
                order.push(key.clone());
            }
            grouped.entry(key).or_default().extend(port.clone());
        }
        order.iter().map(|key| self.subset(key, &grouped[key])).collect()
    }

    fn subset(&self, who: &[(&Who, bool)], ports: &[Json]) -> Json {
        let side = |ready: bool| -> Vec<&Json> {
            who.iter().filter(|(_, r)| *r == ready).map(|(who, _)| &self.addresses[*who]).collect()
        };
        let mut subset = json!({});
        for (field, list) in [("addresses", side(true)), ("notReadyAddresses", side(false))] {
            if !list.is_empty() {
                subset[field] = json!(list);
            }
        }
        if !ports.is_empty() {
            subset["ports"] = json!(ports);
        }
        subset
    }
}

fn port_order(port: &Json) -> String {
    let field = |name: &str| dig(port, &[name]).as_str().unwrap_or("").to_owned();
    let number = dig(port, &["port"]).as_i64().unwrap_or(0);
    format!("{number:06} {} {} {}", field("protocol"), field("name"), field("appProtocol"))
}

fn len(subset: &Json, field: &str) -> usize {
    dig(subset, &[field]).as_array().map_or(0, Vec::len)
}

fn total(subsets: &[Json], field: &str) -> usize {
    subsets.iter().map(|s| len(s, field)).sum()
}

/// Whether there are more addresses than one Endpoints may hold.
pub(super) fn is_over_capacity(subsets: &[Json]) -> bool {
    total(subsets, "addresses") + total(subsets, "notReadyAddresses") > MOST
}

/// Leaves as many addresses as one Endpoints may hold: ready ones before others, each subset its share.
pub(super) fn truncate(subsets: &mut [Json]) {
    let ready = total(subsets, "addresses");
    let (field, all, most) = if ready > MOST {
        ("addresses", ready, MOST)
    } else {
        ("notReadyAddresses", total(subsets, "notReadyAddresses"), MOST - ready)
    };
    let mut left = most;
    for subset in subsets {
        let share = (len(subset, field) * most).div_ceil(all.max(1)).min(left);
        left -= share.min(len(subset, field));
        if let Some(list) = subset.get_mut(field).and_then(Json::as_array_mut) {
            list.truncate(share);
        }
        let Some(fields) = subset.as_object_mut() else { continue };
        if field == "addresses" {
            fields.remove("notReadyAddresses");
        }
        fields.retain(|_, list| list.as_array().is_none_or(|list| !list.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: usize) -> Json {
        json!({"ip": format!("10.1.{}.{}", n / 250, n % 250), "targetRef": {"uid": n.to_string()}})
    }

    fn port(number: i64) -> Option<Json> {
        Some(json!({"name": "", "port": number, "protocol": "TCP"}))
    }

    #[test]
    fn ports_with_the_same_addresses_share_a_subset() {
        let mut offers = Offers::default();
        for (pod, number, ready) in [(1, 80, true), (1, 81, true), (2, 80, false), (2, 81, false), (3, 9090, true)] {
            offers.add(&address(pod), port(number), ready);
        }
        let subsets = offers.subsets();
        assert_eq!(subsets.len(), 2);
        assert_eq!(dig(&subsets[0], &["ports"]).as_array().unwrap().len(), 2);
        assert_eq!(subsets[0]["addresses"], json!([address(1)]));
        assert_eq!(subsets[0]["notReadyAddresses"], json!([address(2)]));
        assert_eq!(subsets[1]["addresses"], json!([address(3)]));
    }

    #[test]
    fn an_address_that_is_not_ready_once_is_not_ready() {
        let mut offers = Offers::default();
        offers.add(&address(1), None, true);
        offers.add(&address(1), None, false);
        assert_eq!(offers.subsets(), [json!({"notReadyAddresses": [address(1)]})]);
    }

    #[test]
    fn of_too_many_addresses_the_ready_ones_stay() {
        let mut offers = Offers::default();
        for n in 0..1200 {
            offers.add(&address(n), port(80), n % 2 == 0);
        }
        let mut subsets = offers.subsets();
        assert!(is_over_capacity(&subsets));
        truncate(&mut subsets);
        assert_eq!((len(&subsets[0], "addresses"), len(&subsets[0], "notReadyAddresses")), (600, 400));
        for n in 0..1200 {
            offers.add(&address(2000 + n), port(80), true);
        }
        let mut subsets = offers.subsets();
        truncate(&mut subsets);
        assert_eq!((len(&subsets[0], "addresses"), len(&subsets[0], "notReadyAddresses")), (1000, 0));
    }
}
