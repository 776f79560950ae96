//! Approvals to render in tests: dull, the longest that is legal, and hostile.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::approval_view::Known;
use super::who_may::{May, WhoMay};
use crate::access::unattended::Foretold;
use crate::domain::approval::AtAws;
use crate::domain::decision::{State, Verdict};
use crate::domain::details::{ActionView, Details, NewerRun, SourceSeen, StageView, TriggerSeen, Variable};
use crate::domain::ids::{AccountId, ApprovalToken, ExecutionId, SessionId, StandInId};
use crate::domain::ids::{ActionName, ApprovalId, DecisionId, Gate, PipelineName, SourceName, StageName};
use crate::domain::mode::Mode;
use crate::domain::people::{Person, Role};
use crate::domain::shown::{MAX_COMMENT, MAX_REVISION_TEXT, MAX_URL, Shown, ShownRevision};
use crate::domain::text::Clipped;
use crate::store::access::rights::{Lender, Named, StandingIn};
use crate::store::approvals::Approval;
use crate::store::decisions::unattended::Ended;
use crate::store::queue::{Live, SourceSight, Unreadable, Waiting};
use crate::store::records::Earlier;

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
        found_at: now() - SignedDuration::from_hours(5),
        expires_at: now() + SignedDuration::from_hours(7 * 24 - 5),
        expires_about: true,
        seen_open_at: now() - SignedDuration::from_secs(9),
        at_aws: AtAws::Open,
        unread_since: None,
        trigger: Some(TriggerSeen {
            kind: "StartPipelineExecution".into(),
            detail: Some("arn:aws:sts::111122223333:assumed-role/Developer/mia".into()),
        }),
        sources: vec![SourceSeen { name: "Source".into(), branch: Some("main".into()), ..SourceSeen::default() }],
        newer: 0,
        live: None,
        ended: Ended::default(),
        tags: None,
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
        deaf: None,
        unreadable: None,
    }
}

pub fn blind() -> SourceSight {
    let why = format!("AWS does not allow codepipeline:ListPipelines: {HOSTILE}");
    SourceSight { blind: Some((now() - SignedDuration::from_mins(12), why)), ..sight() }
}

