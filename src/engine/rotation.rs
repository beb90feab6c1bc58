//! Who gets new connections: a pod that is about to be told to end is out of rotation before it is told, so that nobody
//! reaches it when it no longer answers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::clock;

/// A pod is told to end after so long in any case: its grace period is short.
const PATIENCE: Duration = Duration::from_secs(1);
/// Connections that were just made are accepted within this time.
const ACCEPTED: Duration = Duration::from_millis(50);

/// Between the pods' tasks and whoever tells the gateway. Clones are the same one; without a gateway nobody waits.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<Leaving>,
    changed: Notify,
    served: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Leaving {
    addresses: BTreeSet<IpAddr>,
    /// Addresses that the gateway gives connections to.
    in_rotation: BTreeSet<IpAddr>,
    version: u64,
}

impl Rotation {
    /// Takes a pod out of rotation, and waits until the gateway has done so.
    pub async fn leave(&self, addresses: &[IpAddr]) {
        let version = {
            let mut state = self.state();
            if !addresses.iter().any(|address| state.in_rotation.contains(address)) {
                return;
            }
            state.addresses.extend(addresses);
            state.version += 1;
            state.version
        };
        self.inner.changed.notify_one();
        let mut served = self.inner.served.subscribe();
        let _ = tokio::time::timeout(PATIENCE, served.wait_for(|served| *served >= version)).await;
        clock::sleep(ACCEPTED).await;
    }

    /// What runs there is new: it gets connections again where it is ready.
    pub fn back(&self, addresses: &[IpAddr]) {
        let mut state = self.state();
        let before = state.addresses.len();
        state.addresses.retain(|address| !addresses.contains(address));
        if state.addresses.len() != before {
            state.version += 1;
            drop(state);
            self.inner.changed.notify_one();
        }
    }

    /// Who is about to end, and the number of this answer for [`Rotation::serves`].
    pub fn leaving(&self) -> (BTreeSet<IpAddr>, u64) {
        let state = self.state();
        (state.addresses.clone(), state.version)
    }

    /// The gateway serves what was last told, with these in rotation.
    pub fn serves(&self, version: u64, in_rotation: BTreeSet<IpAddr>) {
        self.state().in_rotation = in_rotation;
        self.inner.served.send_replace(version);
    }

    /// Nobody tells the gateway any more.
    pub fn stop(&self) {
        self.serves(u64::MAX, BTreeSet::new());
    }

    /// Done when somebody has left or come back since the last call.
    pub async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, Leaving> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 5));

    #[tokio::test(start_paused = true)]
    async fn who_is_in_no_rotation_does_not_wait() {
        let begun = tokio::time::Instant::now();
        Rotation::default().leave(&[POD]).await;
        assert!(begun.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_waits_until_the_gateway_knows_and_no_longer_than_it_must() {
        let rotation = Rotation::default();
        rotation.serves(0, BTreeSet::from([POD]));
        let begun = tokio::time::Instant::now();
        let gateway = async {
            rotation.changed().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            let (leaving, version) = rotation.leaving();
            assert_eq!(leaving, BTreeSet::from([POD]));
            rotation.serves(version, BTreeSet::new());
        };
        tokio::join!(rotation.leave(&[POD]), gateway);
        assert_eq!(begun.elapsed(), Duration::from_millis(150));
        rotation.back(&[POD]);
        assert!(rotation.leaving().0.is_empty());

        rotation.serves(0, BTreeSet::from([POD]));
        let begun = tokio::time::Instant::now();
        rotation.leave(&[POD]).await;
        assert_eq!(begun.elapsed(), PATIENCE + ACCEPTED);
    }
}
