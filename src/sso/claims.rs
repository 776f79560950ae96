//! What a provider says about a person, read carefully: anything may be missing, of another shape, or too much.

use std::collections::{BTreeMap, BTreeSet};

use openidconnect::core::CoreGenderClaim;
use openidconnect::{AdditionalClaims, IdTokenClaims, StandardClaims};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::trouble::Trouble;
use crate::config::{SecondFactor, SsoConfig};

/// How many groups are looked at. Providers that have more to say leave the claim out.
const MOST_GROUPS: usize = 1_000;

/// The claims that no standard names: groups among them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Beside {
    #[serde(flatten)]
    all: BTreeMap<String, Value>,
}

impl AdditionalClaims for Beside {}

pub(super) type Claims = IdTokenClaims<Beside, CoreGenderClaim>;

impl Beside {
    /// When the token begins to be valid.
    pub(super) fn not_before(&self) -> Result<Option<i64>, Trouble> {
        match self.all.get("nbf") {
            None | Some(Value::Null) => Ok(None),
            // Seconds, which some write with a fraction.
            Some(value) => match value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64)) {
                Some(seconds) => Ok(Some(seconds)),
                None => Err(Trouble::wrong("nbf is no time")),
            },
        }
    }

    /// The groups under `claim`: the claim of exactly this name, or else the path through its dots. None: there is no such
    /// claim.
    pub(super) fn find_groups(&self, claim: &str) -> Result<Option<BTreeSet<String>>, Trouble> {
        if self.all.get("_claim_names").is_some_and(|names| names.get(claim).is_some()) {
            return Err(Trouble::wrong(format!(
                "the person has too many groups for the claim {claim:?}, and the provider names another place to ask; \
                 have it send only the groups assigned to this application"
            )));
        }
        let found = self.all.get(claim).or_else(|| {
            let (first, rest) = claim.split_once('.')?;
            rest.split('.').try_fold(self.all.get(first)?, |value, key| value.get(key))
        });
        match found {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(one)) => Ok(Some(BTreeSet::from([one.clone()]))),
            Some(Value::Array(many)) if many.len() <= MOST_GROUPS => {
                let name = |value: &Value| value.as_str().map(str::to_owned);
                let groups: Option<BTreeSet<_>> = many.iter().map(name).collect();
                groups.map(Some).ok_or_else(|| Trouble::wrong(format!("the claim {claim:?} is no list of names")))
            }
            Some(Value::Array(_)) => {
                Err(Trouble::wrong(format!("the claim {claim:?} has more than {MOST_GROUPS} groups")))
            }
            Some(_) => Err(Trouble::wrong(format!("the claim {claim:?} is neither a name nor a list of names"))),
        }
    }
}

/// Whether the provider vouches for a second factor at this sign-in.
pub(super) fn vouches(config: &SsoConfig, claims: &Claims) -> bool {
    match config.second_factor {
        SecondFactor::Always => true,
        SecondFactor::Never => false,
        SecondFactor::Amr => {
            let methods = claims.auth_method_refs().map(Vec::as_slice).unwrap_or_default();
            methods.iter().any(|method| config.factor_amr.contains(method.as_str()))
                || claims.auth_context_ref().is_some_and(|context| config.factor_acr.contains(context.as_str()))
        }
    }
}

/// What people call them, if the provider says.
pub(super) fn name_of(claims: &StandardClaims<CoreGenderClaim>) -> Option<String> {
    let given = claims.given_name().and_then(|name| name.get(None)).map(|name| name.as_str());
    let family = claims.family_name().and_then(|name| name.get(None)).map(|name| name.as_str());
    let whole = claims.name().and_then(|name| name.get(None)).map(|name| name.to_string());
    whole.or_else(|| Some(format!("{} {}", given?, family?))).filter(|name| !name.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn beside(value: Value) -> Beside {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn groups_are_found_by_name_or_by_path_in_whatever_shape_they_come() {
        let claims = beside(json!({
            "groups": ["a", "b"], "one": "a", "realm_access": { "roles": ["x"] }, "https://example.com/groups": ["y"],
        }));
        let of = |claim: &str| claims.find_groups(claim).unwrap().map(|groups| groups.into_iter().collect::<Vec<_>>());
        assert_eq!(of("groups").unwrap(), ["a", "b"]);
        assert_eq!(of("one").unwrap(), ["a"]);
        assert_eq!(of("realm_access.roles").unwrap(), ["x"]);
        assert_eq!(of("https://example.com/groups").unwrap(), ["y"]);
        for missing in ["teams", "groups.a", "realm_access.groups", "nothing.at.all"] {
            assert_eq!(of(missing), None, "{missing}");
        }
    }

    #[test]
    fn groups_that_are_elsewhere_or_no_names_are_an_error_and_never_none() {
        let many: Vec<String> = (0..=MOST_GROUPS).map(|n| n.to_string()).collect();
        let wrong = [
            json!({ "_claim_names": { "groups": "src1" } }),
            json!({ "groups": [1, 2] }),
            json!({ "groups": ["a", null] }),
            json!({ "groups": { "a": true } }),
            json!({ "groups": 7 }),
            json!({ "groups": many }),
        ];
        for claims in wrong {
            assert!(beside(claims.clone()).find_groups("groups").is_err(), "{claims}");
        }
        assert!(beside(json!({ "nbf": "soon" })).not_before().is_err());
        assert_eq!(beside(json!({ "nbf": 7.5 })).not_before().unwrap(), Some(7));
    }
}
