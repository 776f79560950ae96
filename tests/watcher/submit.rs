//! The send on the wire: one request per call, and what each answer allows a sender to believe.

use std::time::Duration;

use countersign::codepipeline::{Answer, Doubt, Gateway, NotApplied, Settings, Submission};
use countersign::domain::decision::Verdict;
use countersign::domain::ids::{ActionName, ApprovalToken, PipelineName, StageName};
use countersign::random::Random;
use countersign::simulator::{ErrorBody, Fault, FaultKind, OpenApproval, SimulatorHandle, Verdict as Console};
use jiff::SignedDuration;

use crate::harness::{ACCOUNT, GATES, INES, REGION, gateway, other_source, settings, simulate, source};

fn submission(open: &OpenApproval) -> Submission {
    Submission {
        pipeline: PipelineName::parse(&*open.pipeline).unwrap(),
        stage: StageName::parse(&*open.stage).unwrap(),
        action: ActionName::parse(&*open.action).unwrap(),
        token: ApprovalToken::new(&*open.token),
        verdict: Verdict::Approved,
        summary: "Fine [Ana, rec 7 0123456789abcdef]".into(),
        session_name: "countersign-rec-7".into(),
    }
}

struct Wire {
    sim: SimulatorHandle,
    gateway: Gateway,
    open: OpenApproval,
}

impl Wire {
    async fn start(pipeline: &str) -> Self {
        let (sim, _) = simulate(GATES).await;
        let gateway = gateway(&source(&sim)).await;
        let open = sim.world(ACCOUNT, REGION).open_approval(pipeline, None).unwrap();
        Self { sim, gateway, open }
    }

    async fn submit(&self) -> Answer {
        self.gateway.submit(&submission(&self.open)).await
    }

    /// What one attempt comes to under a fault: the answer, the requests AWS received, the effects they had.
    async fn under(kind: FaultKind) -> (Answer, usize, usize) {
        let wire = Self::start("shop").await;
        wire.sim.add_fault(Fault::on("PutApprovalResult", kind));
        let answer = wire.submit().await;
        (answer, wire.sim.receipts().len(), wire.sim.effects().len())
    }
}

fn error(status: u16, code: &str, body: ErrorBody, applied: bool) -> FaultKind {
    FaultKind::Error { status, code: code.into(), message: "because".into(), body, applied }
}

#[tokio::test]
async fn an_accepted_decision_arrives_as_it_was_written() {
    for pipeline in ["shop", "queue", "swarm"] {
        let wire = Wire::start(pipeline).await;
        let answer = wire.submit().await;
        assert!(matches!(answer, Answer::Accepted { approved_at: Some(_) }), "{answer:?}");
        let effects = wire.sim.effects();
        assert_eq!(effects.len(), 1);
        assert_eq!((effects[0].verdict.as_str(), effects[0].token.as_str()), ("Approved", wire.open.token.as_str()));
        assert_eq!(effects[0].summary, "Fine [Ana, rec 7 0123456789abcdef]");
    }
}

#[tokio::test]
async fn with_a_role_the_session_carries_the_record() {
    let (sim, _) = simulate(GATES).await;
    let gateway = gateway(&other_source(&sim)).await;
    let open = sim.world("444455556666", REGION).open_approval("shop", None).unwrap();
    let answer = gateway.submit(&submission(&open)).await;
    assert!(matches!(answer, Answer::Accepted { .. }), "{answer:?}");
    let caller = sim.effects()[0].caller.clone();
    assert_eq!(caller, "arn:aws:sts::444455556666:assumed-role/countersign/countersign-rec-7");
    assert!(gateway.is_own(&caller));
}

#[tokio::test]
async fn every_lost_or_broken_answer_is_one_request_and_unknown() {
    let cases = [
        (FaultKind::Reset { applied: false }, Doubt::Unanswered, 0),
        (FaultKind::Reset { applied: true }, Doubt::Unanswered, 1),
        (FaultKind::Empty { applied: false }, Doubt::Empty, 0),
        (FaultKind::Empty { applied: true }, Doubt::Empty, 1),
        (FaultKind::Truncate, Doubt::Empty, 1),
        (error(500, "InternalFailure", ErrorBody::Json, false), Doubt::Answered, 0),
        (error(500, "InternalFailure", ErrorBody::Json, true), Doubt::Answered, 1),
        (error(503, "ServiceUnavailableException", ErrorBody::Json, true), Doubt::Answered, 1),
        (error(502, "", ErrorBody::Html, true), Doubt::Answered, 1),
        (error(504, "", ErrorBody::Empty, false), Doubt::Answered, 0),
        (FaultKind::UnknownCode { code: "BrandNewException".into() }, Doubt::UnknownCode, 0),
        (error(409, "ConflictException", ErrorBody::Json, false), Doubt::UnknownCode, 0),
    ];
    for (kind, expected, effects) in cases {
        let (answer, received, took_effect) = Wire::under(kind.clone()).await;
        let Answer::Unknown { doubt, .. } = &answer else { panic!("{kind:?}: {answer:?}") };
        assert_eq!((*doubt, received, took_effect), (expected, 1, effects), "{kind:?}: {answer:?}");
    }
}

