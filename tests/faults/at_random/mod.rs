//! The random run: many people decide on many pipelines at a steady rate that waits for nobody, while replicas are killed
//! at random moments and at exact ones, connections to the database break, AWS fails, accounts are taken away and others
//! decide in the console. Then everything heals, and after quiet the judge reads the whole history.

mod crew;
mod crowd;
mod plan;
mod tally;

use std::io::Write as _;
use std::sync::Arc;

use countersign::random::Random;
use crew::Crew;
use crowd::Crowd;
use plan::{Event, Size, When};
use tally::Tally;
use tokio::time::Instant;

use crate::harness::{ACCOUNT, History, Stage, judge};

const REGIONS: [&str; 3] = ["eu-west-1", "eu-central-1", "us-east-1"];

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_everything_at_once_leaves_no_lost_double_or_false_decision() {
    run(Size {
        seed: number("SEED").unwrap_or_else(new_seed),
        decisions: 110,
        rate: 5.0,
        kills: 10,
        cuts: 10,
        replicas: 2,
        people: 12,
        pipelines: 30,
        slow_until: 0.4,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told to: script/faults"]
async fn a_long_run_of_everything_at_once_leaves_no_lost_double_or_false_decision() {
    let of = |name, default| number(name).map_or(default, |number| usize::try_from(number).unwrap());
    run(Size {
        seed: number("SEED").unwrap_or_else(new_seed),
        decisions: of("DECISIONS", 11_500),
        rate: f64::from(u32::try_from(of("RATE", 6)).unwrap()),
        kills: of("KILLS", 530),
        cuts: of("CUTS", 530),
        replicas: 6,
        people: 60,
        // More than people can use up while nobody watches: each killed watcher is missed for as long as its lease lasts.
        pipelines: 150,
        slow_until: 1.0,
    })
    .await;
}

/// A number that `script/faults` was given.
fn number(name: &str) -> Option<u64> {
    let value = std::env::var(format!("COUNTERSIGN_FAULTS_{name}")).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("COUNTERSIGN_FAULTS_{name}={value} is no number")))
}

fn new_seed() -> u64 {
    u64::from(u32::from_be_bytes(Random::system().bytes()))
}

async fn run(size: Size) {
    say(&format!("random run: seed {}", size.seed));
    let tally = Arc::new(Tally::default());
    let gates = gates(size);
    let stage = Arc::new(Stage::start_with(&world(&gates), Some(&config())).await);
    let crew = Arc::new(Crew::start(&stage, size.replicas, Arc::clone(&tally)).await);
    let crowd = Arc::new(Crowd::gather(&stage, &crew, size.people).await);
    let began = Instant::now();
    let opening = tokio::spawn(crowd::keep_opening(stage.simulator.clone(), gates));
    let looking = tokio::spawn(Arc::clone(&crowd).keep_looking());
    let plan = size.plan();
    let events = plan.len();
    for (number, (at, event)) in plan.into_iter().enumerate() {
        tokio::time::sleep_until(began + at).await;
        if number % 1000 == 999 {
            let asked = stage.deeds.all().len();
            let (done, elapsed) = (number + 1, began.elapsed());
            say(&format!(
                "  {done} of {events} events, {asked} decisions asked for, {elapsed:.0?} of {:.0?}",
                size.span()
            ));
        }
        happen(&stage, &crew, &crowd, event);
    }
    crowd.work.close();
    crowd.work.wait().await;
    opening.abort();
    looking.abort();
    crew.heal().await;
    stage.simulator.clear_faults();
    let healed = began.elapsed();
    stage.quiet().await;
    let quiet = began.elapsed();
    crowd.look_again().await;
    let history = History::read(&stage).await;
    tally.read(&history);
    let found = judge(&history);
    let lines: Vec<String> = found.iter().take(20).map(ToString::to_string).collect();
    let summary = format!(
        "seed {}: {} violations; healed after {healed:.0?}, quiet after {quiet:.0?}\n{tally}{}",
        size.seed,
        found.len(),
        lines.join("\n")
    );
    say(&summary);
    assert!(found.is_empty(), "{summary}");
    assert!(tally.of("told: done") > 0 && tally.of("kills") > 0, "nothing was tried: {summary}");
}

fn happen(stage: &Arc<Stage>, crew: &Arc<Crew>, crowd: &Arc<Crowd>, event: Event) {
    let (stage, crew, crowd) = (Arc::clone(stage), Arc::clone(crew), Arc::clone(crowd));
    match event {
        Event::Decide(decide) => _ = crowd.work.clone().spawn(async move { crowd.decide(decide).await }),
        Event::Kill(When::Now(number)) => {
            _ = crew.work.clone().spawn(async move { crew.kill(number, "at a time").await });
        }
        Event::Kill(When::At(moment)) => crowd.arm_next(moment),
        Event::Spoil(number, how) => _ = crew.work.clone().spawn(async move { crew.spoil(number, how).await }),
        Event::Aws(fault) => {
            crew.tally.count(format!("AWS: {}", crowd::name_of(&fault)));
            stage.simulator.add_fault(fault);
        }
        Event::Console => crowd.decide_in_the_console(),
        Event::Revoke(person) => _ = crowd.work.clone().spawn(async move { crowd.revoke(person).await }),
    }
}

/// A pipeline with a gate.
#[derive(Debug, Clone)]
struct Gate {
    region: &'static str,
    pipeline: String,
    mode: &'static str,
}

/// As many in each region, three fifths of them in the usual mode.
fn gates(size: Size) -> Vec<Gate> {
    let modes = ["SUPERSEDED", "SUPERSEDED", "QUEUED", "SUPERSEDED", "PARALLEL"];
    let numbers = REGIONS.into_iter().flat_map(|region| (0..size.pipelines).map(move |number| (region, number)));
    let gate = |(region, number): (&'static str, usize)| Gate {
        region,
        pipeline: format!("{region}-{number:03}"),
        mode: modes[number % modes.len()],
    };
    numbers.map(gate).collect()
}

fn world(gates: &[Gate]) -> String {
    let mut text = include_str!("world.toml").to_owned();
    for region in REGIONS {
        text.push_str(&format!("\n[[worlds]]\naccount = \"{ACCOUNT}\"\nregion = \"{region}\"\npipelines = [\n"));
        for Gate { pipeline, mode, .. } in gates.iter().filter(|gate| gate.region == region) {
            text.push_str(&format!("  {{ name = \"{pipeline}\", mode = \"{mode}\", template = \"gated\" }},\n"));
        }
        text.push_str("]\n");
    }
    text
}

fn config() -> String {
    let source = |region: &&str| {
        format!("[[sources]]\nname = \"{region}\"\nregion = \"{region}\"\nmax_reads_per_second = 200\n")
    };
    REGIONS.iter().map(source).collect()
}

/// To the terminal at once, also while the test harness keeps back what tests print: a seed that nobody saw is lost.
fn say(line: &str) {
    let _unheard = writeln!(std::io::stderr(), "{line}");
}
