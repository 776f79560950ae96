//! The ends where other services come to the portal. Each is off until the operator names who may come.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::domain::topics::TopicArn;

/// More are a mistake: a topic for each account and region is enough.
const MOST_TOPICS: usize = 100;
/// A file of certificates is read at the start, and this is a hundred of them.
const LARGEST_FILE: u64 = 256 * 1024;

/// `[hooks]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HooksConfig {
    /// The SNS topics whose messages are taken at `/hooks/sns`. Empty: there is no such page.
    /// `COUNTERSIGN_HOOKS_SNS_TOPICS`.
    #[serde(default)]
    pub sns_topics: Vec<TopicArn>,
    /// Whether a topic may sign with SHA-1, as SNS does until a topic's `SignatureVersion` is 2.
    /// `COUNTERSIGN_HOOKS_SNS_SIGNATURE_VERSION_1`.
    #[serde(default)]
    pub sns_signature_version_1: bool,
    /// Certificates (PEM) that stand between SNS's own and a public root, beside those the portal knows. They are trusted
    /// only as far as such a root vouches for them. `COUNTERSIGN_HOOKS_SNS_INTERMEDIATES_FILE`.
    #[serde(default)]
    pub sns_intermediates_file: Option<PathBuf>,
    /// What is in that file.
    #[serde(skip)]
    pub sns_intermediates: Vec<u8>,
}

impl HooksConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.sns_topics.len() > MOST_TOPICS {
            return Err(format!("hooks.sns_topics lists {} topics; at most {MOST_TOPICS}", self.sns_topics.len()));
        }
        if self.sns_topics.is_empty() && self.sns_intermediates_file.is_some() {
            return Err("hooks.sns_intermediates_file only makes sense together with hooks.sns_topics".into());
        }
        Ok(())
    }

    /// Reads the file that is named, if one is.
    pub(super) fn read_files(&mut self) -> Result<(), String> {
        let Some(file) = &self.sns_intermediates_file else { return Ok(()) };
        self.sns_intermediates = read(file)
            .map_err(|problem| format!("hooks.sns_intermediates_file = {:?} {problem}", file.display().to_string()))?;
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    if std::fs::metadata(file).map_err(unreadable)?.len() > LARGEST_FILE {
        return Err("has more than 256 KiB; give only the certificates between SNS's own and its root".into());
    }
    let text = std::fs::read(file).map_err(unreadable)?;
    if !String::from_utf8_lossy(&text).contains("-----BEGIN CERTIFICATE-----") {
        return Err("holds no certificate; it must be PEM".into());
    }
    Ok(text)
}
