//! How many files and connections the process may have open. A portal takes 2,048 connections; the limit that a shell or a
//! service manager gives is often 1,024, with leave to raise it.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Connections, the database's, AWS's, and room for the rest.
const WANTED: u64 = 4_096;

/// Raises the limit as far as is useful and allowed. Says so when that is too little for a full house.
pub(super) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let new = useful(soft, hard);
        setrlimit(Resource::RLIMIT_NOFILE, new, hard).map(|()| new)
    });
    match raised {
        Ok(limit) if limit < WANTED => {
            tracing::warn!(limit, wanted = WANTED, "few files may be open: raise the limit (ulimit -n, LimitNOFILE)");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}

/// Never less than there is, never more than is allowed.
fn useful(soft: u64, hard: u64) -> u64 {
    soft.max(WANTED).min(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_is_raised_as_far_as_allowed_and_a_high_one_is_left() {
        assert_eq!(useful(1_024, 524_288), WANTED);
        assert_eq!(useful(1_024, 2_000), 2_000);
        assert_eq!(useful(20_000, 524_288), 20_000);
        assert_eq!(useful(256, u64::MAX), WANTED);
    }
}
