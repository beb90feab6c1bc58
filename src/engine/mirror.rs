//! A static pod's picture in the API, which others may remove or spoil.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::pod::PodTask;
use super::requests;
use crate::api::{GroupResource, Key, Object};
use crate::node::statics;
use crate::registry::Verb;
use crate::runtime::Runtime;
use crate::state::State;

const AGENT: &str = "kubelet";

/// A static pod: what its file says, and whether the file is still there.
pub struct Fixed {
    pub pod: Arc<Object>,
    gone_at: Mutex<Option<Timestamp>>,
    /// Another pod of its name waits for its end: the picture is not this one's any more.
    replaced: AtomicBool,
}

impl Fixed {
    pub fn new(pod: Arc<Object>) -> Self {
        Fixed { pod, gone_at: Mutex::new(None), replaced: AtomicBool::new(false) }
    }

    pub fn file_is_gone(&self, now: Timestamp) {
        self.gone_at.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now);
    }

    /// Its file has become another pod's of the same name.
    pub fn replace(&self) {
        self.replaced.store(true, Ordering::SeqCst);
    }

    /// Whether its state is to be shown no more.
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::SeqCst)
    }

    fn gone_at(&self) -> Option<Timestamp> {
        *self.gone_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Runtime> PodTask<R> {
    /// Keeps the picture of a static pod in the API: made where it is missing, put right where it is another's.
    /// Source: pkg/kubelet/kubelet.go: reconcileMirrorPod.
    pub(super) async fn follow_mirror(&mut self, fixed: &Fixed, state: &State) {
        let gone_at = fixed.gone_at();
        let there = state.get(&self.key).cloned();
        let fits = |o: &Arc<Object>| statics::mirrored(o) == Some(&self.uid) && !o.is_deleting();
        self.mirror = there.clone().filter(fits);
        if self.mirror.is_none() && gone_at.is_none() {
            if let Some(stale) = there.filter(|o| statics::mirrored(o).is_some())
                && let Some(request) = requests::delete(state, &self.key, Some(stale.uid()), None, Some(0), AGENT)
            {
                let _ = self.shared.store.write(request).await;
            }
            let node = Key::new(GroupResource::new("", "nodes"), "", &self.shared.config().node_name);
            let node_uid = state.get(&node).map(|n| n.uid().to_owned()).unwrap_or_default();
            let tree = statics::mirror(&fixed.pod, &node_uid);
            let request = requests::on_core(Verb::Create, "pods", None, &self.key.namespace, "", tree, AGENT);
            // Where it is refused (a pod of the same name is there), the pod runs without a picture.
            if self.shared.store.write(request).await.is_ok() {
                self.mirror = self.shared.store.snapshot().get(&self.key).cloned();
            }
        }
        let status = self.object.at("/status").cloned().unwrap_or_default();
        self.object = Arc::new(statics::with_status(&fixed.pod, &status, gone_at));
    }
}
