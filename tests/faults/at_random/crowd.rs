//! The people of a random run, and the pipelines that keep asking them.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use countersign::simulator::{Act, Fault, Moment, SimulatorHandle, Verdict, Which};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::Gate;
use super::crew::Crew;
use super::plan::Decide;
use crate::harness::{ACCOUNT, Form, Person, Replica, Stage, Told};

const CONSOLE: &str = "arn:aws:iam::111122223333:user/ines";
/// How many runs of a PARALLEL pipeline wait at once.
const SIDE_BY_SIDE: usize = 3;
/// How many approvals a person turns to when a page cannot be read, or somebody else was quicker.
const TRIES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The least time between two kills at moments.
const APART: Duration = Duration::from_millis(1_500);

pub struct Crowd {
    stage: Arc<Stage>,
    crew: Arc<Crew>,
    people: RwLock<Vec<Arc<Person>>>,
    /// What waits, as last seen: approval and pipeline.
    waiting: Mutex<Vec<(String, String)>>,
    /// Approvals somebody has before them.
    taken: Mutex<HashSet<String>>,
    armed: Mutex<Armed>,
    pub work: TaskTracker,
}

/// Moments at which a replica is to die.
#[derive(Default)]
struct Armed {
    moments: Vec<Moment>,
    last: Option<Instant>,
}

impl Armed {
    /// The next one, unless another was taken just before: those that have gathered while nothing waited would kill every
    /// replica as soon as one of them has found something, and so keep it up for ever.
    fn next(&mut self) -> Option<Moment> {
        if self.last.is_some_and(|last| last.elapsed() < APART) {
            return None;
        }
        let moment = self.moments.pop()?;
        self.last = Some(Instant::now());
        Some(moment)
    }
}

impl Crowd {
    pub async fn gather(stage: &Arc<Stage>, crew: &Arc<Crew>, count: usize) -> Self {
        let mut people = Vec::new();
        for number in 1..=count {
            people.push(Arc::new(stage.person(&format!("Person {number}")).await));
        }
        Self {
            stage: Arc::clone(stage),
            crew: Arc::clone(crew),
            people: RwLock::new(people),
            waiting: Mutex::default(),
            taken: Mutex::default(),
            armed: Mutex::default(),
            work: TaskTracker::new(),
        }
    }

    /// The next decision's call to AWS is where a replica dies.
    pub fn arm_next(&self, moment: Moment) {
        self.armed.lock().unwrap().moments.push(moment);
    }

    /// One decision, by one person or two, with whatever comes in between.
    pub async fn decide(&self, how: Decide) {
        let person = self.person(how.person);
        for _ in 0..TRIES {
            let Some((approval, pipeline)) = self.find_waiting().await else { break };
            let form = self.read(&person, how.reads_at, &approval, how.verdict).await;
            if let Some(form) = &form {
                self.decide_one(&pipeline, (&person, form), &how).await;
            }
            self.taken.lock().unwrap().remove(&approval);
            if form.is_some() {
                return;
            }
        }
        self.crew.tally.count("decisions for which nothing waited, or no page was shown");
    }

    async fn decide_one(&self, pipeline: &str, (person, form): (&Person, &Form), how: &Decide) {
        let moment = self.armed.lock().unwrap().next();
        if let Some(moment) = moment {
            self.crew.arm(&self.stage, (pipeline, how.sends_to), moment);
        }
        let opposite = if how.verdict == "approved" { "rejected" } else { "approved" };
        let rival = async {
            let Some(rival) = how.rival.map(|number| self.person(number)) else { return };
            if let Some(form) = self.read(&rival, how.again_at, &form.approval, opposite).await {
                rival.send(self.replica(how.again_at), &form).await;
            }
        };
        tokio::join!(self.send(person, form, how), rival);
    }

    async fn send(&self, person: &Person, form: &Form, how: &Decide) {
        let first = self.replica(how.sends_to);
        let told = if how.double_click {
            let (told, _) = tokio::join!(person.send(first, form), person.send(self.replica(how.again_at), form));
            told
        } else {
            person.send(first, form).await
        };
        // Half of those who read that it did not work this time leave it at that, and must have been told the truth.
        let again = match told {
            Told::Unknown(_) => true,
            Told::NotNow(_) => how.again_at.is_multiple_of(2),
            Told::Done | Told::Not(_) => false,
        };
        if again {
            self.crew.tally.count("forms sent again");
            person.send(self.replica(how.again_at), form).await;
        }
    }

    /// Reads the page wherever it can be read.
    async fn read(&self, person: &Person, at: usize, approval: &str, verdict: &'static str) -> Option<Form> {
        for step in 0..self.crew.replicas.len() {
            if let Some(form) = person.fill_in(self.replica(at + step), approval, verdict).await {
                return Some(form);
            }
        }
        None
    }