pub fn deaf() -> SourceSight {
    let why = format!("AWS says there is no such queue. {HOSTILE}");
    SourceSight { deaf: Some((now() - SignedDuration::from_mins(4), why)), ..sight() }
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

pub fn person(role: &str) -> Person {
    Person {
        account: AccountId(Uuid::from_u128(7)),
        email: "ana@example.com".into(),
        name: "Ana Silva".into(),
        roles: Role::from_name(role).into_iter().collect(),
        session: SessionId(Uuid::from_u128(8)),
        method: "password".into(),
        signed_in_at: now(),
        factor: None,
        lacks_factor: false,
        stepped_up_at: None,
        proven_by: None,
        address: "127.0.0.1".parse().unwrap(),
        zone: jiff::tz::TimeZone::UTC,
        session_mark: "ab".repeat(8),
        must_change_password: false,
    }
}

pub fn details() -> Details {
    let action = |name: &str, status: Option<&str>, is_gate| ActionView {
        name: name.into(),
        status: status.map(str::to_owned),
        is_gate,
    };
    let stage = |name: &str, status: Option<&str>, actions| StageView {
        name: name.into(),
        status: status.map(str::to_owned),
        execution: Some("1a2b3c4d-573f-4ea7-a67e-0123456789ab".into()),
        closed: None,
        actions,
    };
    Details {
        answerable: true,
        resolved: true,
        complete: true,
        trigger: waiting(1, shown("shop")).trigger,
        run_started_at: Some(now() - SignedDuration::from_hours(6)),
        run_status: Some("InProgress".into()),
        variables: vec![Variable { name: "version".into(), value: Clipped::new("4.12", 100) }],
        sources: waiting(1, shown("shop")).sources,
        stages: vec![
            stage("Source", Some("Succeeded"), vec![action("Source", Some("Succeeded"), false)]),
            stage("Build", Some("Succeeded"), vec![action("Build", Some("Succeeded"), false)]),
            stage(
                "Production",
                Some("InProgress"),
                vec![action("Release", Some("InProgress"), true), action("Deploy", None, false)],
            ),
            stage("Cleanup", None, vec![action("Notify", None, false)]),
        ],
        ..Details::default()
    }
}

/// The person who looks may decide, like a few others.
pub fn who() -> WhoMay {
    let people = Named { names: vec!["Ana Silva".into(), "Ben Okafor".into(), HOSTILE.into()], all: 17 };
    WhoMay { may: May::Yes, people, groups: vec![], standing_in: vec![], admins: Named::default(), tags_missing: false }
}

pub fn known() -> Known {
    let shown = shown("shop");
    let approval = Approval {
        id: ApprovalId(Uuid::from_u128(1)),
        gate: shown.gate.clone(),
        execution: ExecutionId::parse(shown.execution.clone()).unwrap(),
        action_execution: shown.action_execution.clone(),
        token: ApprovalToken::new("1a2b3c4d-573f-4ea7-a67e-0123456789ab"),
        mode: Mode::Superseded,
        pipeline_version: Some(3),
        opened_at: now() - SignedDuration::from_hours(5),
        opened_about: false,
        expires_at: now() + SignedDuration::from_mins(40),
        expires_about: true,
        found_at: now(),
        seen_open_at: now(),
        at_aws: AtAws::Open,
        closed_at: None,
        closed_why: None,
        decided: None,
        decided_by: None,
        decided_summary: None,
        shown_json: shown.to_json(),
        fingerprint: shown.fingerprint(),
        shown,
        details: details(),
    };
    let earlier = |verdict: &str, by: &str, is_here, summary: &str| Earlier {
        approval: ApprovalId(Uuid::from_u128(5)),
        execution: "0a0b0c0d-573f-4ea7-a67e-0123456789ab".into(),
        verdict: verdict.into(),
        at: now() - SignedDuration::from_hours(30),
        by: by.into(),
        is_here,
        summary: summary.into(),
        seq: Some(41),
    };
    Known {
        approval,
        live: None,
        earlier: vec![
            earlier("approved", "Ben Okafor", true, "Checked on staging"),
            earlier("rejected", "arn:aws:iam::111122223333:user/bob", false, HOSTILE),
        ],
        troubles: vec![],
        is_configured: true,
        foretold: Foretold::Never,
        who: who(),
    }
}

/// An approval in every situation its page knows.
pub fn all_known() -> Vec<(&'static str, Known)> {
    let with = |change: fn(&mut Known)| {
        let mut known = known();
        change(&mut known);
        known
    };
    vec![
        ("dull", known()),
        (
            "bare",
            with(|k| {
                k.approval.details = Details { answerable: true, ..Details::default() };
                k.approval.shown.revisions.clear();
                k.approval.shown.comment = None;
                k.approval.shown.review_url = None;
                k.earlier.clear();
            }),
        ),
        ("foretold", with(|k| k.foretold = Foretold::At(now() + SignedDuration::from_mins(50)))),
        ("late", with(|k| k.foretold = Foretold::At(now()))),
        ("stopping", with(|k| k.approval.details.run_status = Some("Stopping".into()))),
        ("unsure", with(|k| k.live = Some(live(HOSTILE, State::Unsure)))),
        (
            "accepted",
            with(|k| {
                k.live = Some(live("Ben", State::Accepted));
                k.approval.at_aws = AtAws::Approved;
                k.approval.closed_at = Some(now());
            }),
        ),
        (
            "outside",
            with(|k| {
                k.approval.at_aws = AtAws::Rejected;
                k.approval.closed_at = Some(now());
                k.approval.decided_by = Some("arn:aws:sts::1:assumed-role/Admin/<b>".into());
                k.approval.decided_summary = Some(HOSTILE.into());
            }),
        ),
        (
            "gone",
            with(|k| {
                k.approval.at_aws = AtAws::Gone;
                k.approval.closed_why = Some(HOSTILE.into());
            }),
        ),
        ("hostile", hostile_known()),
    ]
}

fn hostile_known() -> Known {
    let mut known = known();
    let until = now() + SignedDuration::from_hours(30);
    let (stand_in, account) = (StandInId(Uuid::from_u128(5)), AccountId(Uuid::from_u128(6)));
    known.who = WhoMay {
        may: May::For(Lender { stand_in, account, name: HOSTILE.into(), until }),
        people: Named { names: vec![HOSTILE.into(); 12], all: 500 },
        groups: vec![HOSTILE.into(); 5],
        standing_in: vec![StandingIn { by_name: HOSTILE.into(), for_name: HOSTILE.into(), until }; 12],
        admins: Named { names: vec![HOSTILE.into(); 3], all: 9 },
        tags_missing: true,
    };
    let long = Clipped::new(&HOSTILE.repeat(50), 400);
    let details = &mut known.approval.details;
    details.run_kind = Some("ROLLBACK".into());
    details.rollback_of = Some(HOSTILE.into());
    details.resolved = false;
    details.trigger = Some(TriggerSeen { kind: HOSTILE.into(), detail: Some(HOSTILE.into()) });
    details.variables = vec![Variable { name: HOSTILE.into(), value: long.clone() }; 50];
    details.newer = vec![
        NewerRun {
            execution: HOSTILE.into(),
            status: None,
            started_at: Some(now()),
            at_stage: Some(HOSTILE.into()),
            brings: vec![long.text.clone()],
        };
        10
    ];
    let odd = StageView {
        name: HOSTILE.into(),
        status: Some(HOSTILE.into()),
        execution: Some(HOSTILE.into()),
        closed: Some(HOSTILE.into()),
        actions: vec![ActionView { name: HOSTILE.into(), status: Some(HOSTILE.into()), is_gate: true }; 3],
    };
    details.stages = vec![odd; 20];
    known.approval.shown = hostile_shown();
    known.approval.shown.comment = Some(Clipped::new(&"#{Source.CommitMessage} <b>".repeat(900), MAX_COMMENT));
    known.approval.shown_json = known.approval.shown.to_json();
    known.troubles = crate::web::approver::trouble::of(&blind(), now(), SignedDuration::from_mins(2));
    known
}
