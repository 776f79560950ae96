//! One approval's way through the year, step by step, each step a record as the portal writes it.

use countersign::audit::entry::{Hash, sha256};
use uuid::Uuid;

use super::cast::Cast;
use super::copy::Rows;
use super::fate::Fate;
use super::year::{Columns, Year};

/// The decision made here.
#[derive(Debug, Clone)]
pub struct Decided {
    pub id: Uuid,
    pub intent_seq: i64,
    pub intent_hash: Hash,
    pub at: i64,
}

/// One approval.
#[derive(Debug, Clone)]
pub struct Flow {
    pub id: Uuid,
    pub source: String,
    pub pipeline: String,
    pub execution: String,
    pub fate: Fate,
    pub decision: Option<Decided>,
    token: Uuid,
    shown: String,
    fingerprint: Hash,
    opened_at: i64,
    done: usize,
    person: (Uuid, String, String),
    verdict: &'static str,
    summary: &'static str,
    by: String,
}

const SUMMARIES: [&str; 6] = [
    "Checked on staging, release notes are out",
    "ok",
    "Smoke tests green, on-call informed, going ahead before the change window closes at six",
    "Reviewed with the team",
    "Hotfix for the invoice rounding, agreed with support",
    "As planned",
];
const MESSAGES: [&str; 5] = [
    "Round invoices per line, not per sum",
    "Bump the base image and its certificates",
    "Show the delivery window on the order page",
    "Retry the webhook three times before giving up",
    "Remove the old search index",
];

impl Flow {
    pub fn new(
        cast: &Cast,
        rng: &mut fastrand::Rng,
        (pipeline, person, fate): (usize, usize, Fate),
        opened_at: i64,
    ) -> Self {
        let (pipeline, person) = (&cast.pipelines[pipeline], &cast.people[person]);
        let any = |rng: &mut fastrand::Rng| uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid();
        let (execution, token, revision) = (any(rng).to_string(), any(rng), sha256(&rng.u64(..).to_be_bytes()));
        let shown = format!(
            r#"{{"source":"{}","pipeline":"{}","stage":"Production","action":"Release","account":"{}","region":"eu-west-1","execution":"{execution}","token_hash":"{}","revisions":[{{"name":"Repository","id":"{}","message":{{"text":"{}"}}}}],"comment":{{"text":"Release {} to production"}}}}"#,
            pipeline.source,
            pipeline.name,
            pipeline.account,
            hex::encode(sha256(token.to_string().as_bytes())),
            hex::encode(&revision[..20]),
            MESSAGES[rng.usize(..MESSAGES.len())],
            pipeline.name,
        );
        let mut fingerprinted = b"countersign-shown/v1\n".to_vec();
        fingerprinted.extend_from_slice(shown.as_bytes());
        let by = match fate {
            Fate::Outside(arn) | Fate::Elsewhere(arn) => cast.arns[arn].clone(),
            _ => format!("arn:aws:sts::{}:assumed-role/Countersign/portal", pipeline.account),
        };
        Self {
            id: Self::ordered_id(rng, opened_at),
            source: pipeline.source.clone(),
            pipeline: pipeline.name.clone(),
            execution,
            fate,
            decision: None,
            token,
            fingerprint: sha256(&fingerprinted),
            shown,
            opened_at,
            done: 0,
            person: (person.id, person.name.clone(), person.email.clone()),
            verdict: if rng.f64() < 0.05 { "rejected" } else { "approved" },
            summary: SUMMARIES[rng.usize(..SUMMARIES.len())],
            by,
        }
    }

