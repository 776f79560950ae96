//! Panics are contained, counted, and named where they do not end (P-21).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_util::sync::CancellationToken;

use crate::harness::Portal;

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_panics_again_and_again_makes_the_portal_unready_and_is_named() {
    let portal = Portal::start().await;
    let prober = portal.anonymous();
    assert_eq!(prober.open("/readyz").await.status, 200);
    let tries = Arc::new(AtomicU32::new(0));
    let begin = || {
        let tries = tries.clone();
        async move {
            assert!(tries.fetch_add(1, Ordering::SeqCst) >= 5, "a fault of the program");
            Ok::<(), &str>(())
        }
    };
    portal.state.supervisor.keep("watching", &CancellationToken::new(), begin).await;
    let answer = prober.open("/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, "a part of the portal fails again and again: watching\n");
    assert_eq!(prober.open("/healthz").await.status, 200, "it lives");
    assert_eq!(portal.state.supervisor.panics(), [("watching", 5)]);
    portal.finish().await;
}
