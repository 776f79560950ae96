//! Why there is no private Postgres, in sentences: what was wrong and what to do. Owns the wording for the portal and for
//! the guard; it must never show more than a path, a version or a process id.

use std::path::{Path, PathBuf};

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    #[error("No PostgreSQL server was found on this machine. To get one: {how}.")]
    NoPrograms { how: String },
    #[error("{} has no postgres and initdb side by side. Name the directory that has both.", .0.display())]
    NotABinDir(PathBuf),
    #[error("PostgreSQL 14 to 18 is needed; found only {found}. To get one: {how}.")]
    UnusableMajor { found: String, how: String },
    #[error(
        "The cluster here was made by PostgreSQL {wanted}; found on this machine: {found}. Install PostgreSQL {wanted}, \
         or move the cluster on with pg_upgrade. To install: {how}."
    )]
    WrongMajor { wanted: u16, found: String, how: String },
    #[error("{} {reason}", .path.display())]
    Path { path: PathBuf, reason: String },
    #[error("{} belongs to {owner}. Run as {owner}, or choose another data directory with COUNTERSIGN_DATA_DIR.", .path.display())]
    SomebodyElses { path: PathBuf, owner: String },
    #[error(
        "Postgres does not run as root, and this machine has neither a user `postgres` nor `nobody` to run it as. \
         Add one (useradd --system postgres), or start Countersign as an ordinary user."
    )]
    NoUser,
    #[error("No Unix socket fits: the paths under {} and under /tmp are too long. Choose a shorter data directory.", .0.display())]
    SocketPath(PathBuf),
    #[error(
        "Another countersign (process {process}) is using {}. Stop it, or choose another data directory with \
         COUNTERSIGN_DATA_DIR.", .data_dir.display()
    )]
    InUse { data_dir: PathBuf, process: String },
    #[error("The database guard could not be started from {}: {reason}", .exe.display())]
    NoGuard { exe: PathBuf, reason: String },
    #[error("{0}")]
    Server(String),
    #[error("The private Postgres started but could not be set up: {0}")]
    Setup(#[from] sqlx::Error),
}

impl PrivateError {
    pub(super) fn path(path: &Path, error: &std::io::Error) -> Self {
        Self::Path { path: path.to_owned(), reason: explain(error) }
    }
}

/// What an operating system error means here, and what to do about it.
pub(super) fn explain(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => {
            "cannot be written: the file system is read-only. Choose another data directory with COUNTERSIGN_DATA_DIR."
                .to_owned()
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "cannot be written: no space is left there. Free some, or choose another data directory with \
             COUNTERSIGN_DATA_DIR."
                .to_owned()
        }
        ErrorKind::PermissionDenied => {
            "may not be used by this user. Change its owner or mode, or choose another data directory with \
             COUNTERSIGN_DATA_DIR."
                .to_owned()
        }
        _ => format!("cannot be used: {error}. Choose another data directory with COUNTERSIGN_DATA_DIR."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operating_system_errors_become_sentences() {
        let said = |kind: std::io::ErrorKind| PrivateError::path(Path::new("/srv/data"), &kind.into()).to_string();
        assert!(
            said(std::io::ErrorKind::ReadOnlyFilesystem)
                .starts_with("/srv/data cannot be written: the file system is read-only.")
        );
        assert!(
            said(std::io::ErrorKind::StorageFull).starts_with("/srv/data cannot be written: no space is left there.")
        );
        assert!(said(std::io::ErrorKind::PermissionDenied).starts_with("/srv/data may not be used by this user."));
    }
}
