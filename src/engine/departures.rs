//! How many pods are on their way out at once: from the signal that tells one to end until it is removed.
//!
//! Behind the end of each container Podman starts a process that cleans up, unless the pod is removed before that has begun. So a pod
//! is told to end when there is room to remove it too. One that takes its time to end makes room for others meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::clock;

/// So long a pod that was told to end is expected to do so at once.
const QUICK: Duration = Duration::from_millis(200);
/// So long the removal of one that has ended may take; then there is room for others all the same.
const LONGEST: Duration = Duration::from_secs(2);

/// Who has waited so long for a place goes without one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The places of those that leave, by uid.
pub struct Departures {
    places: Arc<Semaphore>,
    leaving: Arc<Mutex<HashMap<String, Place>>>,
}

struct Place {
    permit: OwnedSemaphorePermit,
    has_ended: bool,
}

impl Departures {
    pub fn new(at_once: usize) -> Self {
        Departures { places: Arc::new(Semaphore::new(at_once)), leaving: Arc::default() }
    }

    /// Waits until there is room for the pod to go; whether there was in time.
    pub async fn begin(&self, uid: &str) -> bool {
        if self.has(uid) {
            return true;
        }
        // The places are never closed.
        let Ok(Ok(permit)) = tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned()).await else { return false };
        lock(&self.leaving).insert(uid.to_owned(), Place { permit, has_ended: false });
        let (leaving, uid) = (self.leaving.clone(), uid.to_owned());
        tokio::spawn(async move {
            clock::sleep(QUICK).await;
            if lock(&leaving).get(&uid).is_some_and(|place| place.has_ended) {
                clock::sleep(LONGEST).await;
            }
            let late = lock(&leaving).remove(&uid);
            drop(late.map(|place| place.permit));
        });
        true
    }

    /// Whether it has a place.
    pub fn has(&self, uid: &str) -> bool {
        lock(&self.leaving).contains_key(uid)
    }

    /// All its containers have ended: it will be removed.
    pub fn has_ended(&self, uid: &str) {
        if let Some(place) = lock(&self.leaving).get_mut(uid) {
            place.has_ended = true;
        }
    }

    /// It has gone, or stays.
    pub fn over(&self, uid: &str) {
        lock(&self.leaving).remove(uid);
    }
}

fn lock(leaving: &Mutex<HashMap<String, Place>>) -> MutexGuard<'_, HashMap<String, Place>> {
    leaving.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether there is room for one more just now.
    async fn is_room(departures: &Departures, uid: &str) -> bool {
        tokio::time::timeout(Duration::from_millis(1), departures.begin(uid)).await.unwrap_or(false)
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_kept_until_the_pod_is_gone() {
        let departures = Departures::new(1);
        assert!(departures.begin("a").await && departures.begin("a").await);
        departures.has_ended("a");
        tokio::time::sleep(QUICK * 2).await;
        assert!(departures.has("a") && !is_room(&departures, "b").await);
        departures.over("a");
        assert!(is_room(&departures, "b").await && !departures.has("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let departures = Departures::new(0);
        let begun = tokio::time::Instant::now();
        assert!(!departures.begin("a").await && !departures.has("a"));
        assert_eq!(begun.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_long_makes_room() {
        let departures = Departures::new(1);
        assert!(departures.begin("a").await);
        assert!(!is_room(&departures, "b").await);
        tokio::time::sleep(QUICK * 2).await;
        assert!(!departures.has("a") && is_room(&departures, "b").await, "it has not ended yet");
        departures.has_ended("b");
        tokio::time::sleep(QUICK + LONGEST * 2).await;
        assert!(is_room(&departures, "c").await, "its removal does not come to an end");
    }
}
