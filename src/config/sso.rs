//! Single sign-on in the configuration: identity providers, what their groups mean here, and whether passwords are still
//! taken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::load::{self, BadConfig, bad};
use crate::domain::loopback::is_loopback;
use crate::domain::people::{Role, Roles};

/// `[sign_in]`: which ways in there are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignInConfig {
    /// Whether people sign in with a password. False: only accounts marked `break_glass` do. `COUNTERSIGN_SIGN_IN_LOCAL`.
    pub local: bool,
    /// Words that nobody may have as a password, whatever digits and punctuation stand around them.
    /// `COUNTERSIGN_SIGN_IN_FORBIDDEN_WORDS`.
    pub forbidden_words: Vec<String>,
}

impl Default for SignInConfig {
    fn default() -> Self {
        Self { local: true, forbidden_words: Vec::new() }
    }
}

impl SignInConfig {
    fn check(&self) -> Result<(), BadConfig> {
        if self.forbidden_words.len() > 100 {
            return Err(bad(format!(
                "sign_in.forbidden_words holds {} words; at most 100 are taken",
                self.forbidden_words.len()
            )));
        }
        let fits =
            |word: &&String| (3..=64).contains(&word.trim().chars().count()) && word.chars().any(char::is_alphanumeric);
        match self.forbidden_words.iter().find(|word| !fits(word)) {
            None => Ok(()),
            Some(word) => Err(bad(format!(
                "sign_in.forbidden_words holds {word:?}; each word has 3 to 64 characters and a letter or digit, for example \
                 forbidden_words = [\"acme\", \"project phoenix\"]"
            ))),
        }
    }
}

/// One `[[sso]]` entry: an identity provider that speaks OpenID Connect.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SsoConfig {
    /// The stable key: in addresses, sessions and records.
    pub name: String,
    /// What people call it. The button says "Sign in with …".
    pub label: String,
    /// Exactly what the provider calls itself.
    pub issuer: String,
    pub client_id: String,
    #[serde(default)]
    client_secret: Option<SecretString>,
    /// A file that holds the secret and that not everybody may read.
    #[serde(default)]
    client_secret_file: Option<PathBuf>,
    /// What is asked for beside `openid`.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// The claim with the person's groups: a name, or a path with dots for one inside another.
    #[serde(default = "default_groups_claim")]
    pub groups_claim: String,
    /// Which group of the provider has which role here, or which roles.
    #[serde(default)]
    roles: BTreeMap<String, OneOrMany>,
    /// Which group of the provider is which group of the portal.
    #[serde(default)]
    pub groups: BTreeMap<String, String>,
    /// Whether somebody new gets an account at their first sign-in.
    #[serde(default = "default_true")]
    pub create_accounts: bool,
    #[serde(default)]
    pub email_verified: EmailVerified,
    #[serde(default)]
    pub second_factor: SecondFactor,
    /// Which values of `amr` mean that there was a second factor.
    #[serde(default = "default_factor_amr")]
    pub factor_amr: BTreeSet<String>,
    /// Which values of `acr` mean so. They are asked for at every sign-in.
    #[serde(default)]
    pub factor_acr: BTreeSet<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// Whether an e-mail address is taken for the person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailVerified {
    /// Only if the provider says `email_verified: true`.
    #[default]
    Required,
    /// Always: the provider lets nobody choose their address, and does not say so.
    Assumed,
}

/// Whether the provider vouches for a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecondFactor {
    /// It never lets anybody in without one.
    Always,
    /// If `amr` or `acr` says so.
    #[default]
    Amr,
    Never,
}

fn default_scopes() -> Vec<String> {
    vec!["profile".to_owned(), "email".to_owned()]
}

fn default_groups_claim() -> String {
    "groups".to_owned()
}

fn default_true() -> bool {
    true
}

fn default_factor_amr() -> BTreeSet<String> {
    BTreeSet::from(["mfa".to_owned()])
}

impl SsoConfig {
    /// The secret the portal proves itself with to the provider.
    #[must_use]
    pub fn client_secret(&self) -> &SecretString {
        self.client_secret.as_ref().expect("the configuration was read with its secrets")
    }

    /// Whether the secret stands in the configuration file itself.
    pub(super) fn has_secret_inside(&self) -> bool {
        self.client_secret.is_some()
    }

    /// The roles that these groups of the provider have here.
    #[must_use]
    pub fn roles_of(&self, groups: &BTreeSet<String>) -> Roles {
        let named = self.roles.iter().filter(|(group, _)| groups.contains(*group));
        named.flat_map(|(_, roles)| roles.names()).filter_map(|name| Role::from_name(name)).collect()
    }

    /// The roles that follow the claim: given and taken by it alone.
    #[must_use]
    pub fn mapped_roles(&self) -> Roles {
        self.roles.values().flat_map(OneOrMany::names).filter_map(|name| Role::from_name(name)).collect()
    }

