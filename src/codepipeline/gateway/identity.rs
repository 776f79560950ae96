//! Whose credentials a source uses: which account everything belongs to, and which answers at AWS are this portal's own.

use std::sync::PoisonError;
use std::time::Duration;

use super::Gateway;
use crate::codepipeline::convert;

/// How long STS may take to say which account this is; without an answer the account is learnt elsewhere.
const IDENTITY_TIME: Duration = Duration::from_secs(3);

/// Whose credentials are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
    pub arn: String,
}

impl Gateway {
    /// Whose credentials these are; asked once. `None` where there is no STS to ask: not every endpoint has one.
    pub async fn identify(&self) -> Option<Identity> {
        if let Some(known) = self.identity() {
            return Some(known);
        }
        let sts = self.connection().sts;
        let asked = tokio::time::timeout(IDENTITY_TIME, sts.get_caller_identity().send()).await.ok()?.ok()?;
        let identity = Identity { account: asked.account.filter(|it| convert::is_account(it))?, arn: asked.arn? };
        *self.shared.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity.clone());
        Some(identity)
    }

    fn identity(&self) -> Option<Identity> {
        self.shared.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether an ARN that AWS names as the author of something is this portal's own: the role that is assumed, whatever
    /// the session, or the user. False where that is not known.
    #[must_use]
    pub fn is_own(&self, arn: &str) -> bool {
        let role = self.shared.source.role_arn.as_deref();
        let known = self.identity().map(|identity| identity.arn);
        role.or(known.as_deref()).is_some_and(|own| is_same_caller(own, arn))
    }
}

/// Compares callers without the session of an assumed role: `arn:aws:iam::1:role/path/R` acts as
/// `arn:aws:sts::1:assumed-role/R/session`.
fn is_same_caller(own: &str, other: &str) -> bool {
    caller(own) == caller(other)
}

fn caller(arn: &str) -> (&str, &str, &str) {
    let mut parts = arn.splitn(6, ':').skip(4);
    let account = parts.next().unwrap_or_default();
    let resource = parts.next().unwrap_or(arn);
    match resource.split_once('/') {
        Some(("assumed-role", rest)) => (account, "role", rest.split('/').next().unwrap_or(rest)),
        Some(("role", path)) => (account, "role", path.rsplit('/').next().unwrap_or(path)),
        _ => (account, "", resource),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_recognised_whatever_its_session() {
        let role = "arn:aws:iam::111122223333:role/teams/countersign";
        assert!(is_same_caller(role, "arn:aws:sts::111122223333:assumed-role/countersign/countersign-rec-7"));
        assert!(!is_same_caller(role, "arn:aws:sts::444455556666:assumed-role/countersign/x"));
        assert!(!is_same_caller(role, "arn:aws:iam::111122223333:user/countersign"));
        let user = "arn:aws:iam::111122223333:user/portal";
        assert!(is_same_caller(user, user));
        assert!(!is_same_caller(user, "arn:aws:iam::111122223333:user/ines"));
    }
}
