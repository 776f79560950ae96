//! Reads the file and the environment into a [`Config`], and says precisely what is wrong when it cannot.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use super::sso::{self, SsoConfig};
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

pub(super) fn bad(text: impl Into<String>) -> BadConfig {
    BadConfig(text.into())
}

/// Environment variables that override a key of the file, and the key.
const OVERRIDES: &[(&str, &str)] = &[
    ("COUNTERSIGN_LISTEN", "listen"),
    ("COUNTERSIGN_PUBLIC_URL", "public_url"),
    ("COUNTERSIGN_DATA_DIR", "data_dir"),
    ("COUNTERSIGN_SECRET_KEY_FILE", "secret_key_file"),
    ("COUNTERSIGN_POLL_INTERVAL", "poll_interval"),
    ("COUNTERSIGN_QUEUE_POLL_INTERVAL", "queue_poll_interval"),
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
    (MAIL_URL, "mail.smtp_url"),
    ("COUNTERSIGN_MAIL_FROM", "mail.from"),
    ("COUNTERSIGN_MAIL_REPLY_TO", "mail.reply_to"),
    ("COUNTERSIGN_SIGN_IN_LOCAL", "sign_in.local"),
    ("COUNTERSIGN_SIGN_IN_FORBIDDEN_WORDS", "sign_in.forbidden_words"),
    ("COUNTERSIGN_HOOKS_SNS_TOPICS", "hooks.sns_topics"),
    ("COUNTERSIGN_HOOKS_SNS_SIGNATURE_VERSION_1", "hooks.sns_signature_version_1"),
    ("COUNTERSIGN_HOOKS_SNS_INTERMEDIATES_FILE", "hooks.sns_intermediates_file"),
    ("COUNTERSIGN_CHANNELS_HOSTS", "channels.hosts"),
    ("COUNTERSIGN_PUSH_ENABLED", "push.enabled"),
    ("COUNTERSIGN_PUSH_CONTACT", "push.contact"),
    ("COUNTERSIGN_PUSH_SERVICES", "push.services"),
];
/// Keys that are lists: in the environment, separated by commas.
const LISTS: &[&str] =
    &["trusted_proxies", "sign_in.forbidden_words", "hooks.sns_topics", "channels.hosts", "push.services"];