    /// Whether the claim says who belongs here at all.
    #[must_use]
    pub fn maps_anything(&self) -> bool {
        !(self.roles.is_empty() && self.groups.is_empty())
    }

    /// Whether the provider is on this machine, where plain http goes nowhere.
    #[must_use]
    pub fn is_on_loopback(&self) -> bool {
        Url::parse(&self.issuer).is_ok_and(|url| is_loopback(&url))
    }

    /// Reads the secret from its file.
    pub(super) fn read_secret(&mut self) -> Result<(), BadConfig> {
        match (&self.client_secret, &self.client_secret_file) {
            (Some(_), Some(_)) => Err(self.bad("give either `client_secret` or `client_secret_file`, not both")),
            (None, None) => Err(self.bad(
                "`client_secret_file` is missing: the portal proves itself to the provider with a secret, for example \
                 client_secret_file = \"/etc/countersign/sso.secret\"",
            )),
            (Some(_), None) => Ok(()),
            (None, Some(file)) => {
                load::refuse_world_readable(file)?;
                let text = std::fs::read_to_string(file)
                    .map_err(|error| self.bad(format!("`client_secret_file` = {file:?} cannot be read: {error}")))?;
                self.client_secret = Some(text.trim_end_matches(['\r', '\n']).into());
                Ok(())
            }
        }
    }

    fn bad(&self, problem: impl std::fmt::Display) -> BadConfig {
        bad(format!("sso {:?}: {problem}", self.name))
    }

    pub(super) fn check(&self) -> Result<(), BadConfig> {
        self.problem().map_or(Ok(()), |problem| Err(self.bad(problem)))
    }

    fn problem(&self) -> Option<String> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=40).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            return Some(
                "`name` must be 1 to 40 lower-case letters, digits and dashes, for example name = \"corp\"".into(),
            );
        }
        if !(1..=60).contains(&self.label.trim().chars().count()) || crate::domain::text::has_deceptive(&self.label) {
            return Some(
                "`label` must be 1 to 60 characters that can be seen, for example label = \"Example Corp\"".into(),
            );
        }
        if let Some(problem) = self.issuer_problem() {
            return Some(problem);
        }
        if self.client_id.is_empty() {
            return Some("`client_id` is empty: it is what the provider calls this portal".into());
        }
        if self.client_secret.as_ref().is_none_or(|secret| secret.expose_secret().is_empty()) {
            return Some("the client secret is empty; the provider shows it once, when the client is made".into());
        }
        if let Some(scope) = self.scopes.iter().find(|scope| !is_scope(scope)) {
            return Some(format!(
                "`scopes` has {scope:?}, which is no scope, for example scopes = [\"profile\", \"email\"]"
            ));
        }
        if self.groups_claim.is_empty() {
            return Some("`groups_claim` is empty, for example groups_claim = \"groups\"".into());
        }
        self.mapping_problem()
    }

    fn issuer_problem(&self) -> Option<String> {
        let example = "for example issuer = \"https://login.example.com\"";
        let Ok(url) = Url::parse(&self.issuer) else {
            return Some(format!("`issuer` = {:?} is no address, {example}", self.issuer));
        };
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if url.host_str().is_none() || !is_plain || url.password().is_some() {
            return Some(format!("`issuer` = {:?} must be an address without query or user, {example}", self.issuer));
        }
        match url.scheme() {
            "https" => None,
            "http" if is_loopback(&url) => None,
            _ => Some(format!(
                "`issuer` = {:?} must begin with https:// (plain http is only allowed on this machine itself), {example}",
                self.issuer
            )),
        }
    }

    fn mapping_problem(&self) -> Option<String> {
        for (group, roles) in &self.roles {
            if let Some(name) = roles.names().iter().find(|name| Role::from_name(name).is_none()) {
                return Some(format!(
                    "`roles` gives {group:?} the role {name:?}; the roles are approver, auditor and admin, \
                     for example roles = {{ \"release-managers\" = \"approver\" }}"
                ));
            }
        }
        let empty = self.groups.iter().find(|(_, name)| name.trim().is_empty());
        if let Some((group, _)) = empty {
            return Some(format!(
                "`groups` maps {group:?} to a group without a name, for example groups = {{ \"team-shop\" = \"Shop team\" }}"
            ));
        }
        let says_nothing = self.factor_amr.is_empty() && self.factor_acr.is_empty();
        (self.second_factor == SecondFactor::Amr && says_nothing).then(|| {
            "`second_factor` = \"amr\" needs `factor_amr` or `factor_acr`, for example factor_amr = [\"mfa\"]".into()
        })
    }
}

/// Whether the parts fit together.
pub(super) fn check_all(sign_in: &SignInConfig, providers: &[SsoConfig]) -> Result<(), BadConfig> {
    sign_in.check()?;
    let mut names = BTreeSet::new();
    let mut issuers = BTreeSet::new();
    for provider in providers {
        provider.check()?;
        if !names.insert(&provider.name) {
            return Err(provider.bad("two providers have this name; give each its own"));
        }
        // An identity is issuer and subject: by two entries for one issuer, one person's groups would be mapped twice.
        if !issuers.insert(&provider.issuer) {
            return Err(provider.bad(format!("another provider has the issuer {:?} too", provider.issuer)));
        }
    }
    if !sign_in.local && providers.is_empty() {
        return Err(bad(
            "sign_in.local = false leaves nobody a way in: add an [[sso]] provider, or set sign_in.local = true",
        ));
    }
    Ok(())
}

