//! The pods on a node that have not finished, with what they hold together: kept along, so that one pod more is judged without
//! adding up all others. Source: pkg/scheduler/framework/types.go: NodeInfo.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::affinity;
use crate::api::requests::{self, Amounts};

/// A pod on the node.
#[derive(Clone)]
pub struct Occupant {
    /// Its own; of a static pod that of its file.
    pub uid: String,
    pub pod: Arc<Pod>,
}

/// Pods, and the sums over them.
#[derive(Clone, Default)]
pub struct Occupants {
    all: Vec<Occupant>,
    places: HashMap<String, usize>,
    used: Amounts,
    /// Protocol and number of a host port → its addresses, and how many have each.
    ports: BTreeMap<(String, i32), BTreeMap<String, usize>>,
    /// How many keep others away.
    avoiding: usize,
}

impl Occupants {
    pub fn all(&self) -> &[Occupant] {
        &self.all
    }

    pub fn has(&self, uid: &str) -> bool {
        self.places.contains_key(uid)
    }

    /// Takes a pod in, in the place of an older version of it.
    pub fn put(&mut self, uid: String, pod: Arc<Pod>) {
        self.count(&pod, 1);
        match self.places.get(&uid) {
            Some(place) => {
                let before = std::mem::replace(&mut self.all[*place].pod, pod);
                self.count(&before, -1);
            }
            None => {
                self.places.insert(uid.clone(), self.all.len());
                self.all.push(Occupant { uid, pod });
            }
        }
    }

    /// The pod is gone or has finished.
    pub fn remove(&mut self, uid: &str) {
        let Some(place) = self.places.remove(uid) else { return };
        let before = self.all.swap_remove(place);
        self.count(&before.pod, -1);
        if let Some(moved) = self.all.get(place) {
            self.places.insert(moved.uid.clone(), place);
        }
    }

    /// Those of them that `stays` says, in their order.
    #[must_use]
    pub fn only(&self, stays: impl Fn(&Occupant) -> bool) -> Self {
        self.all.iter().filter(|one| stays(one)).map(|one| (one.uid.clone(), one.pod.clone())).collect()
    }

    fn count(&mut self, pod: &Pod, sign: i64) {
        for (name, amount) in requests::scheduled(pod) {
            *self.used.entry(name).or_default() += sign * amount;
        }
        let add = |count: &mut usize| *count = if sign > 0 { *count + 1 } else { count.saturating_sub(1) };
        for (protocol, number, ip) in pod.spec.iter().flat_map(host_ports) {
            let addresses = self.ports.entry((protocol, number)).or_default();
            add(addresses.entry(ip).or_default());
            addresses.retain(|_, count| *count > 0);
        }
        if affinity::avoids(pod).next().is_some() {
            add(&mut self.avoiding);
        }
    }

    /// How much of a resource they have.
    pub(super) fn used(&self, resource: &str) -> i64 {
        self.used.get(resource).copied().unwrap_or(0)
    }

    /// Whether one of them has a host port that `spec` asks for.
    pub(super) fn have_port_of(&self, spec: &PodSpec) -> bool {
        let any = |ip: &str| ip == "0.0.0.0" || ip == "::";
        host_ports(spec).into_iter().any(|(protocol, number, ip)| {
            let taken = self.ports.get(&(protocol, number));
            taken.is_some_and(|addresses| addresses.keys().any(|i| *i == ip || any(i) || any(&ip)))
        })
    }

    /// Whether any of them keeps others away.
    pub(super) fn avoid_others(&self) -> bool {
        self.avoiding > 0
    }
}

impl FromIterator<(String, Arc<Pod>)> for Occupants {
    fn from_iter<I: IntoIterator<Item = (String, Arc<Pod>)>>(pods: I) -> Self {
        let mut all = Occupants::default();
        pods.into_iter().for_each(|(uid, pod)| all.put(uid, pod));
        all
    }
}

/// Protocol, number and address of the host ports of a pod.
fn host_ports(spec: &PodSpec) -> Vec<(String, i32, String)> {
    let host_network = spec.host_network == Some(true);
    let sidecars = spec.init_containers.iter().flatten().filter(|c| requests::is_sidecar(c));
    let all = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    let ports = all.filter_map(|p| {
        let number = p.host_port.or(host_network.then_some(p.container_port)).filter(|n| *n > 0)?;
        let ip = p.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".into());
        Some((p.protocol.clone().unwrap_or_else(|| "TCP".into()), number, ip))
    });
    ports.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pod(uid: u8, milli: u16, port: Option<u16>, avoids: bool) -> Arc<Pod> {
        let mut spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": format!("{milli}m")}}}]});
        if let Some(port) = port {
            spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": port}]);
        }
        if avoids {
            spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!([{"topologyKey": "kubernetes.io/hostname"}]);
        }
        Arc::new(serde_json::from_value(json!({"metadata": {"name": "p", "uid": uid.to_string()}, "spec": spec})).unwrap())
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u8, u16, Option<u16>, bool),
        Remove(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let put = (0..6_u8, 0..500_u16, proptest::option::of(80..83_u16), any::<bool>())
            .prop_map(|(uid, milli, port, avoids)| Step::Put(uid, milli, port, avoids));
        proptest::collection::vec(prop_oneof![put, (0..6_u8).prop_map(Step::Remove)], 0..40)
    }

    proptest! {
        /// Whatever came and went: what is kept along is what adding up anew gives.
        #[test]
        fn sums_are_those_of_the_pods_that_are_there(steps in steps()) {
            let mut all = Occupants::default();
            let mut there = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Put(uid, milli, port, avoids) => {
                        all.put(uid.to_string(), pod(uid, milli, port, avoids));
                        there.insert(uid, (milli, port, avoids));
                    }
                    Step::Remove(uid) => {
                        all.remove(&uid.to_string());
                        there.remove(&uid);
                    }
                }
            }
            prop_assert_eq!(all.all().len(), there.len());
            prop_assert_eq!(all.used("cpu"), there.values().map(|(milli, ..)| i64::from(*milli)).sum::<i64>());
            prop_assert_eq!(all.avoid_others(), there.values().any(|(.., avoids)| *avoids));
            for port in 80..83_u16 {
                let asks = pod(9, 0, Some(port), false);
                let taken = there.values().any(|(_, p, _)| *p == Some(port));
                prop_assert_eq!(all.have_port_of(asks.spec.as_ref().unwrap()), taken);
            }
            for uid in 0..6_u8 {
                prop_assert_eq!(all.has(&uid.to_string()), there.contains_key(&uid));
            }
        }
    }
}
