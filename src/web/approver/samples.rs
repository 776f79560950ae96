//! Approvals to render in tests: dull, the longest that is legal, and hostile.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::domain::approval::AtAws;
use crate::domain::decision::{State, Verdict};
use crate::domain::ids::{ActionName, ApprovalId, DecisionId, Gate, PipelineName, SourceName, StageName};
use crate::domain::shown::{MAX_COMMENT, MAX_REVISION_TEXT, MAX_URL, Shown, ShownRevision};
use crate::domain::text::Clipped;
use crate::store::queue::{Live, SourceSight, TriggerSeen, Unreadable, Waiting};

/// Markup, direction marks, controls, quotes: everything that must come out as text.
pub const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&</bdi><script>\u{202e}\u{0}\u{1b}[31m{{7*7}}";

pub fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

pub fn gate(pipeline: &str) -> Gate {
    Gate {
        source: SourceName::parse("prod").unwrap(),
        pipeline: PipelineName::parse(pipeline).unwrap(),
        stage: StageName::parse("Production").unwrap(),
        action: ActionName::parse("Release").unwrap(),
    }
}

pub fn shown(pipeline: &str) -> Shown {
    Shown {
        gate: gate(pipeline),
        account: "111122223333".into(),
        region: "eu-west-1".into(),
        execution: "1a2b3c4d-573f-4ea7-a67e-0123456789ab".into(),
        action_execution: Some("9f8e7d6c-573f-4ea7-a67e-0123456789ab".into()),
        token_hash: "ab".repeat(32),
        revisions: vec![ShownRevision {
            name: "Source".into(),
            id: "3f1c0de5a1b2c3d4e5f60718293a4b5c6d7e8f90".into(),
            message: Some(Clipped::new("Add gift cards to the checkout\n\nSee the plan.", MAX_REVISION_TEXT)),
            author: Some("Mia Chen".into()),
            url: Some(Clipped::new("https://git.example.com/shop/commit/3f1c0de", MAX_REVISION_TEXT)),
        }],
        more_revisions: 0,
        comment: Some(Clipped::new("Release 4.12 to production?\nSmoke tests passed on staging.", MAX_COMMENT)),
        review_url: Some(Clipped::new("https://ci.example.com/runs/4711", MAX_URL)),
    }
}

pub fn hostile_shown() -> Shown {
    let clip = |max| Clipped::new(&HOSTILE.repeat(400), max);
    let revision = ShownRevision {
        name: HOSTILE.into(),
        id: clip(100).text,
        message: Some(clip(MAX_REVISION_TEXT)),
        author: Some(clip(100).text),
        url: Some(Clipped::new("javascript:alert(1)", MAX_REVISION_TEXT)),
    };
    Shown {
        account: HOSTILE.into(),
        region: HOSTILE.into(),
        comment: Some(clip(MAX_COMMENT)),
        review_url: Some(Clipped::new("javascript:alert(document.cookie)//\"onclick=x", MAX_URL)),
        revisions: vec![revision; 5],
        more_revisions: 995,
        ..shown(&"x".repeat(100))
    }
}

pub fn waiting(number: u128, shown: Shown) -> Waiting {
    Waiting {
        id: ApprovalId(Uuid::from_u128(number)),
        shown,
        opened_at: now() - SignedDuration::from_hours(5),
        opened_about: false,
        expires_at: now() + SignedDuration::from_hours(7 * 24 - 5),
        expires_about: true,
        seen_open_at: now() - SignedDuration::from_secs(9),
        at_aws: AtAws::Open,
        unread_since: None,
        trigger: Some(TriggerSeen {
            kind: "StartPipelineExecution".into(),
            detail: Some("arn:aws:sts::111122223333:assumed-role/Developer/mia".into()),
        }),
        newer: 0,
        live: None,
    }
}

pub fn live(by: &str, state: State) -> Live {
    Live { id: DecisionId(Uuid::from_u128(99)), state, verdict: Verdict::Approved, by: by.into() }
}

pub fn sight() -> SourceSight {
    SourceSight {
        name: "prod".into(),
        account: Some("111122223333".into()),
        region: Some("eu-west-1".into()),
        configured: true,
        swept_at: Some(now() - SignedDuration::from_secs(8)),
        blind: None,
        unreadable: None,
    }
}

pub fn blind() -> SourceSight {
    let why = format!("AWS does not allow codepipeline:ListPipelines: {HOSTILE}");
    SourceSight { blind: Some((now() - SignedDuration::from_mins(12), why)), ..sight() }
}

pub fn degraded() -> SourceSight {
    SourceSight {
        unreadable: Some(Unreadable {
            count: 7,
            since: now() - SignedDuration::from_mins(3),
            why: HOSTILE.into(),
            names: vec!["billing".into(), HOSTILE.into()],
        }),
        swept_at: Some(now() - SignedDuration::from_hours(1)),
        ..sight()
    }
}
