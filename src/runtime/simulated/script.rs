//! What a test tells the pretend node to do, and asks it for.

use std::time::Duration;

use jiff::Timestamp;

use super::world::{World, end};
use super::{Behaviour, Simulated};
use crate::runtime::{Container, ContainerState, Headroom, Hint, PodUsage, RuntimeError, RuntimeErrorKind, Sandbox, SandboxState};

impl Behaviour {
    /// Ends with `exit_code` after `seconds`.
    pub fn ends(seconds: u64, exit_code: i32) -> Self {
        Behaviour { ends_after: Some(Duration::from_secs(seconds)), exit_code, ..Behaviour::default() }
    }
}

impl Simulated {
    /// Puts an image on the node. Images that are not there can be pulled, unless they are lost.
    pub fn has_image(&self, image: &str) {
        self.shared().world.has_image(image);
    }

    /// From now on, a container or volume of this name stores so many bytes.
    #[cfg(any(test, feature = "internals"))]
    pub fn stores(&self, name: &str, bytes: u64) {
        self.shared().world.stored.insert(name.to_owned(), bytes);
    }

    /// From now on, the machine has so much left.
    pub fn has_left(&self, headroom: Headroom) {
        self.shared().world.headroom = headroom;
    }

    /// The machine has so much left when storage is given back next.
    pub fn has_left_when_freed(&self, headroom: Headroom) {
        self.shared().world.headroom_when_freed = Some(headroom);
    }

    /// From now on, a pod of this name uses so much.
    pub fn uses(&self, pod: &str, usage: PodUsage) {
        self.shared().world.usages.insert(pod.to_owned(), usage);
    }

    /// No registry has this image.
    pub fn no_registry_has(&self, image: &str) {
        self.shared().world.lose_image(image);
    }

    /// The image can be had (again).
    pub fn registry_has(&self, image: &str) {
        self.shared().world.find_image(image);
    }

    /// What containers of an image do; several: one per attempt, the last for all later ones.
    pub fn behave(&self, image: &str, behaviours: Vec<Behaviour>) {
        self.shared().world.behaviours.insert(image.to_owned(), behaviours);
    }

    /// Refuses the next action whose name is `action`.
    pub fn refuse_next(&self, action: &str, kind: RuntimeErrorKind, message: &str) {
        self.shared().refusals.push((action.to_owned(), RuntimeError::new(kind, message)));
    }

    /// Whether anybody answers. Coming back gives a hint to look at everything.
    pub fn set_available(&self, available: bool) {
        let mut shared = self.shared();
        shared.available = available;
        if available {
            shared.hint(Hint::All);
        }
    }

    /// Ends a running container from outside, as `podman kill` does; by pod and container name.
    pub fn kill(&self, pod: &str, container: &str, code: i32) {
        let now = (self.now)();
        let mut shared = self.shared();
        if let Some(uid) = shared.world.kill(pod, container, code, now) {
            shared.hint(Hint::Pod { uid });
        }
    }

    /// Ends the infra container of a pod, by the pod's name.
    pub fn kill_sandbox(&self, pod: &str) {
        let mut shared = self.shared();
        if let Some(uid) = shared.world.kill_sandbox(pod) {
            shared.hint(Hint::Pod { uid });
        }
    }

    /// When something will happen by itself next.
    pub fn next_change(&self) -> Option<Timestamp> {
        let mut shared = self.shared();
        shared.world.settle((self.now)());
        shared.world.next_change()
    }

    /// Gives hints about everything that has happened by itself up to now.
    pub fn tick(&self) {
        let mut shared = self.shared();
        for uid in shared.world.settle((self.now)()) {
            shared.hint(Hint::Pod { uid });
        }
    }

    /// The actions that were asked for, one a line, oldest first; forgets them.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.shared().log)
    }

    /// What was asked for out of turn (always a mistake of the caller).
    pub fn breaches(&self) -> Vec<String> {
        self.shared().world.breaches.clone()
    }

    /// Everything that is there now.
    pub fn sandboxes(&self) -> Vec<Sandbox> {
        let mut shared = self.shared();
        shared.world.settle((self.now)());
        shared.world.sandboxes()
    }
}

impl World {
    fn has_image(&mut self, image: &str) {
        self.images.insert(image.to_owned());
    }

    fn lose_image(&mut self, image: &str) {
        self.images.remove(image);
        self.lost_images.insert(image.to_owned());
    }

    fn find_image(&mut self, image: &str) {
        self.lost_images.remove(image);
    }

    fn kill(&mut self, pod: &str, container: &str, code: i32, now: Timestamp) -> Option<String> {
        let pod = self.pods.values_mut().find(|p| p.sandbox.name == pod)?;
        let running = |c: &&mut Container| c.name == container && matches!(c.state, ContainerState::Running { .. });
        let container = pod.sandbox.containers.iter_mut().find(running)?;
        end(container, code, now, false, "");
        Some(pod.sandbox.uid.clone())
    }

    fn kill_sandbox(&mut self, pod: &str) -> Option<String> {
        let pod = self.pods.values_mut().find(|p| p.sandbox.name == pod)?;
        pod.sandbox.state = SandboxState::NotReady;
        Some(pod.sandbox.uid.clone())
    }

    fn next_change(&self) -> Option<Timestamp> {
        let pods = self.pods.values();
        let running = pods.flat_map(|p| p.sandbox.containers.iter().map(move |c| (p, c)));
        let running = running.filter(|(_, c)| matches!(c.state, ContainerState::Running { .. }));
        running.filter_map(|(p, c)| Some(p.plans.get(&c.id)?.ends_at?.0)).min()
    }
}
