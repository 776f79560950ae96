//! F-24: the person's phone loses its connection while the decision is being made, at every ten milliseconds of the
//! request. Whatever the person saw, what AWS did and what the record says agree, and nothing is stuck in a pool (P-03).

use std::time::Duration;

use countersign::simulator::{Fault, FaultKind};
use jiff::SignedDuration;

use crate::harness::{Browser, Page, Portal};

/// How many ten-millisecond steps of a request are tried. Each call to AWS takes twenty milliseconds, and a decision makes
/// several: the last steps are past its end.
const STEPS: u64 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn f24_hanging_up_at_any_moment_leaves_effect_and_record_agreeing() {
    let portal = Portal::start().await;
    portal.simulator.add_fault(Fault { kind: FaultKind::Delay { ms: 20 }, ..Fault::default() });
    let ana = portal.as_approver("ana").await;

    for step in 0..STEPS {
        portal.waiting("shop").await;
        let page = ana.approval(&portal, "shop").await;
        let finished = post_and_hang_up(&ana, &page, Duration::from_millis(step * 10)).await;
        // The phone is back: the browser posts the very same form again.
        let again = ana.press(&page, "approved", "ok").await;
        assert_eq!(again.status, 303, "after {} ms ({finished}): {}", step * 10, again.text());

        let made = usize::try_from(step + 1).unwrap();
        portal.state.decisions.quiet().await;
        assert_eq!(portal.records_of("decision.intended").await.len(), made, "one intent, after {} ms", step * 10);
        assert_eq!(portal.simulator.effects().len(), made, "one effect, after {} ms", step * 10);
        assert_eq!(portal.records_of("decision.accepted").await.len(), made);
        // The deployment behind the gate ends, and the gate is free for the next run.
        portal.advance(SignedDuration::from_secs(60));
    }
    assert_eq!(portal.simulator.receipts().len(), usize::try_from(STEPS).unwrap(), "nothing was sent twice");
    portal.finish().await;
}

/// Posts the form and closes the connection after `patience`. Tells whether an answer came first.
async fn post_and_hang_up(browser: &Browser, page: &Page, patience: Duration) -> &'static str {
    let action = format!("{}/decision", page.path);
    let mut fields = page.hidden_fields(&action);
    fields.insert("summary".into(), "ok".into());
    fields.insert("verdict".into(), "approved".into());
    let post = browser.post_request(&action).form(&fields).send();
    match tokio::time::timeout(patience, post).await {
        Ok(answer) => answer.map(|_| "answered").unwrap_or("refused"),
        Err(_) => "hung up",
    }
}