/// Those of them that are secrets and may also be given as `<NAME>_FILE`.
const SECRETS: &[&str] = &[
    "DATABASE_URL",
    "COUNTERSIGN_DATABASE_OWNER_URL",
    "COUNTERSIGN_DATABASE_READER_URL",
    "COUNTERSIGN_DATABASE_LISTEN_URL",
    MAIL_URL,
];
const MAIL_URL: &str = "COUNTERSIGN_MAIL_SMTP_URL";
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
                let parts = || value.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty());
                let value: config::Value =
                    if LISTS.contains(key) { parts().collect::<Vec<_>>().into() } else { value.into() };
                builder = builder.set_override(*key, value).map_err(|error| bad(format!("{variable}: {error}")))?;
            }
        }
        let raw = builder.build().map_err(|error| bad(error.to_string()))?;
        let mut config: Self = raw.try_deserialize().map_err(|error| bad(error.to_string()))?;
        let mail_in_file = config.mail.holds_password() && read_override(MAIL_URL, environment)?.is_none();
        let secrets_in_file = mail_in_file
            || config.sources.iter().any(|source| source.credentials.is_some())
            || config.sso.iter().any(SsoConfig::has_secret_inside);
        if let (Some(file), true) = (chosen, secrets_in_file) {
            refuse_world_readable(&file)?;
        }
        if let Some(file) = &config.secret_key_file {
            refuse_world_readable(file)?;
        }
        for provider in &mut config.sso {
            provider.read_secret()?;
        }
        config.hooks.read_files().map_err(bad)?;
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
        let (least, most) = (SignedDuration::from_secs(1), SignedDuration::from_hours(1));
        within("queue_poll_interval", self.queue_poll_interval, least, most, "2m")?;
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
        self.mail.check().map_err(bad)?;
        sso::check_all(&self.sign_in, &self.sso)?;
        self.hooks.check().map_err(bad)?;
        self.channels.check().map_err(bad)?;
        self.push.check().map_err(bad)?;
        self.check_sources()
    }

    fn check_sources(&self) -> Result<(), BadConfig> {
        let (mut names, mut queues) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for source in &self.sources {
            source.check().map_err(|problem| bad(format!("source {:?}: {problem}", source.name.as_str())))?;
            if !names.insert(&source.name) {
                return Err(bad(format!("two sources are called {:?}; give each its own name", source.name.as_str())));
            }
            if let Some(queue) = source.queue_url.as_ref().filter(|queue| !queues.insert(queue.as_str())) {
                return Err(bad(format!(
                    "two sources have queue_url = \"{queue}\"; give each its own queue, because each deletes what is not about it"
                )));
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

pub(super) fn refuse_world_readable(file: &Path) -> Result<(), BadConfig> {
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
        let environment = [("COUNTERSIGN_SIGN_IN_FORBIDDEN_WORDS", "acme, project phoenix,")];
        let config = load("[sign_in]\nforbidden_words = [\"other\"]", &environment).unwrap();
        assert_eq!(config.sign_in.forbidden_words, ["acme", "project phoenix"]);
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
            ("queue_poll_interval = \"2h\"", &[], "queue_poll_interval"),
            ("[[sources]]\nname = \"a\"\nqueue_url = \"http://sqs.example/1/q\"", &[], "queue_url"),
            ("[[sources]]\nname = \"a\"\nqueue_url = \"https://sqs.example/1/q.fifo\"", &[], "standard queue"),
            (
                "[[sources]]\nname = \"a\"\nqueue_url = \"https://q.example/1/q\"\n\
                 [[sources]]\nname = \"b\"\nqueue_url = \"https://q.example/1/q\"",
                &[],
                "its own queue",
            ),
            ("[[sources]]\nname = \"a\"\nexternal_id = \"x\"", &[], "role_arn"),
        ];
        for (file, environment, part) in cases {
            let error = load(file, environment).unwrap_err();
            assert!(error.contains(part), "{file:?}: {error}");
        }
    }

    #[test]
    fn sessions_last_as_long_as_is_allowed_and_no_longer() {
        // S-26
        let config = load("", &[]).unwrap();
        assert_eq!(config.session.idle, SignedDuration::from_mins(30));
        assert_eq!(config.session.absolute, SignedDuration::from_hours(8));
        let config = load("[session]\nidle = \"1h\"\nabsolute = \"12h\"", &[]).unwrap();
        assert_eq!(config.session.idle, SignedDuration::from_hours(1));
        assert_eq!(config.session.absolute, SignedDuration::from_hours(12));
        let idle = "session.idle = \"1h 1s\" must be between 1m and 1h, for example \"30m\"";
        let absolute = "session.absolute = \"12h 1s\" must be between 5m and 12h, for example \"8h\"";
        for (key, variable, value, words) in [
            ("idle", "COUNTERSIGN_SESSION_IDLE", "1h 1s", idle),
            ("absolute", "COUNTERSIGN_SESSION_ABSOLUTE", "12h 1s", absolute),
        ] {
            assert_eq!(load(&format!("[session]\n{key} = \"{value}\""), &[]).unwrap_err(), words);
            assert_eq!(load("", &[(variable, value)]).unwrap_err(), words);
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
    fn a_file_with_the_mail_servers_password_is_not_for_everybody() {
        // S-49
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"[mail]\nsmtp_url = \"smtps://u:hunter2@mail.example.com\"\nfrom = \"a@example.com\"\n")
            .unwrap();
        let none = Environment::default();
        assert!(Config::load(Some(file.path()), &none).unwrap().mail.server().is_some());
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = Config::load(Some(file.path()), &none).unwrap_err().to_string();
        assert!(error.contains("chmod o-rwx") && !error.contains("hunter2"), "{error}");
        let elsewhere = [("COUNTERSIGN_MAIL_SMTP_URL", "smtp://localhost")].into_iter().collect();
        assert!(Config::load(Some(file.path()), &elsewhere).is_ok(), "what the environment replaces is not used");
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        writeln!(secret, "smtps://u:hunter2@mail.example.com").unwrap();
        let path = secret.path().to_str().unwrap().to_owned();
        let config = load("", &[("COUNTERSIGN_MAIL_SMTP_URL_FILE", &path), ("COUNTERSIGN_MAIL_FROM", "a@b.example")]);
        assert_eq!(config.unwrap().mail.server().unwrap().host, "mail.example.com");
        assert!(load("", &[("COUNTERSIGN_MAIL_FROM", "a@b.example")]).unwrap_err().contains("mail.smtp_url"));
    }

    #[test]
    fn topics_come_from_the_file_or_the_environment_and_are_none_without_either() {
        // U-05
        assert!(load("", &[]).unwrap().hooks.sns_topics.is_empty());
        let (one, two) = ("arn:aws:sns:eu-west-1:111122223333:a", "arn:aws-cn:sns:cn-north-1:111122223333:b");
        let config = load(&format!("[hooks]\nsns_topics = [\"{one}\"]"), &[]).unwrap();
        assert_eq!(config.hooks.sns_topics[0].as_str(), one);
        assert!(!config.hooks.sns_signature_version_1);
        let both = format!("{one}, {two}");
        let variables =
            [("COUNTERSIGN_HOOKS_SNS_TOPICS", both.as_str()), ("COUNTERSIGN_HOOKS_SNS_SIGNATURE_VERSION_1", "true")];
        let config = load("", &variables).unwrap();
        assert_eq!(config.hooks.sns_topics.len(), 2);
        assert!(config.hooks.sns_signature_version_1);
        let error = load("[hooks]\nsns_topics = [\"approvals\"]", &[]).unwrap_err();
        assert!(error.contains("arn:aws:sns:eu-west-1:111122223333:approvals"), "{error}");
        let many = vec![one; 101].join(",");
        assert!(load("", &[("COUNTERSIGN_HOOKS_SNS_TOPICS", &many)]).unwrap_err().contains("at most 100"));
    }

    #[test]
    fn hosts_of_channels_are_names_by_commas_and_none_unless_told() {
        assert!(load("", &[]).unwrap().channels.hosts.is_empty());
        let config = load("", &[("COUNTERSIGN_CHANNELS_HOSTS", "hooks.example.com, *.example.org")]).unwrap();
        let fits = |host| config.channels.hosts.iter().any(|known| known.fits(host));
        assert!(fits("hooks.example.com") && fits("a.example.org") && !fits("example.org"));
        let error = load("[channels]\nhosts = [\"https://hooks.example.com/x\"]", &[]).unwrap_err();
        assert!(error.contains("channels.hosts") && error.contains("hooks.example.com"), "{error}");
        let many = vec!["hooks.example.com"; 101].join(",");
        assert!(load("", &[("COUNTERSIGN_CHANNELS_HOSTS", &many)]).unwrap_err().contains("at most 100"));
    }

    #[test]
    fn push_is_off_unless_it_is_turned_on_with_a_contact() {
        assert!(!load("", &[]).unwrap().push.enabled);
        let on = [("COUNTERSIGN_PUSH_ENABLED", "true"), ("COUNTERSIGN_PUSH_CONTACT", "mailto:ops@example.com")];
        let config = load("", &on).unwrap();
        assert_eq!(config.push.contact(), Some("mailto:ops@example.com"));
        let only = [on[0], on[1], ("COUNTERSIGN_PUSH_SERVICES", "push.example.com, *.example.org")];
        let config = load("", &only).unwrap();
        let fits = |host| config.push.services.iter().any(|known| known.fits(host));
        assert!(fits("push.example.com") && fits("a.example.org") && !fits("fcm.googleapis.com"));
        assert!(load("[push]\nenabled = true", &[]).unwrap_err().contains("push.contact"));
        assert!(load("[push]\nservices = [\"https://a.example\"]", &[]).unwrap_err().contains("push.services"));
    }

    #[test]
    fn a_file_of_certificates_must_hold_some() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let topic = ("COUNTERSIGN_HOOKS_SNS_TOPICS", "arn:aws:sns:eu-west-1:111122223333:a");
        let with = ("COUNTERSIGN_HOOKS_SNS_INTERMEDIATES_FILE", path.as_str());
        assert!(load("", &[topic, with]).unwrap_err().contains("no certificate"));
        file.write_all(b"-----BEGIN CERTIFICATE-----\n").unwrap();
        assert!(!load("", &[topic, with]).unwrap().hooks.sns_intermediates.is_empty());
        assert!(load("", &[with]).unwrap_err().contains("hooks.sns_topics"));
        let gone = ("COUNTERSIGN_HOOKS_SNS_INTERMEDIATES_FILE", "/nowhere.pem");
        assert!(load("", &[topic, gone]).unwrap_err().contains("hooks.sns_intermediates_file"));
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
