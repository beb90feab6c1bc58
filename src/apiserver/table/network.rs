//! Rows of services and what is about them. Source: printService, printEndpoints, printEndpointSlice, printIngress.

use serde_json::json;

use super::view::{View, int, list, text};
use crate::api::Json;
use crate::api::shown::{balancer, first, host_port, labels, selector};

/// So many endpoints are listed.
const MOST: usize = 3;

pub(super) fn cells(resource: &str, view: &View<'_>) -> Vec<Json> {
    match resource {
        "services" => service(view),
        "endpoints" => vec![json!(endpoints(view)), view.own_age()],
        "endpointslices" => slice(view),
        "ingresses" => ingress(view),
        "networkpolicies" => vec![json!(selector(view.get("/spec/podSelector"))), view.own_age()],
        "servicecidrs" => {
            let cidrs: Vec<&str> = view.list("/spec/cidrs").iter().filter_map(Json::as_str).collect();
            vec![json!(cidrs.join(",")), view.own_age()]
        }
        _ => vec![view.own_age()],
    }
}

/// An IngressClass; the default one is marked. Source: printIngressClass.
pub(super) fn class(view: &View<'_>) -> Vec<Json> {
    let is_default = view.text("/metadata/annotations/ingressclass.kubernetes.io~1is-default-class") == "true";
    let name = view.text("/metadata/name");
    let parameters = view.at("/spec/parameters").map_or("<none>".to_owned(), |p| {
        let group = Some(text(p, "/apiGroup")).filter(|g| !g.is_empty()).map(|g| format!(".{g}"));
        format!("{}{}/{}", text(p, "/kind"), group.unwrap_or_default(), text(p, "/name"))
    });
    vec![
        json!(if is_default { format!("{name} (default)") } else { name.to_owned() }),
        json!(view.text("/spec/controller")),
        json!(parameters),
        view.own_age(),
    ]
}

fn joined(items: &[Json]) -> String {
    items.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(",")
}

fn service(view: &View<'_>) -> Vec<Json> {
    let ports: Vec<String> = view
        .list("/spec/ports")
        .iter()
        .map(|port| match int(port, "/nodePort") {
            0 => format!("{}/{}", int(port, "/port"), text(port, "/protocol")),
            node => format!("{}:{node}/{}", int(port, "/port"), text(port, "/protocol")),
        })
        .collect();
    let address = view.list("/spec/clusterIPs").first().and_then(Json::as_str).unwrap_or("<none>");
    vec![
        json!(view.text("/spec/type")),
        json!(address),
        json!(external(view)),
        json!(if ports.is_empty() { "<none>".into() } else { ports.join(",") }),
        view.own_age(),
        json!(labels(view.get("/spec/selector"))),
    ]
}

fn external(view: &View<'_>) -> String {
    let own = joined(view.list("/spec/externalIPs"));
    match view.text("/spec/type") {
        "ExternalName" => view.text("/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let given = balancer(view.list("/status/loadBalancer/ingress"));
            match (given.is_empty(), own.is_empty()) {
                (true, true) => "<pending>".into(),
                (false, true) => given,
                (true, false) => own,
                (false, false) => format!("{given},{own}"),
            }
        }
        "ClusterIP" | "NodePort" if own.is_empty() => "<none>".into(),
        "ClusterIP" | "NodePort" => own,
        _ => "<unknown>".into(),
    }
}

/// Ready addresses alone: with none of them the cell stays empty. Source: printers.go (`formatEndpoints`).
fn endpoints(view: &View<'_>) -> String {
    let subsets = view.list("/subsets");
    if subsets.is_empty() {
        return "<none>".into();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = list(subset, "/addresses");
        let ports = list(subset, "/ports");
        if ports.is_empty() {
            all.extend(addresses.iter().map(|a| text(a, "/ip").to_owned()));
        }
        for port in ports {
            all.extend(addresses.iter().map(|a| host_port(text(a, "/ip"), int(port, "/port"))));
        }
    }
    first(&all, MOST)
}