    /// An approval that waits, that nobody has before them.
    async fn find_waiting(&self) -> Option<(String, String)> {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let gives_up = Instant::now() + PATIENCE;
        while ticks.tick().await < gives_up {
            let waiting = self.waiting.lock().unwrap();
            let mut taken = self.taken.lock().unwrap();
            if let Some(found) = waiting.iter().find(|(id, _)| taken.insert(id.clone())) {
                return Some(found.clone());
            }
        }
        None
    }

    /// Keeps looking at what waits, as everybody's queue shows it, until aborted.
    pub async fn keep_looking(self: Arc<Self>) {
        let mut eyes = self.stage.database.connect_superuser().await;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            let sql = "select a.id::text, a.pipeline from portal.approval a where a.at_aws = 'open' and not exists
                (select from portal.decision d where d.approval_id = a.id
                    and d.state in ('intent', 'submitting', 'unsure', 'accepted')) order by md5(a.id::text)";
            let waiting = sqlx::query_as(sql).fetch_all(&mut eyes).await.unwrap();
            *self.waiting.lock().unwrap() = waiting;
        }
    }

    /// Somebody answers in the console; perhaps the very approval that somebody has just decided here.
    pub fn decide_in_the_console(&self) {
        let Some(open) = self.stage.simulator.open_approvals().into_iter().next() else { return };
        let which = Which { execution: Some(open.execution), ..Which::default() };
        let act = Act::Decide {
            pipeline: open.pipeline,
            which,
            verdict: Verdict::Approved,
            summary: "quicker here".to_owned(),
            by: CONSOLE.to_owned(),
        };
        let done = self.stage.simulator.world(ACCOUNT, &open.region).act(act).is_ok();
        self.crew.tally.add("decided in the console", u64::from(done));
    }

    /// Takes somebody's account away; somebody new comes in their place.
    pub async fn revoke(&self, number: usize) {
        let leaving = self.person(number);
        let newcomer = self.stage.person(&format!("{} next", leaving.name)).await;
        self.people.write().unwrap()[number] = Arc::new(newcomer);
        self.stage.disable(&leaving).await;
        self.crew.tally.count("accounts taken away");
    }

    /// Whoever was left in the dark looks at their result once more.
    pub async fn look_again(&self) {
        let people: BTreeMap<String, Arc<Person>> =
            self.people.read().unwrap().iter().map(|person| (person.account.clone(), Arc::clone(person))).collect();
        for deed in self.stage.deeds.all() {
            let (Some(path), Some(person)) = (&deed.result, people.get(&deed.person)) else { continue };
            if matches!(deed.told.last(), Some(Told::Unknown(_))) {
                let told = person.look_again(self.replica(0), &deed.words, path).await;
                let known = if matches!(told, Told::Unknown(_)) { "still not known" } else { "known in the end" };
                self.crew.tally.count(format!("results {known}"));
            }
        }
    }

    fn person(&self, number: usize) -> Arc<Person> {
        Arc::clone(&self.people.read().unwrap()[number])
    }

    /// This replica, or the next one that lives, as a balancer would choose.
    fn replica(&self, number: usize) -> &Replica {
        let replicas = &self.crew.replicas;
        let turns = (0..replicas.len()).map(|step| &replicas[(number + step) % replicas.len()]);
        turns.clone().find(|replica| replica.is_serving()).unwrap_or(&replicas[number % replicas.len()])
    }
}

/// Lets runs reach their gates as soon as those are free, until aborted.
pub async fn keep_opening(simulator: SimulatorHandle, gates: Vec<Gate>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        ticks.tick().await;
        let mut waiting: BTreeMap<String, usize> = BTreeMap::new();
        simulator.open_approvals().into_iter().for_each(|open| *waiting.entry(open.pipeline).or_default() += 1);
        for Gate { region, pipeline, mode } in &gates {
            let wanted = if *mode == "PARALLEL" { SIDE_BY_SIDE } else { 1 };
            if waiting.get(pipeline).copied().unwrap_or(0) < wanted {
                let (pipeline, variables) = (pipeline.clone(), BTreeMap::new());
                let act = Act::OpenApproval { pipeline, commit: None, variables, by: None };
                // As many may run already as AWS allows; then there is one later.
                let _later = simulator.world(ACCOUNT, region).act(act);
            }
        }
    }
}

/// What a fault at AWS is called in the tally.
pub fn name_of(fault: &Fault) -> String {
    let kind = format!("{:?}", fault.kind);
    let word = kind.split([' ', '{']).next().unwrap_or_default().to_lowercase();
    let applied = if kind.contains("applied: true") { ", applied" } else { "" };
    format!("{word} of {}{applied}", fault.operation.as_deref().unwrap_or("anything"))
}
