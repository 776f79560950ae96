//! Reads the file and the environment into a [`Config`], and says precisely what is wrong when it cannot.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use super::{Config, SourceConfig};

/// The process environment, handed in by `main` so that tests can hand in another.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Takes a copy of the process environment. Values that are no UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        Self(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect())
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

/// The configuration cannot be used. The text names the key, the problem, and what would do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(String);

fn bad(text: impl Into<String>) -> BadConfig {
    BadConfig(text.into())
}

/// Environment variables that override a key of the file, and the key.
const OVERRIDES: &[(&str, &str)] = &[
    ("COUNTERSIGN_LISTEN", "listen"),
    ("COUNTERSIGN_PUBLIC_URL", "public_url"),
    ("COUNTERSIGN_DATA_DIR", "data_dir"),
    ("COUNTERSIGN_POLL_INTERVAL", "poll_interval"),
    ("COUNTERSIGN_FAREWELL", "farewell"),
    ("COUNTERSIGN_LOG", "log"),
    ("COUNTERSIGN_LOG_FORMAT", "log_format"),
    ("COUNTERSIGN_TRUSTED_PROXIES", "trusted_proxies"),
    ("DATABASE_URL", "database.url"),
    ("COUNTERSIGN_DATABASE_OWNER_URL", "database.owner_url"),
    ("COUNTERSIGN_DATABASE_READER_URL", "database.reader_url"),
    ("COUNTERSIGN_DATABASE_LISTEN_URL", "database.listen_url"),
    ("COUNTERSIGN_DATABASE_MIGRATE", "database.migrate"),
    ("COUNTERSIGN_DATABASE_POSTGRES_BIN", "database.postgres_bin"),
    ("COUNTERSIGN_SESSION_IDLE", "session.idle"),
    ("COUNTERSIGN_SESSION_ABSOLUTE", "session.absolute"),
];
/// Those of them that are secrets and may also be given as `<NAME>_FILE`.
const SECRETS: &[&str] = &[
    "DATABASE_URL",
    "COUNTERSIGN_DATABASE_OWNER_URL",
    "COUNTERSIGN_DATABASE_READER_URL",
    "COUNTERSIGN_DATABASE_LISTEN_URL",
];
/// Variables of ours that are not keys of the file.
const OTHERS: &[&str] = &["COUNTERSIGN_CONFIG", "COUNTERSIGN_METRICS_LISTEN"];

impl Config {
    /// Reads `path` (or `COUNTERSIGN_CONFIG`, or `./countersign.toml` if it exists) and the environment over it.
    ///
    /// # Errors
    /// [`BadConfig`], one sentence.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, BadConfig> {
        let mut builder = config::Config::builder();
        let chosen = path.map(Path::to_owned).or_else(|| environment.find("COUNTERSIGN_CONFIG").map(PathBuf::from));
        if let Some(file) = &chosen {
            if !file.is_file() {
                return Err(bad(format!("the configuration file {} does not exist", file.display())));
            }
            builder = builder.add_source(config::File::from(file.as_path()).format(config::FileFormat::Toml));
        } else {
            builder =
                builder.add_source(config::File::new("countersign.toml", config::FileFormat::Toml).required(false));
        }
        refuse_unknown_variables(environment)?;
        for (variable, key) in OVERRIDES {
            if let Some(value) = read_override(variable, environment)? {
                let value: config::Value = match *key {
                    "trusted_proxies" => value
                        .split(',')
                        .map(|part| part.trim().to_owned())
                        .filter(|p| !p.is_empty())
                        .collect::<Vec<_>>()
                        .into(),
                    _ => value.into(),
                };
                builder = builder.set_override(*key, value).map_err(|error| bad(format!("{variable}: {error}")))?;
            }
        }
        let raw = builder.build().map_err(|error| bad(error.to_string()))?;
        let config: Self = raw.try_deserialize().map_err(|error| bad(error.to_string()))?;
        let secrets_in_file = config.sources.iter().any(|source| source.credentials.is_some());
        if let (Some(file), true) = (chosen, secrets_in_file) {
            refuse_world_readable(&file)?;
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), BadConfig> {
        within(
            "poll_interval",
            self.poll_interval,
            SignedDuration::from_secs(1),
            SignedDuration::from_hours(1),
            "15s",
        )?;
        if let Some(farewell) = self.farewell {
            within("farewell", farewell, SignedDuration::ZERO, SignedDuration::from_mins(1), "5s")?;
        }
        within("session.idle", self.session.idle, SignedDuration::from_mins(1), SignedDuration::from_hours(1), "30m")?;
        within(
            "session.absolute",
            self.session.absolute,
            SignedDuration::from_mins(5),
            SignedDuration::from_hours(12),
            "8h",
        )?;
        self.check_public_url()?;
        let mut names = std::collections::BTreeSet::new();
        for source in &self.sources {
            source.check().map_err(|problem| bad(format!("source {:?}: {problem}", source.name.as_str())))?;
            if !names.insert(&source.name) {
                return Err(bad(format!("two sources are called {:?}; give each its own name", source.name.as_str())));
            }
        }
        Ok(())
    }

