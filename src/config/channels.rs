//! Where the portal may send what happens: the hosts of chats and webhooks that admins may name.

use serde::{Deserialize, Deserializer};

use super::hosts;
use crate::domain::hosts::HostPattern;

/// `[channels]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelsConfig {
    /// Hosts that a channel's address may have, beside Slack's and Microsoft's own for chats there: names, or `*.` and a name
    /// for everything below it. Empty: chats only, no webhooks. `COUNTERSIGN_CHANNELS_HOSTS`.
    #[serde(default, deserialize_with = "listed")]
    pub hosts: Vec<HostPattern>,
}

fn listed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HostPattern>, D::Error> {
    hosts::read("channels.hosts", deserializer)
}

impl ChannelsConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        hosts::check("channels.hosts", &self.hosts)
    }
}
