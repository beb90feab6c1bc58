//! Which `wl` runs the watch: a newer one takes an older one's place, and an older one does not write under a newer one.
//! The pods notice neither: their containers are compared by a hash of their API spec.

use std::cmp::Ordering;
use std::path::Path;

use super::{WatchError, background, status};

/// What came of looking at the running watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is as new as this program.
    Fine,
    /// It was older; a watch of this version is in its place.
    Replaced,
    /// It is older, and somebody else's to restart.
    Older(String),
}

/// This program's version. A test of a debug build may say otherwise (`WL_TEST_VERSION`).
pub(super) fn own() -> String {
    #[cfg(debug_assertions)]
    if let Ok(version) = std::env::var("WL_TEST_VERSION") {
        return version;
    }
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Sees to it that the running watch is no older than this program, and that this program is no older than the watch.
pub(super) async fn settle(state_dir: &Path) -> Result<Standing, WatchError> {
    let running = status(state_dir);
    let Some(theirs) = running.version.filter(|_| running.running) else { return Ok(Standing::Fine) };
    let own = own();
    match compare(&theirs, &own) {
        Ordering::Equal => Ok(Standing::Fine),
        Ordering::Greater => Err(WatchError::NewerWatch { theirs, own }),
        Ordering::Less if !running.background => {
            Ok(Standing::Older(format!("The running watch is wl {theirs}; restart it to have wl {own} run the pods.")))
        }
        Ordering::Less => {
            match background::stop(state_dir).await {
                Ok(_) | Err(WatchError::NotRunning { .. }) => {}
                Err(error) => return Err(error),
            }
            // As it was started: its node's name, its networks.
            background::launch(state_dir, running.arguments.into_iter().map(Into::into).collect()).await?;
            Ok(Standing::Replaced)
        }
    }
}

/// By Semantic Versioning's order: numbers first, then a pre-release comes before its release.
fn compare(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let plain = text.split('+').next().unwrap_or_default();
        let (numbers, pre) = plain.split_once('-').map_or((plain, None), |(n, pre)| (n, Some(pre.to_owned())));
        let numbers: Vec<u64> = numbers.split('.').map(|n| n.parse().unwrap_or(0)).collect();
        (numbers, pre.is_none(), pre)
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_an_order() {
        let ascending = ["0.1.0-rc.1", "0.1.0", "0.1.2", "0.2.0", "0.10.0", "1.0.0-alpha", "1.0.0"];
        assert!(ascending.windows(2).all(|w| compare(w[0], w[1]) == Ordering::Less));
        assert_eq!(compare("0.1.0+abc", "0.1.0"), Ordering::Equal);
    }
}