    fn check_public_url(&self) -> Result<(), BadConfig> {
        let loopback = self.listen.ip().is_loopback();
        match &self.public_url {
            None if loopback => Ok(()),
            None => Err(bad(format!(
                "listen = \"{}\" is reachable from other machines, so `public_url` must say the https address people use, \
                 for example public_url = \"https://approvals.example.com\"",
                self.listen
            ))),
            Some(url) => {
                let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
                if url.host_str().is_none() || !plain || !url.username().is_empty() || url.password().is_some() {
                    return Err(bad(format!(
                        "public_url = \"{url}\" must be an address without path or user, for example https://approvals.example.com"
                    )));
                }
                match url.scheme() {
                    "https" => Ok(()),
                    "http" if loopback => Ok(()),
                    _ => Err(bad(format!(
                        "public_url = \"{url}\" must begin with https:// (plain http is only allowed while listening on loopback)"
                    ))),
                }
            }
        }
    }

    /// The sources to watch: those of the file, or the one from the SDK's environment.
    #[must_use]
    pub fn effective_sources(&self) -> Vec<SourceConfig> {
        if self.sources.is_empty() { vec![SourceConfig::from_environment()] } else { self.sources.clone() }
    }
}

fn within(
    key: &str,
    value: SignedDuration,
    least: SignedDuration,
    most: SignedDuration,
    example: &str,
) -> Result<(), BadConfig> {
    if value < least || value > most {
        return Err(bad(format!(
            "{key} = \"{value:#}\" must be between {least:#} and {most:#}, for example \"{example}\""
        )));
    }
    Ok(())
}

fn read_override(variable: &str, environment: &Environment) -> Result<Option<String>, BadConfig> {
    if let Some(value) = environment.find(variable) {
        return Ok(Some(value.to_owned()).filter(|value| !value.is_empty()));
    }
    if !SECRETS.contains(&variable) {
        return Ok(None);
    }
    let Some(file) = environment.find(&format!("{variable}_FILE")) else { return Ok(None) };
    refuse_world_readable(Path::new(file))?;
    let value = std::fs::read_to_string(file)
        .map_err(|error| bad(format!("{variable}_FILE = {file:?} cannot be read: {error}")))?;
    Ok(Some(value.trim_end_matches(['\r', '\n']).to_owned()))
}

fn refuse_world_readable(file: &Path) -> Result<(), BadConfig> {
    let metadata =
        std::fs::metadata(file).map_err(|error| bad(format!("{} cannot be read: {error}", file.display())))?;
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(bad(format!(
            "{0} holds secrets but everybody on this machine can read it; run: chmod o-rwx {0}",
            file.display()
        )));
    }
    Ok(())
}