#[tokio::test]
async fn an_attempt_that_hangs_ends_in_time_and_is_unknown() {
    // F-10
    let (sim, _) = simulate(GATES).await;
    let impatient = Settings { attempt: Duration::from_millis(700), ..settings() };
    let gateway = Gateway::open(&source(&sim), impatient, &Random::seeded(1)).await.unwrap();
    let open = sim.world(ACCOUNT, REGION).open_approval("shop", None).unwrap();
    sim.add_fault(Fault::on("PutApprovalResult", FaultKind::Hang { seconds: Some(40.0), applied: true }));
    let answer = gateway.submit(&submission(&open)).await;
    assert!(matches!(answer, Answer::Unknown { doubt: Doubt::Unanswered, .. }), "{answer:?}");
    assert_eq!((sim.receipts().len(), sim.effects().len()), (1, 0));
    // It lands late, after nobody waits for it any more.
    sim.step(SignedDuration::from_secs(41));
    sim.until_called("PutApprovalResult", 1).await;
}

#[tokio::test]
async fn what_surely_had_no_effect_is_told_apart() {
    let (answer, received, effects) = Wire::under(FaultKind::Throttle).await;
    assert!(
        matches!(&answer, Answer::NotApplied { why: NotApplied::Throttled, code, .. } if code == "ThrottlingException")
    );
    assert_eq!((received, effects), (1, 0));
    let (answer, received, _) = Wire::under(FaultKind::Expired).await;
    assert!(matches!(answer, Answer::NotApplied { why: NotApplied::Credentials, .. }));
    assert_eq!(received, 1);
    let (answer, received, _) = Wire::under(FaultKind::Denied).await;
    let Answer::Refused { code, message } = answer else { panic!("{answer:?}") };
    assert_eq!((code.as_str(), received), ("AccessDeniedException", 1));
    assert!(message.contains("codepipeline:PutApprovalResult on resource: arn:aws:codepipeline"), "{message}");
}

#[tokio::test]
async fn a_refused_connection_never_left() {
    let wire = Wire::start("shop").await;
    let mut nowhere = source(&wire.sim);
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    nowhere.endpoint_url = Some(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    drop(listener);
    let answer = gateway(&nowhere).await.submit(&submission(&wire.open)).await;
    assert!(matches!(answer, Answer::NotApplied { why: NotApplied::NeverLeft, .. }), "{answer:?}");
    assert_eq!(wire.sim.receipts().len(), 0);
}

#[tokio::test]
async fn credentials_that_cannot_be_fetched_leave_nothing_at_aws() {
    let (sim, _) = simulate(GATES).await;
    let mut wrong = other_source(&sim);
    wrong.external_id = Some("somebody-else".to_owned().into());
    let open = sim.world("444455556666", REGION).open_approval("shop", None).unwrap();
    let answer = gateway(&wrong).await.submit(&submission(&open)).await;
    assert!(matches!(answer, Answer::NotApplied { why: NotApplied::NeverLeft, .. }), "{answer:?}");
    assert_eq!(sim.receipts().len(), 0);
}

#[tokio::test]
async fn a_role_whose_session_expired_is_assumed_again_for_the_next_attempt() {
    // F-14
    let (sim, _) = simulate(GATES).await;
    let gateway = gateway(&other_source(&sim)).await;
    let world = sim.world("444455556666", REGION);
    gateway.list_pipelines().await.unwrap();
    sim.expire_credentials();
    let open = world.open_approval("shop", None).unwrap();
    assert!(matches!(gateway.submit(&submission(&open)).await, Answer::Accepted { .. }));
}

#[tokio::test]
async fn too_late_is_said_whatever_made_it_so() {
    let wire = Wire::start("shop").await;
    wire.sim.world(ACCOUNT, REGION).decide(&wire.open, Console::Rejected, "", INES);
    let answer = wire.submit().await;
    assert!(
        matches!(&answer, Answer::TooLate { code, .. } if code == "ApprovalAlreadyCompletedException"),
        "{answer:?}"
    );

    let wire = Wire::start("shop").await;
    wire.sim.world(ACCOUNT, REGION).expire(&wire.open);
    let answer = wire.submit().await;
    assert!(matches!(&answer, Answer::TooLate { code, .. } if code == "InvalidApprovalTokenException"), "{answer:?}");

    let wire = Wire::start("shop").await;
    wire.sim.world(ACCOUNT, REGION).delete("shop");
    assert!(matches!(wire.submit().await, Answer::TooLate { .. }));

    let wire = Wire::start("shop").await;
    let odd = Submission { token: ApprovalToken::new("not-a-uuid"), ..submission(&wire.open) };
    assert!(matches!(wire.gateway.submit(&odd).await, Answer::Refused { .. }));
    assert_eq!(wire.sim.effects().len(), 0);
}
