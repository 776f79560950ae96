//! AWS asks to slow down for ten minutes (P-14): what people see, what they can still do, and how it ends.

use countersign::simulator::{Fault, FaultKind};
use jiff::SignedDuration;

use crate::harness::Portal;

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_throttling_is_told_with_its_age_and_decisions_go_first() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    let ana = portal.as_approver("ana").await;
    // Ten minutes in which no sweep gets further than its first read.
    let storm = portal.simulator.add_fault(Fault::on("ListPipelines", FaultKind::Throttle));
    for _ in 0..5 {
        portal.advance(SignedDuration::from_mins(2));
        portal.watcher.activate().await;
    }
    let queue = ana.open("/").await;
    queue.says("2 approvals wait for a decision.").says("cannot be read.").says("slow down");
    queue.says("(10 min ago) ; it cannot be read just now.");
    assert_eq!(portal.records_of("source.blind").await.len(), 1, "said once, however long it lasts");

    let sent = ana.decide(&portal, "shop", "approved", "Cannot wait for the storm").await;
    ana.follow(&sent).await.says("Approved at AWS");
    assert_eq!(portal.simulator.effects().len(), 1);

    // When not even this approval can be read, nothing is sent: nobody decides on what was not seen.
    portal.simulator.add_fault(Fault::on("GetPipelineState", FaultKind::Throttle));
    let refused = ana.decide(&portal, "blog", "approved", "Blind").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(portal.simulator.effects().len(), 1);

    portal.simulator.clear_faults();
    portal.simulator.release(storm);
    portal.simulator.clear_calls();
    let before = portal.watcher.handle().status()[0].reads_per_second;
    portal.watcher.activate().await;
    let calls = portal.simulator.calls().counts;
    assert_eq!(calls["ListPipelines"], 1, "{calls:?}");
    assert!(calls["GetPipelineState"] <= 3, "each pipeline once: nothing is made up for: {calls:?}");
    let after = portal.watcher.handle().status()[0].reads_per_second;
    assert!(before < 1000.0 && after <= before * 1.1 + 0.1, "it grows in small steps: {before} to {after}");
    let queue = ana.open("/").await;
    queue.says("1 approval waits for a decision.");
    assert!(!queue.text().contains("cannot be read"), "{}", queue.text());
    portal.finish().await;
}
