//! Room for resizes: what has been promised to each pod, given out by one at a time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;

use super::pod::PodTask;
use super::scheduling;
use crate::api::requests::{self, Amounts};
use crate::node::resize::{self, Verdict};
use crate::runtime::Runtime;
use crate::state::State;

/// What this process has promised since it runs, by the pods' uids. It is ahead of the statuses that tell of it, so that two
/// pods are never promised the same room.
#[derive(Default)]
pub struct Room(Mutex<BTreeMap<String, Amounts>>);

impl Room {
    /// Gives `asked` to the pod if `judge` says so of what it has now and of what all others have.
    fn take(&self, uid: &str, asked: Amounts, on_node: &[(String, Amounts)], judge: impl FnOnce(&Amounts, &[Amounts]) -> Verdict) -> Verdict {
        let mut promised = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |(uid, told): &(String, Amounts)| promised.get(uid).unwrap_or(told).clone();
        let before = on_node.iter().find(|(other, _)| other == uid).map(has).unwrap_or_default();
        let others: Vec<Amounts> = on_node.iter().filter(|(other, _)| other != uid).map(has).collect();
        let verdict = judge(&before, &others);
        if verdict == Verdict::Fits {
            promised.insert(uid.to_owned(), asked);
        }
        verdict
    }

    /// The pod is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

impl<R: Runtime> PodTask<R> {
    /// Where the spec asks for something else than the pod was promised: whether it can have that.
    pub(super) fn judge_resize(&mut self, pod: &Pod, state: &State) {
        if self.fixed.is_some() || !resize::is_requested(pod, &mut self.memory) {
            return;
        }
        let (config, machine) = (self.shared.config(), self.shared.machine());
        let on_node: Vec<(String, Amounts)> = scheduling::on_node(state, &config.node_name)
            .all()
            .iter()
            .map(|one| (one.uid.clone(), requests::promised(&one.pod)))
            .collect();
        let asked = pod.spec.as_ref().map(requests::pod_requests).unwrap_or_default();
        let judge = |before: &Amounts, others: &[Amounts]| resize::judge(pod, before, others, &config, &machine);
        resize::decided(&mut self.memory, self.shared.room.take(&self.uid, asked, &on_node, judge));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(milli: i64) -> Amounts {
        Amounts::from([("cpu".to_owned(), milli)])
    }

    /// Fits while all have 1000 at most.
    fn within(asked: i64) -> impl Fn(&Amounts, &[Amounts]) -> Verdict {
        move |_, others| {
            let used: i64 = others.iter().map(|o| o["cpu"]).sum();
            if asked + used <= 1000 { Verdict::Fits } else { Verdict::Deferred(format!("used: {used}")) }
        }
    }

    #[test]
    fn two_pods_are_never_promised_the_same_room() {
        let room = Room::default();
        // No status tells of the first promise yet.
        let on_node = [("a".to_owned(), cpu(100)), ("b".to_owned(), cpu(100))];
        assert_eq!(room.take("a", cpu(800), &on_node, within(800)), Verdict::Fits);
        assert_eq!(room.take("b", cpu(300), &on_node, within(300)), Verdict::Deferred("used: 800".into()));
        assert_eq!(room.take("a", cpu(50), &on_node, within(50)), Verdict::Fits);
        assert_eq!(room.take("b", cpu(300), &on_node, within(300)), Verdict::Fits);
        room.forget("a");
        assert_eq!(room.take("b", cpu(900), &on_node, within(900)), Verdict::Fits);
    }
}