fn refuse_unknown_variables(environment: &Environment) -> Result<(), BadConfig> {
    let known = |name: &str| {
        OVERRIDES.iter().any(|(variable, _)| *variable == name)
            || SECRETS.iter().any(|secret| name.strip_suffix("_FILE") == Some(secret))
            || OTHERS.contains(&name)
            || name.starts_with("COUNTERSIGN_TEST_")
    };
    let unknown = environment.0.keys().find(|name| name.starts_with("COUNTERSIGN_") && !known(name));
    match unknown {
        None => Ok(()),
        Some(name) => {
            let names: Vec<_> = OVERRIDES.iter().map(|(variable, _)| *variable).collect();
            Err(bad(format!("the environment variable {name} is not known; known are {}", names.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let mut path = tempfile::NamedTempFile::new().unwrap();
        path.write_all(file.as_bytes()).unwrap();
        let environment = environment.iter().map(|(k, v)| (*k, *v)).collect();
        Config::load(Some(path.path()), &environment).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_gives_the_documented_defaults() {
        let config = load("", &[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.poll_interval, SignedDuration::from_secs(15));
        assert_eq!(config.public_origin(), "http://127.0.0.1:8080");
        assert!(!config.is_https());
        assert_eq!(config.effective_sources()[0].name.as_str(), "default");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = "listen = \"127.0.0.1:1\"\npoll_interval = \"30s\"\n";
        let environment =
            [("COUNTERSIGN_LISTEN", "127.0.0.1:2"), ("COUNTERSIGN_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1/32")];
        let config = load(file, &environment).unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.poll_interval, SignedDuration::from_secs(30));
        assert_eq!(config.trusted_proxies.len(), 2);
    }

    #[test]
    fn each_mistake_names_its_key() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
        let cases: &[Case<'_>] = &[
            ("listne = \"x\"", &[], "listne"),
            ("poll_interval = \"1ms\"", &[], "poll_interval"),
            ("poll_interval = \"soon\"", &[], "poll_interval"),
            ("farewell = \"2m\"", &[], "farewell"),
            ("", &[("COUNTERSIGN_LISTNE", "x")], "COUNTERSIGN_LISTNE"),
            ("listen = \"0.0.0.0:80\"", &[], "public_url"),
            ("listen = \"0.0.0.0:80\"\npublic_url = \"http://a.example\"", &[], "https://"),
            ("public_url = \"https://a.example/path\"", &[], "without path"),
            ("[[sources]]\nname = \"a\"\naccount = \"12\"", &[], "twelve digits"),
            ("[[sources]]\nname = \"a\"\n[[sources]]\nname = \"a\"", &[], "two sources"),
            ("[[sources]]\nname = \"A b\"", &[], "lower-case"),
            ("[[sources]]\nname = \"a\"\ninclude = [\"[\"]", &[], "pattern"),
            ("[[sources]]\nname = \"a\"\nexternal_id = \"x\"", &[], "role_arn"),
        ];
        for (file, environment, part) in cases {
            let error = load(file, environment).unwrap_err();
            assert!(error.contains(part), "{file:?}: {error}");
        }
    }

    #[test]
    fn secrets_come_from_files_that_only_some_may_read_and_never_print() {
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        writeln!(secret, "postgres://app:hunter2@db.example/c").unwrap();
        let path = secret.path().to_str().unwrap().to_owned();
        let config = load("", &[("DATABASE_URL_FILE", &path)]).unwrap();
        assert!(config.database.url.is_some());
        assert!(!format!("{config:?}").contains("hunter2"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = load("", &[("DATABASE_URL_FILE", &path)]).unwrap_err();
        assert!(error.contains("chmod o-rwx"), "{error}");
    }

    #[test]
    fn patterns_include_first_and_exclude_after() {
        let config = load("[[sources]]\nname = \"a\"\ninclude = [\"shop-*\"]\nexclude = [\"*-test\"]", &[]).unwrap();
        let matcher = config.sources[0].matcher().unwrap();
        assert!(matcher.takes("shop-api"));
        assert!(!matcher.takes("shop-test"));
        assert!(!matcher.takes("blog"));
    }
}
