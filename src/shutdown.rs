//! When to stop. The first SIGTERM or Ctrl-C asks for a stop in good order; the second one ends the process at once.
//! Owns the signal handlers; what "in good order" means is `serve`'s business.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit status of a process that was told twice.
const AT_ONCE: i32 = 1;

/// Starts listening for signals. The token is cancelled by the first.
///
/// # Errors
/// The operating system does not let us listen.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let asked = CancellationToken::new();
    let first = asked.clone();
    tokio::spawn(async move {
        next(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping; once more to stop at once");
        first.cancel();
        next(&mut terminate, &mut interrupt).await;
        // Nothing is lost: decisions under way are found and settled by the next process (D-09).
        std::process::exit(AT_ONCE);
    });
    Ok(asked)
}

async fn next(terminate: &mut tokio::signal::unix::Signal, interrupt: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
