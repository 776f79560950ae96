//! What will happen, drawn from the seed before it begins: who decides when, what breaks when. The same seed makes the
//! same plan; how processes interleave within it is theirs.

use std::time::Duration;

use countersign::random::Random;
use countersign::simulator::{ErrorBody, Fault, FaultKind, Moment};

use crate::support::proxy::Commit;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub seed: u64,
    pub decisions: usize,
    /// Decisions a second, whatever becomes of them.
    pub rate: f64,
    pub kills: usize,
    pub cuts: usize,
    pub replicas: usize,
    pub people: usize,
    /// Pipelines in each of the three regions.
    pub pipelines: usize,
    /// What takes a minute to settle happens only in this first part, so that quiet comes soon after the last event.
    pub slow_until: f64,
}

#[derive(Debug, Clone)]
pub enum Event {
    Decide(Decide),
    Kill(When),
    Spoil(usize, Spoil),
    Aws(Fault),
    /// Somebody decides in the console.
    Console,
    /// An account is taken away, perhaps in the middle of its decision.
    Revoke(usize),
}

/// How somebody goes about it.
#[derive(Debug, Clone)]
pub struct Decide {
    pub person: usize,
    pub verdict: &'static str,
    pub reads_at: usize,
    pub sends_to: usize,
    /// Where the form is sent again when no answer came.
    pub again_at: usize,
    pub double_click: bool,
    /// Somebody else who means the opposite, at the same moment.
    pub rival: Option<usize>,
}

/// When a replica dies.
#[derive(Debug, Clone, Copy)]
pub enum When {
    Now(usize),
    /// At this moment of the next decision's call to AWS.
    At(Moment),
}

/// What happens to a replica's connections to the database.
#[derive(Debug, Clone, Copy)]
pub enum Spoil {
    Cut,
    Lose(Commit),
    /// Nothing passes for a while, and nothing closes.
    Freeze,
    /// Cut, and refused for a while.
    Away,
}

impl Size {
    pub fn span(&self) -> Duration {
        Duration::from_secs_f64(f64::from(u32::try_from(self.decisions).unwrap()) / self.rate)
    }

    /// Everything that will happen, in order.
    pub fn plan(&self) -> Vec<(Duration, Event)> {
        let draw = Draw(Random::seeded(self.seed));
        let mut events = Vec::new();
        let every = self.span().div_f64(f64::from(u32::try_from(self.decisions).unwrap()));
        for number in 0..u32::try_from(self.decisions).unwrap() {
            events.push((every * number, Event::Decide(self.decide(&draw))));
        }
        let mut sprinkle = |count: usize, event: &dyn Fn(bool) -> Event| {
            for _ in 0..count {
                let at = draw.0.fraction();
                events.push((self.span().mul_f64(at), event(at < self.slow_until)));
            }
        };
        sprinkle(self.kills, &|_| Event::Kill(self.kill(&draw)));
        sprinkle(self.cuts, &|may_be_slow| self.spoil(&draw, may_be_slow));
        sprinkle(self.decisions / 12 + 4, &|may_be_slow| Event::Aws(aws(&draw, may_be_slow)));
        sprinkle(self.decisions / 100 + 1, &|_| Event::Console);
        sprinkle(self.decisions / 400 + 1, &|_| Event::Revoke(draw.below(self.people)));
        events.sort_by_key(|(at, _)| *at);
        events
    }

    fn decide(&self, draw: &Draw) -> Decide {
        let replica = || draw.below(self.replicas);
        Decide {
            person: draw.below(self.people),
            verdict: if draw.odds(0.7) { "approved" } else { "rejected" },
            reads_at: replica(),
            sends_to: replica(),
            again_at: replica(),
            double_click: draw.odds(0.05),
            rival: draw.odds(0.1).then(|| draw.below(self.people)),
        }
    }

    fn kill(&self, draw: &Draw) -> When {
        match draw.below(5) {
            0 => When::At(Moment::Received),
            1 => When::At(Moment::Applied),
            2 => When::At(Moment::Answering),
            _ => When::Now(draw.below(self.replicas)),
        }
    }

    fn spoil(&self, draw: &Draw, may_be_slow: bool) -> Event {
        let how = match draw.below(10) {
            0 | 1 if may_be_slow => Spoil::Lose(Commit::AnswerLost),
            2 => Spoil::Lose(Commit::RequestLost),
            3 => Spoil::Freeze,
            4 => Spoil::Away,
            _ => Spoil::Cut,
        };
        Event::Spoil(draw.below(self.replicas), how)
    }
}

/// Something that goes wrong at AWS, with a decision or with what is read.
fn aws(draw: &Draw, may_be_slow: bool) -> Fault {
    let applied = !may_be_slow || draw.odds(0.5);
    let body = [ErrorBody::Json, ErrorBody::Html, ErrorBody::Empty][draw.below(3)];
    let status = [500, 503, 504][draw.below(3)];
    let error = |applied| FaultKind::Error { status, code: String::new(), message: String::new(), body, applied };
    let put = |kind| Fault::on("PutApprovalResult", kind).times(1);
    match draw.below(10) {
        0 => put(FaultKind::Reset { applied }),
        1 => put(error(applied)),
        2 => put(FaultKind::Empty { applied }),
        3 if may_be_slow => put(FaultKind::Hang { seconds: Some(12.0), applied }),
        4 => put(FaultKind::Throttle).times(3),
        5 => put(FaultKind::Expired),
        6 => Fault::on("GetPipelineState", FaultKind::Throttle).times(4),
        7 => Fault::on("GetPipelineState", error(false)).times(3),
        8 => Fault::on("GetPipelineState", FaultKind::Stale { seconds: 3.0 }).times(10),
        _ => Fault::on("ListActionExecutions", FaultKind::Reset { applied: false }).times(2),
    }
}

struct Draw(Random);

impl Draw {
    fn odds(&self, odds: f64) -> bool {
        self.0.fraction() < odds
    }

    fn below(&self, end: usize) -> usize {
        usize::from_be_bytes(self.0.bytes()) % end
    }
}
