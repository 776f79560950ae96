//! The world of the demo: the world file and the changes its people make, put together. It must hold nothing that the
//! portal relies on: the portal meets this world only over HTTP.

use serde::Deserialize;
use url::Url;

use crate::config::{Credentials, SourceConfig};
use crate::domain::ids::SourceName;
use crate::simulator::{Commit, WorldFile, WorldFileError};

/// A change that somebody in the demo makes, with the line that a review shows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    pub pipeline: String,
    pub author: String,
    pub message: String,
    pub path: String,
    pub was: String,
    pub now: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    changes: Vec<Detail>,
}

/// Every change of the demo.
#[must_use]
pub fn details() -> Vec<Detail> {
    let details: Details = toml::from_str(include_str!("changes.toml")).expect("changes.toml is checked by a test");
    details.changes
}

/// The world of one data directory: its own seed, and reviews under `reviews`.
///
/// # Errors
/// When world.toml is wrong.
pub fn world(seed: u64, reviews: &str) -> Result<WorldFile, WorldFileError> {
    let mut file = WorldFile::parse(include_str!("world.toml"))?;
    file.seed = seed;
    // Nobody asks the demo for stale reads, and remembering the past costs a copy at each change.
    file.stale_window_seconds = Some(0);
    let details = details();
    for pipeline in file.worlds.iter_mut().flat_map(|world| &mut world.pipelines) {
        pipeline.with.insert("reviews".to_owned(), reviews.to_owned());
        let own = details.iter().filter(|detail| detail.pipeline == pipeline.name);
        pipeline.commits = own
            .map(|detail| Commit { id: None, message: detail.message.clone(), author: Some(detail.author.clone()) })
            .collect();
    }
    Ok(file)
}

/// How the portal reaches the world: one source per account and region, each by a role that it assumes.
#[must_use]
pub fn sources(file: &WorldFile, endpoint: &Url) -> Vec<SourceConfig> {
    let key = file.keys.first().expect("the demo's world has a key");
    let secret = key.secret.clone().unwrap_or_default();
    let names = ["shop", "payments"];
    let of_world = |(world, name): (&crate::simulator::WorldConfig, &str)| {
        let role = file.roles.iter().find(|role| role.arn.contains(&world.account));
        SourceConfig {
            name: SourceName::parse(name).expect("the names are lower-case letters"),
            region: Some(world.region.clone()),
            account: Some(world.account.clone()),
            role_arn: role.map(|role| role.arn.clone()),
            external_id: role.and_then(|role| role.external_id.clone()).map(Into::into),
            credentials: Some(Credentials {
                access_key_id: key.id.clone(),
                secret_access_key: secret.clone().into(),
                session_token: None,
            }),
            endpoint_url: Some(endpoint.clone()),
            ..SourceConfig::from_environment()
        }
    };
    file.worlds.iter().zip(names).map(of_world).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::SignedDuration;

    use super::*;
    use crate::{
        clock::Clock,
        simulator::{OpenApproval, Simulator, SimulatorHandle},
    };

    async fn start(seed: u64) -> SimulatorHandle {
        let clock = Clock::manual("2026-11-21T08:00:00Z".parse().unwrap());
        let listen = "127.0.0.1:0".parse().unwrap();
        Simulator::start(world(seed, "http://127.0.0.1:8081").unwrap(), clock, listen).await.unwrap()
    }

    fn waiting(simulator: &SimulatorHandle) -> BTreeSet<String> {
        simulator.open_approvals().into_iter().map(|approval| approval.token).collect()
    }

    #[test]
    fn every_change_belongs_to_a_pipeline_of_the_world() {
        let file = world(1, "http://127.0.0.1:8081").unwrap();
        let names: BTreeSet<_> = file.worlds.iter().flat_map(|world| &world.pipelines).map(|one| &one.name).collect();
        for detail in details() {
            assert!(names.contains(&detail.pipeline), "{} is no pipeline", detail.pipeline);
        }
        assert!(names.len() >= 12 && file.worlds.len() == 2, "{names:?}");
    }

    #[tokio::test]
    async fn whatever_the_seed_several_approvals_wait_at_the_start_and_one_of_them_not_for_long() {
        for seed in 0..20 {
            let simulator = start(seed).await;
            let open = simulator.open_approvals();
            assert!(open.len() >= 8, "seed {seed}: only {} wait", open.len());
            let older = |approval: &&OpenApproval| simulator.now().duration_since(approval.opened).as_mins() >= 60;
            assert!(open.iter().filter(older).count() >= 2, "seed {seed}: all are new");
            let first = open.iter().filter(|approval| approval.pipeline == "storefront-previews");
            let oldest = first.map(|approval| simulator.now().duration_since(approval.opened)).max().unwrap();
            assert!((18..25).contains(&oldest.as_mins()), "seed {seed}: nothing expires soon, {oldest:#}");
        }
    }

    #[tokio::test]
    async fn it_goes_on_by_itself_without_filling_up_or_running_dry() {
        let simulator = start(7).await;
        let mut seen = waiting(&simulator);
        let (mut least, mut most, mut arrived) = (usize::MAX, 0, 0);
        for _minute in 0..8 * 60 {
            simulator.step(SignedDuration::from_mins(1));
            let now = waiting(&simulator);
            arrived += now.difference(&seen).count();
            (least, most) = (least.min(now.len()), most.max(now.len()));
            seen.extend(now);
        }
        assert!(least >= 6, "at one time only {least} waited");
        assert!(most <= 40, "at one time {most} waited");
        assert!(arrived >= 8 * 60 * 2 / 3, "only {arrived} new ones in eight hours");
    }
}
