//! Each ended pod is counted once: it is named in the status, then let go, then counted; a crash between
//! any two of these writes loses and doubles nothing.

use std::collections::HashSet;

use k8s_openapi::api::batch::v1::JobStatus;

use super::sync::{Sync, set};
use super::{COMPONENT, policy, without_finalizer};
use crate::api::digest::Phase;
use crate::controllers::pods::PodView;
use crate::controllers::resources::{PODS, key_of};

/// Most pods named in a status at a time. Source: MaxUncountedPods.
const MOST_NAMED: usize = 500;

fn as_number(count: usize) -> Option<i32> {
    i32::try_from(count).ok().filter(|n| *n > 0)
}

impl<'s> Sync<'s> {
    pub(super) fn track(&mut self) {
        self.status.active = as_number(self.counts.active);
        self.status.ready = i32::try_from(self.counts.ready).ok();
        self.status.terminating = i32::try_from(self.counts.terminating).ok();
        count_those_let_go(&mut self.status, &self.pods, &[]);
        let (free, all) = self.name_ended();
        if self.is_indexed() {
            self.status.succeeded = as_number(self.succeeded_indexes.total());
            self.status.completed_indexes = Some(self.succeeded_indexes.to_string()).filter(|text| !text.is_empty());
            self.status.failed_indexes = self.failed_indexes.as_ref().map(ToString::to_string);
        }
        self.tell_intention();
        self.write_status();
        for pod in &free {
            self.decision.patch(key_of(&PODS, pod), without_finalizer(pod));
        }
        count_those_let_go(&mut self.status, &self.pods, &free);
        let over = all && self.finish();
        self.write_status();
        if over {
            self.tell_end();
        }
    }

    /// Names the ended pods that are not yet counted; they may be let go once that is written. `false`
    /// where there were too many for one time.
    fn name_ended(&mut self) -> (Vec<PodView<'s>>, bool) {
        let mut free = Vec::new();
        let mut new_indexes = 0;
        let named = self.status.uncounted_terminated_pods.get_or_insert_default();
        let mut succeeded = named.succeeded.take().unwrap_or_default();
        let mut failed = named.failed.take().unwrap_or_default();
        let success = self.ending.as_ref().is_some_and(|c| c.type_ == "SuccessCriteriaMet");
        let mut all = true;
        let tracked = self.pods.iter().filter(|pod| pod.facts.is_tracked);
        let mut ended: Vec<PodView<'_>> = tracked.filter(|pod| self.may_be_let_go(pod)).copied().collect();
        if self.is_indexed() {
            ended.sort_by_key(|pod| pod.facts.index);
        }
        for pod in ended {
            let is_failed = policy::is_failed(self.spec, &pod);
            free.push(pod);
            let uid = pod.uid().to_owned();
            let index = self.valid_index(&pod);
            if pod.phase() == Phase::Succeeded && !self.named_failed.contains(&uid) {
                if self.is_indexed() {
                    // Indexes are told without names, so those of pods that are not yet let go are told too.
                    new_indexes += usize::from(index.is_some_and(|index| !self.earlier_indexes.has(index)));
                } else if !self.named_succeeded.contains(&uid) {
                    succeeded.push(uid);
                }
            } else if (is_failed || (self.ending.is_some() && !success))
                && !self.named_failed.contains(&uid)
                && (!self.is_indexed() || index.is_some())
                && policy::counts(self.spec, &pod)
            {
                failed.push(uid);
            }
            if new_indexes + succeeded.len() + failed.len() >= MOST_NAMED {
                all = false;
                break;
            }
        }
        let named = self.status.uncounted_terminated_pods.get_or_insert_default();
        named.succeeded = Some(succeeded).filter(|list| !list.is_empty());
        named.failed = Some(failed).filter(|list| !list.is_empty());
        (free, all)
    }

    fn may_be_let_go(&self, pod: &PodView<'_>) -> bool {
        if self.object.is_deleting() || self.ending.is_some() || pod.phase() == Phase::Succeeded {
            return true;
        }
        let is_kept = || pod.index().and_then(|index| self.kept.get(&index)).is_some_and(|kept| kept.uid() == pod.uid());
        policy::is_failed(self.spec, pod) && !is_kept()
    }

    /// What the Job will end with is written before its pods are let go.
    fn tell_intention(&mut self) {
        let Some(ending) = self.ending.take() else { return };
        let (reason, message) = (ending.reason.clone().unwrap_or_default(), ending.message.clone().unwrap_or_default());
        self.ending = Some(match ending.type_.as_str() {
            "FailureTarget" => {
                set(&mut self.status, ending);
                self.condition("Failed", &reason, &message)
            }
            "SuccessCriteriaMet" => {
                set(&mut self.status, ending);
                self.condition("Complete", &reason, &message)
            }
            _ => ending,
        });
    }

    /// Marks the Job as over, when nothing is left to count and no pod is still ending.
    fn finish(&mut self) -> bool {
        let Some(ending) = &self.ending else { return false };
        let named = self.status.uncounted_terminated_pods.as_ref();
        let uncounted = named.is_some_and(|pods| pods.succeeded.is_some() || pods.failed.is_some());
        if uncounted || self.counts.terminating > 0 {
            return false;
        }
        if ending.type_ == "Complete" {
            self.status.completion_time = ending.last_transition_time.clone();
        }
        set(&mut self.status, ending.clone());
        true
    }

    fn write_status(&mut self) {
        if self.status == self.before {
            return;
        }
        let Ok(tree) = serde_json::to_value(&self.status) else { return };
        let mut job = self.object.as_ref().clone();
        job.json_mut()["status"] = tree;
        self.decision.update_status(job);
        self.before = self.status.clone();
    }

    fn tell_end(&mut self) {
        let Some(ending) = self.ending.take() else { return };
        if ending.type_ != "Complete" {
            let text = |field: Option<String>| field.unwrap_or_default();
            let (reason, message) = (text(ending.reason), text(ending.message));
            self.decision.warning(COMPONENT, self.object, &reason, message);
            return;
        }
        if self.spec.completions.is_some_and(|wanted| self.status.succeeded.unwrap_or(0) > wanted) {
            let message = "Too many succeeded pods running after completion count reached";
            self.decision.warning(COMPONENT, self.object, "TooManySucceededPods", message.into());
        }
        self.decision.normal(COMPONENT, self.object, "Completed", "Job completed".into());
    }
}

/// Counts the named pods that are no longer held, and takes their names out. `freed` are let go in this look.
fn count_those_let_go(status: &mut JobStatus, pods: &[PodView<'_>], freed: &[PodView<'_>]) {
    let Some(named) = status.uncounted_terminated_pods.as_mut() else { return };
    if named.succeeded.is_none() && named.failed.is_none() {
        return;
    }
    let tracked = pods.iter().filter(|pod| pod.facts.is_tracked);
    let mut held: HashSet<&str> = tracked.map(|pod| pod.uid()).collect();
    for pod in freed {
        held.remove(pod.uid());
    }
    for (list, count) in [(&mut named.succeeded, &mut status.succeeded), (&mut named.failed, &mut status.failed)] {
        let Some(uids) = list else { continue };
        let before = uids.len();
        uids.retain(|uid| held.contains(uid.as_str()));
        *count = as_number(usize::try_from(count.unwrap_or(0)).unwrap_or(0) + before - uids.len());
        if uids.is_empty() {
            *list = None;
        }
    }
}
