//! How the runs of a pipeline relate to each other.

/// Decides where an approval's token is found, and how many may wait at one gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    Superseded,
    Queued,
    /// No token in the pipeline's state; many approvals may wait at one gate.
    Parallel,
    /// AWS said something newer than this program.
    Other(String),
}

impl Mode {
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Superseded => "SUPERSEDED",
            Self::Queued => "QUEUED",
            Self::Parallel => "PARALLEL",
            Self::Other(name) => name,
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            // Absent means the default (CodePipeline API Reference, PipelineDeclaration).
            "SUPERSEDED" | "" => Self::Superseded,
            "QUEUED" => Self::Queued,
            "PARALLEL" => Self::Parallel,
            other => Self::Other(other.to_owned()),
        }
    }
}
