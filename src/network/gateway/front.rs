//! A task that serves one place at a time.

use std::net::SocketAddr;

use tokio::task::JoinHandle;

#[derive(Default)]
pub(super) struct Front {
    open: Option<(SocketAddr, JoinHandle<()>)>,
}

impl Front {
    /// Serves there no more, unless it does already; answers with the place that is now to be served anew, if one is.
    pub(super) async fn leave_for(&mut self, at: Option<SocketAddr>) -> Option<SocketAddr> {
        if self.open.as_ref().is_some_and(|(place, task)| Some(*place) == at && !task.is_finished()) {
            return None;
        }
        if let Some((_, task)) = self.open.take() {
            task.abort();
            let _ = task.await;
        }
        at
    }

    pub(super) fn serves(&mut self, at: SocketAddr, task: JoinHandle<()>) {
        self.open = Some((at, task));
    }
}
