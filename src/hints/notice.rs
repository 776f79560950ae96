//! The connection on which the database announces changes: one per process, outside the pools. It only wakes the looking;
//! without it changes are found a few seconds later.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use super::hearing::Inner;

/// The channel that triggers notify (migration 0005).
const CHANNEL: &str = "countersign";
/// How long after a lost connection the next is tried, half as much more or less.
const AGAIN: Duration = Duration::from_secs(2);

/// Listens until `stop`, connecting again whenever the connection is lost or has turned out to be deaf.
pub(super) async fn listen(hearing: &Inner, stop: &CancellationToken) {
    let mut was_lost = false;
    loop {
        // Nothing here writes, so nothing is lost when it is dropped (P-02).
        let lost = tokio::select! {
            () = stop.cancelled() => return,
            lost = listen_once(hearing) => lost,
        };
        if !std::mem::replace(&mut was_lost, true) {
            tracing::warn!(why = lost, "changes are not announced just now; they are looked for every few seconds");
        }
        let pause = AGAIN.mul_f64(0.5 + hearing.random.fraction());
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Listens until the connection is lost; says why.
async fn listen_once(hearing: &Inner) -> String {
    // A pool of its own each time: what became of the last connection, nobody waits for.
    let pool = hearing.database.listening();
    let mut listener = match PgListener::connect_with(&pool).await {
        Ok(listener) => listener,
        Err(error) => return error.to_string(),
    };
    listener.eager_reconnect(false);
    if let Err(error) = listener.listen(CHANNEL).await {
        return error.to_string();
    }
    tracing::debug!("listening for changes");
    // Whatever was announced before, nobody heard.
    hearing.wake.notify_one();
    loop {
        tokio::select! {
            heard = listener.try_recv() => match heard {
                Ok(Some(_)) => hearing.wake.notify_one(),
                Ok(None) => return "the connection was closed".to_owned(),
                Err(error) => return error.to_string(),
            },
            () = hearing.deaf.notified() => return "a change was found that had not been announced".to_owned(),
        }
    }
}
