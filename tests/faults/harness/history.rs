//! Everything there is to compare after a story: what people did and were told, what AWS received and did, what the
//! records and rows say. Read with rights no serving process has, so that nothing is hidden from the judge.

use countersign::simulator::{Effect, Receipt};
use jiff::Timestamp;
use serde_json::Value;

use super::Stage;
use super::deeds::Deed;

/// A record as the table has it.
#[derive(Debug, Clone)]
pub struct Record {
    pub seq: i64,
    pub at: Timestamp,
    pub kind: String,
    /// Hexadecimal.
    pub hash: String,
    pub payload: Value,
}

impl Record {
    pub fn text(&self, member: &str) -> &str {
        self.payload[member].as_str().unwrap_or_default()
    }
}

/// A row of the decision table.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: String,
    pub state: String,
    pub verdict: String,
    pub account: String,
    pub approval: String,
    pub fingerprint: String,
}

/// A row of the approval table.
#[derive(Debug, Clone)]
pub struct Known {
    pub id: String,
    pub token: String,
    pub at_aws: String,
    pub decided: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct History {
    pub deeds: Vec<Deed>,
    pub effects: Vec<Effect>,
    pub receipts: Vec<Receipt>,
    pub records: Vec<Record>,
    pub rows: Vec<Row>,
    pub approvals: Vec<Known>,
    /// What `countersign audit verify` said, unless it said "intact".
    pub broken: Option<String>,
}

impl History {
    pub async fn read(stage: &Stage) -> Self {
        let mut conn = stage.database.connect_superuser().await;
        let records: Vec<(i64, jiff_sqlx::Timestamp, String, Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "select r.seq, r.at, r.kind, r.hash, p.payload from audit.record r join audit.payload p using (seq)
            order by r.seq",
        )
        .fetch_all(&mut conn)
        .await
        .unwrap();
        let rows: Vec<(String, String, String, String, String, Vec<u8>)> = sqlx::query_as(
            "select id::text, state, verdict, account_id::text, approval_id::text, fingerprint from portal.decision",
        )
        .fetch_all(&mut conn)
        .await
        .unwrap();
        let approvals: Vec<(String, String, String, Option<String>)> =
            sqlx::query_as("select id::text, token, at_aws, decided from portal.approval")
                .fetch_all(&mut conn)
                .await
                .unwrap();
        Self {
            deeds: stage.deeds.all(),
            effects: stage.simulator.effects(),
            receipts: stage.simulator.receipts(),
            records: records.into_iter().map(record).collect(),
            rows: rows.into_iter().map(row).collect(),
            approvals: approvals
                .into_iter()
                .map(|(id, token, at_aws, decided)| Known { id, token, at_aws, decided })
                .collect(),
            broken: stage.verify().await.err(),
        }
    }
}

fn record((seq, at, kind, hash, payload): (i64, jiff_sqlx::Timestamp, String, Vec<u8>, Vec<u8>)) -> Record {
    Record { seq, at: at.to_jiff(), kind, hash: hex::encode(hash), payload: serde_json::from_slice(&payload).unwrap() }
}

fn row((id, state, verdict, account, approval, print): (String, String, String, String, String, Vec<u8>)) -> Row {
    Row { id, state, verdict, account, approval, fingerprint: hex::encode(print) }
}
