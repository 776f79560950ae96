//! A lease saves reads and nothing else (H-02): two replicas that both watch everything and settle everything, all the
//! time, do what one would have done.

use std::collections::BTreeMap;

use countersign::random::Random;
use countersign::simulator::{Act, Fault, FaultKind, Verdict, Which};
use jiff::SignedDuration;

use crate::harness::{Browser, Portal, Replica};

const PIPELINES: [&str; 3] = ["shop", "blog", "wiki"];
/// Of five to ten seconds each.
const ROUNDS: usize = 240;
const CONSOLE: &str = "arn:aws:iam::111122223333:user/ines";

struct Story<'a> {
    portal: &'a Portal,
    b: &'a Replica,
    people: Vec<Browser>,
    random: Random,
}

impl Story<'_> {
    fn chance(&self, of: f64) -> bool {
        self.random.fraction() < of
    }

    fn pick<'b, T>(&self, from: &'b [T]) -> &'b T {
        let at = (self.random.fraction() * from.len() as f64) as usize;
        &from[at.min(from.len() - 1)]
    }

    /// Both sweep and settle at the same time, twice over.
    async fn both_lead(&self) {
        let (a, b) = (self.portal, self.b);
        let swept = tokio::join!(a.watcher.activate(), b.watcher.activate());
        let steps = tokio::join!(a.state.decisions.step(), b.state.decisions.step());
        let (Ok(_), Ok(_)) = steps else { panic!("a step failed: {steps:?}") };
        for status in swept.0.into_iter().chain(swept.1) {
            assert!(!matches!(status.ended, countersign::watcher::Ended::Failed(_)), "{status:?}");
        }
    }

    /// Somebody decides, at either replica, or at both.
    async fn decide(&self, id: &str) {
        let path = format!("/approvals/{id}");
        let person = self.pick(&self.people);
        let (here, there) = (person.copy(), self.b.sees(person));
        let page = if self.chance(0.5) { here.open(&path).await } else { there.open(&path).await };
        if !page.body.contains("name=\"fingerprint\"") {
            return;
        }
        let verdict = if self.chance(0.7) { "approved" } else { "rejected" };
        let fields = [("verdict", verdict), ("summary", "As agreed")];
        let action = format!("{path}/decision");
        if self.chance(0.4) {
            tokio::join!(here.submit(&page, &action, &fields), there.submit(&page, &action, &fields));
        } else {
            self.pick(&[here, there]).submit(&page, &action, &fields).await;
        }
    }

    fn trouble(&self) {
        let reset = |applied| FaultKind::Reset { applied };
        let kind = self.pick(&[reset(true), reset(false), FaultKind::Delay { ms: 5 }]).clone();
        self.portal.simulator.add_fault(Fault::on("PutApprovalResult", kind).times(1));
    }

    async fn round(&self) {
        let world = self.portal.world();
        if self.chance(0.6) {
            world.open_approval(self.pick::<&str>(&PIPELINES), None);
        }
        if self.chance(0.3) {
            self.trouble();
        }
        let open = world.open_approvals();
        if self.chance(0.1) && !open.is_empty() {
            let approval = self.pick(&open);
            let decide = Act::Decide {
                pipeline: approval.pipeline.clone(),
                which: Which::default(),
                verdict: Verdict::Approved,
                summary: "In the console".into(),
                by: CONSOLE.into(),
            };
            world.act(decide).ok();
        }
        let mut conn = self.portal.database.connect_superuser().await;
        let waiting: Vec<String> =
            sqlx::query_scalar("select id::text from portal.approval where at_aws = 'open' order by id")
                .fetch_all(&mut conn)
                .await
                .unwrap();
        let deciding = async {
            for id in waiting.iter().filter(|_| self.chance(0.5)) {
                self.decide(id).await;
            }
        };
        tokio::join!(self.both_lead(), deciding);
        self.portal.advance(SignedDuration::from_millis((5_000.0 + 5_000.0 * self.random.fraction()) as i64));
        // Sessions end after eight hours; this takes less than one.
        self.both_lead().await;
    }

    /// Until nothing is left to be settled by anybody.
    async fn quiet(&self) {
        self.portal.simulator.clear_faults();
        for _ in 0..60 {
            self.both_lead().await;
            self.portal.state.decisions.quiet().await;
            self.b.state.decisions.quiet().await;
            self.portal.advance(SignedDuration::from_secs(10));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_leaders_that_both_watch_and_settle_everything_do_what_one_would_do() {
    let seed = std::env::var("COUNTERSIGN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| (Random::system().fraction() * 1e9) as u64);
    println!("seed {seed}: COUNTERSIGN_TEST_SEED={seed} begins with the same choices");
    let portal = Portal::start().await;
    portal.watcher.activate().await;
    let b = portal.replica().await;
    let people = vec![portal.as_approver("ana").await, portal.as_approver("ben").await];
    let story = Story { portal: &portal, b: &b, people, random: Random::seeded(seed) };
    for _ in 0..ROUNDS {
        story.round().await;
    }
    story.quiet().await;

    let (effects, records) = (portal.simulator.effects(), portal.records().await);
    assert!(effects.len() > 30, "{} effects are too few to show anything", effects.len());
    let of = |kind: &str| records.iter().filter(|record| record.kind == kind).collect::<Vec<_>>();
    let ours = effects.iter().filter(|effect| effect.summary.contains(", rec ")).count();
    assert_eq!(
        ours,
        of("decision.accepted").len(),
        "every effect has one accepted record, every such record an effect"
    );
    for effect in effects.iter().filter(|effect| effect.summary.contains(", rec ")) {
        let told = of("decision.accepted").into_iter().filter(|record| {
            record.payload["execution"] == effect.execution.as_str()
                && effect.summary.contains(&format!(", rec {} ", record.payload["intent"]))
        });
        assert_eq!(told.count(), 1, "{effect:?}");
    }
    once_each(&of("approval.opened"), "opened");
    let ends = records.iter().filter(|record| is_end(&record.kind)).collect::<Vec<_>>();
    once_each(&ends, "ended");
    portal.finish().await;
}

fn is_end(kind: &str) -> bool {
    kind.starts_with("approval.") && kind != "approval.opened"
}

/// No approval has two such records.
fn once_each(records: &[&crate::harness::Record], what: &str) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for record in records {
        *counts.entry(record.payload["approval"].to_string()).or_default() += 1;
    }
    assert!(!counts.is_empty(), "nothing was {what}");
    counts.retain(|_, count| *count > 1);
    assert!(counts.is_empty(), "{what} more than once: {counts:?}");
}
