//! The numbers of a Deployment's spec. Source: pkg/controller/deployment/util/deployment_util.go.

use crate::api::Object;
use crate::controllers::quantities::scaled;
use crate::controllers::resources::dig;

use super::Look;

/// `progressDeadlineSeconds`, unless it is "never".
pub(super) fn progress_deadline(deployment: &Object) -> Option<i64> {
    dig(deployment.json(), &["spec", "progressDeadlineSeconds"]).as_i64().filter(|s| *s != i64::from(i32::MAX))
}

/// `revisionHistoryLimit`, unless it is "all".
pub(super) fn history_limit(deployment: &Object) -> Option<i64> {
    dig(deployment.json(), &["spec", "revisionHistoryLimit"]).as_i64().filter(|n| *n != i64::from(i32::MAX))
}

impl Look<'_> {
    /// `maxSurge` and `maxUnavailable` in pods. Both zero would never move: then one may be unavailable.
    fn fenceposts(&self) -> (i64, i64) {
        let rolling = dig(self.deployment.json(), &["spec", "strategy", "rollingUpdate"]);
        let surge = scaled(dig(rolling, &["maxSurge"]), self.wanted(), true).unwrap_or(0);
        let unavailable = scaled(dig(rolling, &["maxUnavailable"]), self.wanted(), false).unwrap_or(0);
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    /// How many pods there may be over the wanted number.
    pub(super) fn max_surge(&self) -> i64 {
        if self.is_rolling() { self.fenceposts().0 } else { 0 }
    }

    /// How many of the wanted pods may be missing.
    pub(super) fn max_unavailable(&self) -> i64 {
        if !self.is_rolling() || self.wanted() == 0 {
            return 0;
        }
        self.fenceposts().1.min(self.wanted())
    }
}
