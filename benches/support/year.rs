//! A year at a company, told as records: requests are found waiting, decided here, decided outside, or run out; people
//! sign in and out. The same seed tells the same year. Every record is chained with the portal's own code, so the whole
//! verifies; the tables of approvals and decisions end as the records say.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use countersign::audit::entry::{Entry, GENESIS, Hash, sha256};
use countersign::random::Random;
use jiff::Timestamp;
use uuid::Uuid;

use super::cast::{Cast, EARLY_PERSON, GATED, RARE_PERSON, RARE_PIPELINE, SOURCES};
use super::copy::Rows;
use super::fate::Fate;
use super::flow::Flow;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Waiting at the end.
pub const OPEN: usize = 200;
/// Records for one request, with the sign-ins around it.
const EACH: i64 = 5;
/// Bytes of a table that are sent at once.
const BATCH: usize = 4 << 20;

/// The tables that grow with the year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Record,
    Payload,
    Approval,
    Decision,
}

impl Table {
    pub const ALL: [Self; 4] = [Self::Record, Self::Payload, Self::Approval, Self::Decision];
}

/// What a record has besides its payload.
#[derive(Debug, Default, Clone, Copy)]
pub struct Columns<'a> {
    pub about: Option<&'a Flow>,
    pub decision: Option<Uuid>,
    pub person: Option<Uuid>,
    pub verdict: Option<&'a str>,
    pub outcome: Option<&'a str>,
}

/// The newest record.
#[derive(Debug, Clone, Copy)]
pub struct Newest {
    pub seq: i64,
    pub at: i64,
    pub hash: Hash,
}

/// What happens next.
#[derive(Debug)]
enum Next {
    Arrive,
    SignIn,
    SignOut(usize, String),
    Advance(Box<Flow>),
}

/// Tells the year.
pub struct Year<'a> {
    pub cast: &'a Cast,
    pub rng: fastrand::Rng,
    pub newest: Newest,
    wanted: i64,
    begins: i64,
    ends: i64,
    /// Records that what has begun will still bring.
    promised: i64,
    agenda: BinaryHeap<Reverse<(i64, u64)>>,
    steps: std::collections::HashMap<u64, Next>,
    counter: u64,
    arrived: i64,
    tables: [Rows; 4],
    out: Box<dyn FnMut(Table, Vec<u8>) + 'a>,
}

impl<'a> Year<'a> {
    /// A year of `wanted` records that ends at `ends`; `out` is handed the rows.
    pub fn new(cast: &'a Cast, seed: u64, wanted: i64, ends: Timestamp, out: impl FnMut(Table, Vec<u8>) + 'a) -> Self {
        assert!(wanted >= 1_000, "a year has at least 1,000 records");
        let ends = ends.as_microsecond();
        Self {
            cast,
            rng: fastrand::Rng::with_seed(seed),
            newest: Newest { seq: 0, at: 0, hash: GENESIS },
            wanted,
            begins: ends - 365 * DAY,
            ends,
            promised: 0,
            agenda: BinaryHeap::new(),
            steps: std::collections::HashMap::new(),
            counter: 0,
            arrived: 0,
            tables: Default::default(),
            out: Box::new(out),
        }
    }

    /// Tells all of it.
    pub fn tell(mut self) -> Newest {
        self.newest.at = self.begins;
        self.schedule(self.begins + SECOND, Next::Arrive);
        while let Some(Reverse((at, key))) = self.agenda.pop() {
            let next = self.steps.remove(&key).expect("what is on the agenda has a step");
            self.happen(at, next);
        }
        let open = OPEN as i64;
        while self.newest.seq < self.wanted - open {
            let person = self.rng.usize(..480);
            self.session(self.ends - DAY / 2, person, "session.started", "password", "");
        }
        for n in 0..open {
            let at = self.ends - DAY / 4 + n * (DAY / 4 / (open + 1));
            let mut flow = self.arrive(at);
            flow.fate = Fate::Open;
            self.open(at, &flow);
            flow.write_approval(self.table(Table::Approval), at);
        }
        for table in Table::ALL {
            self.table(table).end();
            self.flush(table);
        }
        self.newest
    }

    fn happen(&mut self, at: i64, next: Next) {
        match next {
            Next::Arrive => {
                let flow = self.arrive(at);
                self.open(at, &flow);
                self.promised += flow.fate.steps().len() as i64;
                self.schedule(at + self.patience(), Next::Advance(Box::new(flow)));
                if self.rng.f64() < 0.7 {
                    self.promised += 2;
                    self.schedule(at + DAY / 24, Next::SignIn);
                }
                if self.newest.seq + self.promised + EACH * 2 + (OPEN as i64) < self.wanted {
                    let pause = (self.ends - DAY * 3 - self.begins) / (self.wanted / EACH).max(1);
                    let jitter = self.rng.i64(0..=pause.max(1));
                    self.schedule(at + pause / 2 + jitter, Next::Arrive);
                }
            }
            Next::SignIn => {
                let (person, mark) = (self.rng.usize(..480), format!("{:016x}", self.rng.u64(..)));
                self.session(at, person, "session.started", "password", &mark);
                let until = at + self.rng.i64(DAY / 48..DAY / 3);
                self.promised -= 1;
                self.schedule(until, Next::SignOut(person, mark));
            }
            Next::SignOut(person, mark) => {
                self.promised -= 1;
                self.session(at, person, "session.ended", "signed out", &mark);
            }
            Next::Advance(flow) => self.advance(at, flow),
        }
    }