    fn ordered_id(rng: &mut fastrand::Rng, at: i64) -> Uuid {
        let random: [u8; 10] = rng.u128(..).to_be_bytes()[..10].try_into().expect("ten of sixteen bytes");
        let millis = u64::try_from(at / 1_000).expect("a time after 1970");
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    pub fn is_over(&self) -> bool {
        self.done == self.fate.steps().len()
    }

    fn about(&self) -> String {
        format!(
            r#""source":"{}","pipeline":"{}","stage":"Production","action":"Release","execution":"{}","approval":"{}""#,
            self.source, self.pipeline, self.execution, self.id
        )
    }

    pub fn opened_fields(&self) -> String {
        format!(
            r#"{},"mode":"superseded","opened_at":"{}","expires_at":"{}","expires_about":true,"answerable":true,"fingerprint":"{}","shown":{}"#,
            self.about(),
            text_of(self.opened_at),
            text_of(self.expires_at()),
            hex::encode(self.fingerprint),
            self.shown
        )
    }

    fn expires_at(&self) -> i64 {
        self.opened_at + 60 * 86_400 * 1_000_000
    }

    /// Takes the next step and tells it.
    pub fn step(&mut self, year: &mut Year<'_>, at: i64) {
        let kind = self.fate.steps()[self.done];
        self.done += 1;
        match kind {
            "decision.intended" => self.intend(year, at),
            "approval.decided_elsewhere" | "approval.closed" => self.end_outside(year, at, kind),
            followed => self.follow(year, at, followed),
        }
    }

    fn intend(&mut self, year: &mut Year<'_>, at: i64) {
        let id = Self::ordered_id(&mut year.rng, at);
        let (person, name, email) = &self.person;
        let (verdict, summary) = (self.verdict, self.summary);
        let fields = format!(
            r#"{},"decision":"{id}","verdict":"{verdict}","person":"{person}","name":"{name}","email":"{email}","roles":["approver"],"signed_in":{{"method":"password","at":"{}"}},"address":"10.20.30.40","session":"{:016x}","summary":"{summary}","channel":"page","rule":{{"text":"any approver","votes":[{{"person":"{person}","verdict":"{verdict}"}}]}},"fingerprint":"{}","shown":{}"#,
            self.about(),
            text_of(at - 600_000_000),
            year.rng.u64(..),
            hex::encode(self.fingerprint),
            self.shown
        );
        let columns = Columns {
            about: Some(self),
            decision: Some(id),
            person: Some(*person),
            verdict: Some(verdict),
            ..Columns::default()
        };
        year.record(at, "decision.intended", &format!("account:{person}"), &fields, columns);
        self.decision = Some(Decided { id, intent_seq: year.newest.seq, intent_hash: year.newest.hash, at });
    }

    fn follow(&self, year: &mut Year<'_>, at: i64, kind: &str) {
        let decision = self.decision.as_ref().expect("an intent comes first");
        let outcome = kind.strip_prefix("decision.").expect("what follows is of the decision");
        let receipt = hex::encode(&decision.intent_hash[..8]);
        let aws = match outcome {
            "sent" => format!(
                r#","sent_summary":"{} -- {} via Countersign #{} {receipt}""#,
                self.summary, self.person.1, decision.intent_seq
            ),
            "accepted" => format!(r#","aws":{{"by":"answer","approved_at":"{}"}}"#, text_of(at)),
            _ => r#","reason":"AWS says that this approval no longer waits","aws":{"by":"answer","code":"ApprovalAlreadyCompletedException"}"#.to_owned(),
        };
        let fields = format!(
            r#"{},"decision":"{}","verdict":"{}","person":"{}","outcome":"{outcome}","intent":{},"attempt":1{aws}"#,
            self.about(),
            decision.id,
            self.verdict,
            self.person.0,
            decision.intent_seq
        );
        let columns = Columns {
            about: Some(self),
            decision: Some(decision.id),
            person: Some(self.person.0),
            verdict: Some(self.verdict),
            outcome: Some(outcome),
        };
        year.record(at, kind, "system", &fields, columns);
    }

    fn end_outside(&self, year: &mut Year<'_>, at: i64, kind: &str) {
        let about = Columns { about: Some(self), ..Columns::default() };
        if kind == "approval.closed" {
            let outcome = self.at_aws();
            let fields = format!(r#"{},"outcome":"{outcome}","closed_at":"{}""#, self.about(), text_of(at));
            year.record(at, kind, "system", &fields, Columns { outcome: Some(outcome), ..about });
            return;
        }
        let fields = format!(
            r#"{},"verdict":"{}","outcome":"elsewhere","by":"{}","summary":"{}","decided_at":"{}""#,
            self.about(),
            self.verdict,
            self.by,
            self.summary,
            text_of(at)
        );
        let columns = Columns { verdict: Some(self.verdict), outcome: Some("elsewhere"), ..about };
        year.record(at, kind, "system", &fields, columns);
    }

    fn at_aws(&self) -> &'static str {
        match self.fate {
            Fate::Open => "open",
            Fate::Expired | Fate::Refused | Fate::Lapsed => "expired",
            Fate::Superseded | Fate::Stale => "superseded",
            _ => self.verdict,
        }
    }

    /// The row as the year leaves it.
    pub fn write_approval(&self, rows: &mut Rows, at: i64) {
        let at_aws = self.at_aws();
        let decided = match (at_aws == self.verdict, self.fate) {
            (false, _) => None,
            (true, Fate::Outside(_) | Fate::Elsewhere(_)) => Some("elsewhere"),
            (true, _) => Some("here"),
        };
        let token = self.token.to_string();
        rows.row(26)
            .bytes(self.id.as_bytes())
            .text(&self.source)
            .text(&self.pipeline)
            .text("Production")
            .text("Release");
        rows.text(&self.execution).null().text(&token).bytes(&sha256(token.as_bytes())).text("SUPERSEDED").int(1);
        rows.at(self.opened_at).boolean(false).at(self.expires_at()).boolean(true).at(self.opened_at).at(at);
        rows.text(at_aws).maybe_at((at_aws != "open").then_some(at)).null().maybe_text(decided);
        rows.maybe_text(decided.map(|_| self.by.as_str())).maybe_text(decided.map(|_| self.summary));
        rows.text(&self.shown).bytes(&self.fingerprint);
        rows.json(r#"{"answerable":true,"resolved":true,"complete":true,"trigger":{"kind":"WebhookV2"},"run_status":"InProgress"}"#);
    }

    /// The decision's row, settled at `at`.
    pub fn write_decision(&self, rows: &mut Rows, at: i64) {
        let decision = self.decision.as_ref().expect("asked for only where there is one");
        let state = self.fate.state();
        let is_sent = !matches!(self.fate, Fate::Stale | Fate::Lapsed);
        rows.row(17).bytes(decision.id.as_bytes()).bytes(self.id.as_bytes()).bytes(self.person.0.as_bytes());
        rows.text(self.verdict)
            .text(self.summary)
            .text(&self.person.1)
            .bytes(&self.fingerprint)
            .text("page")
            .text(state);
        rows.int(i32::from(is_sent)).bigint(decision.intent_seq).bytes(&decision.intent_hash).at(decision.at);
        rows.maybe_at(is_sent.then_some(decision.at + 20_000)).int(i32::from(is_sent)).at(at);
        rows.maybe_at((state == "accepted").then_some(at));
    }
}

/// A time as records write it.
fn text_of(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).expect("a time of this century").to_string()
}