fn is_scope(text: &str) -> bool {
    // RFC 6749, 3.3.
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use crate::config::{Config, Environment};

    use super::*;

    const GOOD: &str = r#"
[[sso]]
name = "corp"
label = "Example Corp"
issuer = "https://login.example.com/realms/Corp"
client_id = "countersign"
client_secret = "hunter2"
"#;

    fn load(text: &str) -> Result<Config, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Config::load(Some(file.path()), &Environment::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_provider_needs_five_keys_and_the_rest_is_careful() {
        let config = load(GOOD).unwrap();
        let corp = &config.sso[0];
        assert!(config.sign_in.local && corp.create_accounts && !corp.maps_anything());
        assert_eq!((corp.email_verified, corp.second_factor), (EmailVerified::Required, SecondFactor::Amr));
        assert_eq!(corp.client_secret().expose_secret(), "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn groups_keep_their_letters_dots_and_slashes() {
        let more = "roles = { \"Team.Shop/Leads\" = [\"approver\", \"auditor\"], \"team.shop/leads\" = \"admin\" }";
        let config = load(&format!("{GOOD}{more}")).unwrap();
        let of = |group: &str| config.sso[0].roles_of(&BTreeSet::from([group.to_owned()])).names();
        assert_eq!(of("Team.Shop/Leads"), ["approver", "auditor"]);
        assert_eq!(of("team.shop/leads"), ["admin"]);
        assert!(of("Team").is_empty());
    }

    #[test]
    fn each_mistake_names_its_key_and_what_would_do() {
        let with = |from: &str, to: &str| GOOD.replace(from, to);
        let cases = [
            (with("\"corp\"", "\"Corp\""), "`name`"),
            (with("\"Example Corp\"", "\" \""), "`label`"),
            (with("https://login.example.com/realms/Corp", "login"), "`issuer`"),
            (with("https://", "http://"), "https://"),
            (with("\"countersign\"", "\"\""), "`client_id`"),
            (with("hunter2", ""), "client secret is empty"),
            (with("client_secret = \"hunter2\"", ""), "`client_secret_file`"),
            (format!("{GOOD}client_secret_file = \"x\""), "not both"),
            (format!("{GOOD}scopes = [\"a b\"]"), "`scopes`"),
            (format!("{GOOD}groups_claim = \"\""), "`groups_claim`"),
            (format!("{GOOD}roles = {{ leads = \"aprover\" }}"), "\"aprover\""),
            (format!("{GOOD}groups = {{ leads = \"\" }}"), "`groups`"),
            (format!("{GOOD}factor_amr = []"), "`factor_amr`"),
            (format!("{GOOD}second_factor = \"sometimes\""), "sometimes"),
            (format!("{GOOD}secnd_factor = \"never\""), "secnd_factor"),
            (format!("{GOOD}{GOOD}"), "two providers"),
            (format!("{GOOD}{}", with("\"corp\"", "\"other\"")), "another provider has the issuer"),
            ("[sign_in]\nlocal = false".to_owned(), "sign_in.local"),
            ("[sign_in]\nforbidden_words = [\"acme\", \"ab\"]".to_owned(), "sign_in.forbidden_words holds \"ab\""),
            ("[sign_in]\nforbidden_words = [\"...\"]".to_owned(), "sign_in.forbidden_words"),
            (format!("[sign_in]\nforbidden_words = [{}]", "\"acme\",".repeat(101)), "holds 101 words"),
        ];
        for (text, part) in cases {
            let error = load(&text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(load(&with("https://login.example.com", "http://127.0.0.1:3000")).is_ok());
        assert!(!load(&format!("{GOOD}[sign_in]\nlocal = false")).unwrap().sign_in.local);
    }

    #[test]
    fn a_secret_that_everybody_can_read_is_refused() {
        // S-49
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        writeln!(secret, "hunter2").unwrap();
        let path = secret.path().to_str().unwrap().to_owned();
        let text = GOOD.replace("client_secret = \"hunter2\"", &format!("client_secret_file = \"{path}\""));
        assert_eq!(load(&text).unwrap().sso[0].client_secret().expose_secret(), "hunter2");
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&path, open.clone()).unwrap();
        assert!(load(&text).unwrap_err().contains("chmod o-rwx"));

        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(GOOD.as_bytes()).unwrap();
        std::fs::set_permissions(file.path(), open).unwrap();
        let error = Config::load(Some(file.path()), &Environment::default()).unwrap_err();
        assert!(error.to_string().contains("chmod o-rwx"), "{error}");
    }
}