    fn advance(&mut self, at: i64, mut flow: Box<Flow>) {
        self.promised -= 1;
        flow.step(self, at);
        if flow.is_over() {
            flow.write_approval(self.table(Table::Approval), at);
            if flow.decision.is_some() {
                flow.write_decision(self.table(Table::Decision), at);
            }
        } else {
            let soon = self.rng.i64(30_000..400_000);
            self.schedule(at + soon, Next::Advance(flow));
        }
    }

    /// How long people take.
    fn patience(&self) -> i64 {
        let draw = (self.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24) as i64;
        120 * SECOND + draw % DAY
    }

    fn schedule(&mut self, at: i64, next: Next) {
        self.counter += 1;
        self.agenda.push(Reverse((at, self.counter)));
        self.steps.insert(self.counter, next);
    }

    fn arrive(&mut self, at: i64) -> Flow {
        self.arrived += 1;
        let every = (self.wanted / EACH / 5).max(1);
        let mut pipeline = ((GATED - 1) as f64 * self.rng.f64().powf(2.5)) as usize;
        let team = pipeline % SOURCES;
        let mut person = match self.rng.f64() {
            u if u < 0.9 => team + SOURCES * ((24.0 * self.rng.f64().powi(2)) as usize),
            _ => self.rng.usize(..480),
        };
        let mut fate = Fate::draw(&mut self.rng, self.cast.arns.len());
        match self.arrived % every {
            1 => (pipeline, fate) = (RARE_PIPELINE, Fate::Accepted),
            2 => (person, fate) = (RARE_PERSON, Fate::Accepted),
            3 => fate = Fate::Outside(self.cast.arns.len() - 1),
            _ if at < self.begins + 20 * DAY && self.rng.f64() < 0.1 => person = EARLY_PERSON,
            _ => {}
        }
        Flow::new(self.cast, &mut self.rng, (pipeline, person, fate), at)
    }

    fn open(&mut self, at: i64, flow: &Flow) {
        let fields = flow.opened_fields();
        self.record(at, "approval.opened", "system", &fields, Columns { about: Some(flow), ..Columns::default() });
    }

    fn session(&mut self, at: i64, person: usize, kind: &str, how: &str, mark: &str) {
        let who = &self.cast.people[person];
        let fields = format!(
            r#""person":"{}","name":"{}","email":"{}","roles":["approver"],"method":"{how}","address":"10.20.{}.{}","user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0","session":"{mark}""#,
            who.id,
            who.name,
            who.email,
            person % 250,
            person / 250,
        );
        let (id, actor) = (who.id, format!("account:{}", who.id));
        self.record(at, kind, &actor, &fields, Columns { person: Some(id), ..Columns::default() });
    }

    /// Chains one record whose payload holds `fields` behind the salt.
    pub fn record(&mut self, at: i64, kind: &str, actor: &str, fields: &str, columns: Columns<'_>) {
        // Two apart at least: one microsecond would say that the clock stood behind.
        let at = at.max(self.newest.at + 2);
        let seq = self.newest.seq + 1;
        let payload = format!(r#"{{"salt":"{:016x}{:016x}",{fields}}}"#, self.rng.u64(..), self.rng.u64(..));
        let (payload_hash, prev) = (sha256(payload.as_bytes()), self.newest.hash);
        let time = Timestamp::from_microsecond(at).expect("a time of this century");
        let hash = Entry { seq, at: time, prev: &prev, kind, actor, payload_hash: &payload_hash }.hash();
        self.newest = Newest { seq, at, hash };
        let rows = self.table(Table::Record).row(7).bigint(seq).at(at).bytes(&prev).text(kind).text(actor);
        rows.bytes(&payload_hash).bytes(&hash);
        let rows = self.table(Table::Payload).row(13).bigint(seq).bytes(payload.as_bytes()).text(kind);
        match columns.about {
            Some(flow) => rows.text(&flow.source).text(&flow.pipeline).text("Production").text("Release"),
            None => rows.null().null().null().null(),
        };
        rows.maybe_text(columns.about.map(|flow| flow.execution.as_str()));
        rows.maybe_uuid(columns.about.map(|flow| flow.id)).maybe_uuid(columns.decision).maybe_uuid(columns.person);
        rows.maybe_text(columns.verdict).maybe_text(columns.outcome);
        for table in Table::ALL {
            if self.table(table).len() > BATCH {
                self.flush(table);
            }
        }
    }

    fn table(&mut self, table: Table) -> &mut Rows {
        &mut self.tables[table as usize]
    }

    fn flush(&mut self, table: Table) {
        let rows = self.table(table).take();
        (self.out)(table, rows);
    }
}

/// A cast and the moment its year ends, the same for the same seed.
pub fn cast_of(seed: u64, ends: Timestamp) -> Cast {
    let begins = Timestamp::from_microsecond(ends.as_microsecond() - 366 * DAY).expect("a time of this century");
    Cast::new(&Random::seeded(seed), begins)
}
