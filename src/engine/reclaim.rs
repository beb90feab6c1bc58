//! Volumes of this machine whose claims are gone and that are not to be kept: they go, with what is in them.
//! Source: pkg/controller/volume/persistentvolume/pv_controller.go (reclaimVolume, deleteVolumeOperation).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::clock;
use super::events::{Extra, Recorder};
use super::{requests, scheduling};
use crate::api::volumes::{PROVISIONER, is_made_here};
use crate::api::{GroupResource, Object};
use crate::controllers::{EventKind, EventNote};
use crate::registry::Verb;
use crate::runtime::{Runtime, RuntimeError};
use crate::store::Store;

const AGENT: &str = "persistentvolume-controller";
/// Before a volume that could not be removed is tried again: a container may still have had it.
const AGAIN: Duration = Duration::from_secs(2);

/// Takes away what is to go, for ever.
pub async fn run<R: Runtime>(store: Store, runtime: Arc<R>, recorder: Arc<Recorder>) {
    let volumes = GroupResource::new("", "persistentvolumes");
    let mut told = HashSet::new();
    loop {
        let (state, mut changes) = store.snapshot_and_changes();
        let due: Vec<Arc<Object>> = state.all(&volumes).filter(|volume| handle(volume).is_some()).cloned().collect();
        // What is kept of it would stay in memory, however old it becomes.
        drop(state);
        let mut left = false;
        for volume in &due {
            if let Err(why) = reclaim(&store, runtime.as_ref(), volume).await {
                left = true;
                if told.insert(volume.uid().to_owned()) {
                    recorder.record_all(&[failure(volume, &why)], &Extra::default());
                }
            }
        }
        if !left {
            told.clear();
        }
        let news = async {
            // Changes that were missed are seen by the next look.
            while let Ok(list) = changes.next().await {
                if list.iter().any(|change| change.key.resource == volumes) {
                    break;
                }
            }
        };
        tokio::select! {
            () = news => {}
            () = clock::sleep(AGAIN), if left => {}
        }
    }
}

/// What the runtime calls a volume that is to go: it was made for a claim, the claim is gone, and it is not kept.
fn handle(volume: &Object) -> Option<&str> {
    let is = |pointer: &str, value: &str| volume.str_at(pointer) == Some(value);
    let is_due = is_made_here(volume)
        && is("/spec/csi/driver", PROVISIONER)
        && is("/spec/persistentVolumeReclaimPolicy", "Delete")
        && is("/status/phase", "Released");
    volume.str_at("/spec/csi/volumeHandle").filter(|_| is_due)
}

async fn reclaim<R: Runtime>(store: &Store, runtime: &R, volume: &Object) -> Result<(), RuntimeError> {
    runtime.reclaim_volume(handle(volume).unwrap_or_default()).await?;
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": volume.uid()}});
    let request = requests::on_core(Verb::Delete, "persistentvolumes", None, "", volume.name(), options, AGENT);
    // Refused it is looked at again with the next change of it.
    let _ = store.write(request).await;
    Ok(())
}

fn failure(volume: &Arc<Object>, why: &RuntimeError) -> EventNote {
    EventNote {
        regarding: scheduling::reference(volume, ""),
        kind: EventKind::Warning,
        reason: "VolumeFailedDelete".into(),
        message: why.message.clone(),
        component: AGENT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::volumes::PROVISIONED_BY;

    #[test]
    fn only_released_volumes_of_this_machine_that_are_not_kept_go() {
        let volume = |change: fn(&mut serde_json::Value)| {
            let mut tree = json!({
                "metadata": {"name": "default-data", "annotations": {PROVISIONED_BY: PROVISIONER}},
                "spec": {"persistentVolumeReclaimPolicy": "Delete", "csi": {"driver": PROVISIONER, "volumeHandle": "default-data"}},
                "status": {"phase": "Released"},
            });
            change(&mut tree);
            handle(&Object::new(tree)).map(str::to_owned)
        };
        assert_eq!(volume(|_| {}).as_deref(), Some("default-data"));
        assert_eq!(volume(|v| v["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain")), None);
        assert_eq!(volume(|v| v["status"]["phase"] = json!("Bound")), None);
        assert_eq!(volume(|v| v["metadata"]["annotations"] = json!({})), None);
        assert_eq!(volume(|v| v["spec"]["csi"]["driver"] = json!("other")), None);
    }
}
