//! Keys that list hosts which the portal may reach.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::domain::hosts::HostPattern;

/// More are a mistake: whatever fits them is reached from inside the operator's network.
const MOST: usize = 100;

/// Reads a list; what is wrong with it is told with its key.
pub(super) fn read<'de, D: Deserializer<'de>>(key: &str, deserializer: D) -> Result<Vec<HostPattern>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let told = |bad| D::Error::custom(format!("{key}: {bad}"));
    texts.into_iter().map(|text| HostPattern::try_from(text).map_err(told)).collect()
}

pub(super) fn check(key: &str, hosts: &[HostPattern]) -> Result<(), String> {
    if hosts.len() > MOST {
        return Err(format!("{key} lists {} hosts; at most {MOST}", hosts.len()));
    }
    Ok(())
}
