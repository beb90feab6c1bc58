//! What names an owner, as the owner's controller sees it: what is asked of every pod at each look lies side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::api::Object;
use crate::api::digest::PodFacts;

/// An object that names an owner. Those of one owner lie beside each other in memory, so that a look at ten thousand pods reads
/// along them and opens none that is as it should be.
pub struct Dependent {
    object: Arc<Object>,
    /// Whether the owner is its controller.
    pub(super) is_controlled: bool,
    facts: PodFacts,
    /// The last question and what was answered to it, in the lowest byte. It goes with the object: a new one was asked nothing.
    asked: AtomicU64,
}

impl Dependent {
    pub(super) fn new(object: Arc<Object>, is_controlled: bool) -> Self {
        let facts = object.pod_digest().facts;
        Dependent { object, is_controlled, facts, asked: AtomicU64::new(0) }
    }

    /// The same with the object in another form.
    pub(super) fn with(&self, object: Arc<Object>) -> Self {
        Dependent { object, ..self.clone() }
    }

    pub fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// What its digest says, where it is a pod.
    pub fn facts(&self) -> PodFacts {
        self.facts
    }

    /// Eight answers, yes or no, to a question about what of the object does not change without the object: the one that is kept,
    /// where the same was asked last, else that of `ask`. `question` is a hash of all that the answers depend on besides.
    pub fn answers(&self, question: u64, ask: impl FnOnce(&Object) -> u8) -> u8 {
        // Never 0, which stands for no question.
        let question = (question | 1 << 63) & !0xff;
        let asked = self.asked.load(Ordering::Relaxed);
        if asked & !0xff == question {
            return (asked & 0xff) as u8;
        }
        let answers = ask(&self.object);
        self.asked.store(question | u64::from(answers), Ordering::Relaxed);
        answers
    }
}

impl Clone for Dependent {
    fn clone(&self) -> Self {
        Dependent {
            object: self.object.clone(),
            is_controlled: self.is_controlled,
            facts: self.facts,
            asked: AtomicU64::new(self.asked.load(Ordering::Relaxed)),
        }
    }
}