/// A port's number, else its name, even an empty one. Source: printers.go (`formatDiscoveryPorts`).
fn slice(view: &View<'_>) -> Vec<Json> {
    let shown = |port: &Json| match (port.get("port").and_then(Json::as_i64), port.get("name").and_then(Json::as_str)) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".into(),
    };
    let ports: Vec<String> = view.list("/ports").iter().map(shown).collect();
    let addresses: Vec<String> =
        view.list("/endpoints").iter().flat_map(|e| list(e, "/addresses")).filter_map(|a| Some(a.as_str()?.to_owned())).collect();
    let show = |items: &[String]| Some(first(items, MOST)).filter(|text| !text.is_empty()).unwrap_or("<unset>".into());
    vec![json!(view.text("/addressType")), json!(show(&ports)), json!(show(&addresses)), view.own_age()]
}

/// The first hosts, and how many rules are left, even those without a host. Source: printers.go (`formatHosts`).
fn hosts(rules: &[Json]) -> String {
    let mut named = rules.iter().enumerate().map(|(i, rule)| (i, text(rule, "/host"))).filter(|(_, host)| !host.is_empty());
    let shown: Vec<(usize, &str)> = named.by_ref().take(MOST).collect();
    let Some((last, _)) = shown.last() else { return "*".into() };
    let listed = shown.iter().map(|(_, host)| *host).collect::<Vec<_>>().join(",");
    if shown.len() < MOST || last + 1 == rules.len() {
        return listed;
    }
    format!("{listed} + {} more...", rules.len() - MOST)
}

fn ingress(view: &View<'_>) -> Vec<Json> {
    let shown = hosts(view.list("/spec/rules"));
    let ports = if view.list("/spec/tls").is_empty() { "80" } else { "80, 443" };
    vec![
        json!(view.text_or("/spec/ingressClassName", "<none>")),
        json!(shown),
        json!(balancer(view.list("/status/loadBalancer/ingress"))),
        json!(ports),
        view.own_age(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: fn(&View<'_>) -> Vec<Json>, object: Json) -> Vec<Json> {
        cells(&View { object: &object, now: jiff::Timestamp::UNIX_EPOCH })
    }

    #[test]
    fn endpoints_without_a_ready_address_show_nothing() {
        let shown = |object: Json| endpoints(&View { object: &object, now: jiff::Timestamp::UNIX_EPOCH });
        assert_eq!(shown(json!({})), "<none>");
        assert_eq!(shown(json!({"subsets": [{"notReadyAddresses": [{"ip": "10.0.0.7"}], "ports": [{"port": 5432}]}]})), "");
        assert_eq!(shown(json!({"subsets": [{"addresses": [{"ip": "10.0.0.7"}]}]})), "10.0.0.7");
    }

    #[test]
    fn a_slice_shows_the_names_of_ports_without_a_number() {
        let shown = |ports: Json| row(slice, json!({"addressType": "IPv4", "ports": ports}))[1].clone();
        assert_eq!(shown(json!([{"name": "db"}, {"name": "web", "port": 8080}, {}])), "db,8080,*");
        assert_eq!(shown(json!([{"name": ""}])), "<unset>");
        assert_eq!(shown(json!([{"name": ""}, {"name": "", "port": 53}])), ",53");
        assert_eq!(shown(json!([])), "<unset>");
    }

    #[test]
    fn an_ingress_shows_three_hosts_and_counts_the_rules_left() {
        let rules = |hosts: &[&str]| hosts.iter().map(|host| json!({"host": host})).collect::<Vec<_>>();
        assert_eq!(hosts(&[]), "*");
        assert_eq!(hosts(&rules(&["", ""])), "*");
        assert_eq!(hosts(&rules(&["a", "", "b", "c"])), "a,b,c");
        assert_eq!(hosts(&rules(&["a", "b", "c", ""])), "a,b,c + 1 more...");
        assert_eq!(hosts(&rules(&["a", "b", "c", "d", "e"])), "a,b,c + 2 more...");
    }
}
