//! What goes wrong between the portal and an identity provider. Its text is for the log: people are told that it did not
//! work, operators why.

use super::wire::WireError;

/// Why a provider could not be asked, or was not believed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Trouble {
    /// It may work in a moment.
    #[error("{0}")]
    Passing(String),
    /// It did not answer as it must: nothing it says is believed.
    #[error("{0}")]
    Wrong(String),
    /// It sent the person back without having signed them in; the code says why.
    #[error("it sent the person back: {0}")]
    SentBack(String),
}

impl Trouble {
    pub(super) fn wrong(why: impl Into<String>) -> Self {
        Self::Wrong(why.into())
    }

    pub(super) fn of_wire(cause: &WireError, what: &str) -> Self {
        let text = format!("{what}: {cause}");
        if cause.is_passing() { Self::Passing(text) } else { Self::Wrong(text) }
    }
}
