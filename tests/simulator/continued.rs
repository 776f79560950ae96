//! A simulator that is continued by a later process: the same history, the same tokens, and what was decided stays.

use countersign::{
    clock::Clock,
    simulator::{Diary, OpenApproval, Simulator, SimulatorHandle, WorldFile},
};
use jiff::{SignedDuration, Timestamp};

use crate::harness::{client, put_with};

/// Pipelines that keep getting runs, and people in the console who answer some of them.
const LIVING: &str = r#"
seed = 11
[[keys]]
id = "AKIAPORTAL"
secret = "portal-secret"
account = "111122223333"
user = "portal"
[[templates]]
name = "web"
[[templates.stages]]
name = "Source"
actions = [{ name = "Repo", kind = "source", seconds = [3, 9] }]
[[templates.stages]]
name = "Release"
actions = [{ name = "Approve", kind = "approval", timeout_minutes = 60, people = [
  { by = "arn:aws:iam::111122223333:user/ines", after = "11m", odds = 0.4 },
] }]
[[worlds]]
account = "111122223333"
region = "eu-west-1"
[[worlds.generate]]
prefix = "queued-"
count = 3
mode = "QUEUED"
template = "web"
every = "7m"
[[worlds.generate]]
prefix = "parallel-"
count = 3
mode = "PARALLEL"
template = "web"
every = "9m"
"#;

async fn resume(directory: &tempfile::TempDir, at: Timestamp) -> SimulatorHandle {
    let diary = Diary::open(&directory.path().join("world.jsonl"), at).unwrap();
    let world = WorldFile::parse(LIVING).unwrap();
    Simulator::resume(world, Clock::manual(at), "127.0.0.1:0".parse().unwrap(), diary).await.unwrap()
}

fn start() -> Timestamp {
    "2027-11-21T08:00:00Z".parse().unwrap()
}

fn tokens(simulator: &SimulatorHandle) -> Vec<(String, String)> {
    let name = |open: OpenApproval| (open.pipeline, open.token);
    simulator.open_approvals().into_iter().map(name).collect()
}

#[tokio::test]
async fn a_later_process_finds_every_approval_as_it_was_and_every_decision_made() {
    let directory = tempfile::tempdir().unwrap();
    let first = resume(&directory, start()).await;
    let sdk = client(&first, "AKIAPORTAL", "portal-secret");
    for _half_hour in 0..6 {
        first.step(SignedDuration::from_mins(30));
        let open = first.open_approvals();
        let answered = open.iter().find(|approval| approval.pipeline.starts_with("parallel")).unwrap();
        put_with(&sdk, answered, "Rejected", "Not today").await.unwrap();
        let answered = open.iter().find(|approval| approval.pipeline.starts_with("queued")).unwrap();
        put_with(&sdk, answered, "Approved", "Fine").await.unwrap();
    }
    let (before, now) = (tokens(&first), first.now());
    assert!(before.len() >= 4, "{before:?}");
    first.stop();
    drop(first);
    let second = resume(&directory, now).await;
    assert_eq!(tokens(&second), before);
}

#[tokio::test]
async fn while_no_process_runs_time_goes_by_but_nobody_pushes_anything() {
    let directory = tempfile::tempdir().unwrap();
    let first = resume(&directory, start()).await;
    first.step(SignedDuration::from_mins(90));
    let (before, stopped) = (tokens(&first), first.now());
    first.stop();
    drop(first);
    let nearly_an_hour = stopped + SignedDuration::from_mins(50);
    let second = resume(&directory, nearly_an_hour).await;
    let after = tokens(&second);
    // In a queue, the next run comes up to a gate that became free; those were there before too. In PARALLEL nothing can
    // be new that was not pushed.
    let parallel = |all: &[(String, String)]| all.iter().filter(|one| one.0.starts_with("parallel")).cloned().collect();
    let (old, new): (Vec<_>, Vec<_>) = (parallel(&before), parallel(&after));
    assert!(new.iter().all(|one| old.contains(one)), "new: {new:?}, old: {old:?}");
    assert!(new.len() < old.len(), "nothing expired and nobody answered in fifty minutes");
    second.step(SignedDuration::from_mins(30));
    assert!(tokens(&second).iter().any(|one| !after.contains(one)), "life does not go on");
}
