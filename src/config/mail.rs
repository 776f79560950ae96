//! How mail is sent: `[mail]`. Without it nothing is queued, and pages show links to copy instead.

use lettre::message::Mailbox;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use crate::domain::loopback::is_loopback;

const URL_EXAMPLE: &str = "smtps://user:password@smtp.example.com:465";
const FROM_EXAMPLE: &str = "Countersign <approvals@example.com>";

/// The section as it is written down.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// `smtps://…` (TLS from the start) or `smtp://…` (STARTTLS; plain over loopback alone), with user and password.
    /// `COUNTERSIGN_MAIL_SMTP_URL` or `…_FILE`.
    #[serde(default)]
    pub smtp_url: Option<SecretString>,
    /// Who mail comes from. `COUNTERSIGN_MAIL_FROM`.
    #[serde(default)]
    pub from: Option<String>,
    /// Where answers go. `COUNTERSIGN_MAIL_REPLY_TO`.
    #[serde(default)]
    pub reply_to: Option<String>,
}

/// How a connection to the mail server is kept from others' eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// TLS from the first byte.
    Tls,
    /// TLS after STARTTLS, or nothing is sent.
    StartTls,
    /// None: it does not leave the machine.
    Loopback,
}

/// A mail server, and in whose name it is asked to deliver.
#[derive(Debug, Clone)]
pub struct MailServer {
    pub host: String,
    pub port: u16,
    pub channel: Channel,
    pub login: Option<(String, SecretString)>,
    pub from: Mailbox,
    pub reply_to: Option<Mailbox>,
}

impl MailConfig {
    /// The server to use. None: no mail is sent.
    #[must_use]
    pub fn server(&self) -> Option<MailServer> {
        self.read().ok().flatten()
    }

    /// # Errors
    /// One sentence with the key, the problem and an example. Never the URL: it holds a password.
    pub(super) fn check(&self) -> Result<(), String> {
        self.read().map(drop)
    }

    /// Whether the URL, as it is, holds a password.
    pub(super) fn holds_password(&self) -> bool {
        let url = self.smtp_url.as_ref().and_then(|url| Url::parse(url.expose_secret()).ok());
        url.is_some_and(|url| url.password().is_some())
    }

    fn read(&self) -> Result<Option<MailServer>, String> {
        let Some(url) = &self.smtp_url else {
            return match self.from.as_ref().or(self.reply_to.as_ref()) {
                None => Ok(None),
                Some(_) => Err(format!(
                    "mail.from and mail.reply_to say nothing without mail.smtp_url, for example smtp_url = \"{URL_EXAMPLE}\""
                )),
            };
        };
        let Some(from) = &self.from else {
            return Err(format!(
                "mail.smtp_url needs mail.from, the address mail comes from, for example from = \"{FROM_EXAMPLE}\""
            ));
        };
        let from = mailbox("mail.from", from)?;
        let reply_to = self.reply_to.as_deref().map(|text| mailbox("mail.reply_to", text)).transpose()?;
        Ok(Some(Self::parse(url, from, reply_to)?))
    }

    fn parse(url: &SecretString, from: Mailbox, reply_to: Option<Mailbox>) -> Result<MailServer, String> {
        let url = Url::parse(url.expose_secret()).map_err(|_| wrong("is no URL"))?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if !bare {
            return Err(wrong(
                "has something after the port; special characters of a password are written as %40 for @, %2F for /",
            ));
        }
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        let (channel, usual) = match (url.scheme(), is_loopback(&url)) {
            ("smtps", _) => (Channel::Tls, 465),
            ("smtp", true) => (Channel::Loopback, 25),
            ("smtp", false) => (Channel::StartTls, 587),
            _ => return Err(wrong("must begin with smtps:// (TLS) or smtp:// (STARTTLS)")),
        };
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) if !user.is_empty() => {
                Some((decoded(user)?, SecretString::from(decoded(password)?)))
            }
            _ => return Err(wrong("must name both user and password, or neither")),
        };
        let port = url.port().unwrap_or(usual);
        Ok(MailServer { host, port, channel, login, from, reply_to })
    }
}

fn wrong(problem: &str) -> String {
    format!("mail.smtp_url {problem}; for example smtp_url = \"{URL_EXAMPLE}\"")
}

fn mailbox(key: &str, text: &str) -> Result<Mailbox, String> {
    let problem = || format!("{key} = {text:?} is no address to mail from or to, for example \"{FROM_EXAMPLE}\"");
    if text.chars().any(char::is_control) {
        return Err(problem());
    }
    text.parse().map_err(|_| problem())
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        let value = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes.push(value.ok_or_else(|| wrong("has a % that begins no code such as %40"))?);
    }
    String::from_utf8(bytes).map_err(|_| wrong("is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> MailConfig {
        MailConfig { smtp_url: Some(url.into()), from: Some("Approvals <a@example.com>".into()), reply_to: None }
    }

    fn server(url: &str) -> MailServer {
        config(url).read().unwrap().unwrap()
    }

    #[test]
    fn each_way_to_a_server_has_its_usual_port_and_is_encrypted_beyond_this_machine() {
        // S-50
        let cases = [
            ("smtps://mail.example.com", Channel::Tls, 465),
            ("smtp://mail.example.com", Channel::StartTls, 587),
            ("smtp://mail.example.com:2525", Channel::StartTls, 2525),
            ("smtp://localhost", Channel::Loopback, 25),
            ("smtp://127.0.0.1:1025/", Channel::Loopback, 1025),
            ("smtp://[::1]:1025", Channel::Loopback, 1025),
            ("smtps://localhost:465", Channel::Tls, 465),
        ];
        for (url, channel, port) in cases {
            let server = server(url);
            assert_eq!((server.channel, server.port), (channel, port), "{url}");
            assert!(server.login.is_none());
        }
        assert_eq!(server("smtp://[::1]:1025").host, "::1");
    }

    #[test]
    fn a_password_may_hold_anything_and_never_prints() {
        let url = "smtps://AKIA%2Buser:p%40ss%2Fw%C3%B6rd@mail.example.com:465";
        let (user, password) = server(url).login.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("AKIA+user", "p@ss/wörd"));
        assert!(config(url).holds_password());
        assert!(!config("smtp://localhost").holds_password());
        assert!(!format!("{:?} {:?}", config(url), server(url)).contains("ss/w"));
    }

    #[test]
    fn each_mistake_names_its_key_and_an_example_and_not_the_password() {
        let bad = [
            "mail.example.com",
            "https://u:hunter2@mail.example.com",
            "smtps://u:hunter2@mail.example.com/path",
            "smtps://u:hunter2@",
            "smtps://:hunter2@mail.example.com",
            "smtps://u@mail.example.com",
            "smtps://u:hunter2%zz@mail.example.com",
            "smtps://u:hun#ter2@mail.example.com",
        ];
        for url in bad {
            let said = config(url).read().unwrap_err();
            assert!(
                said.contains("mail.smtp_url") && said.contains(URL_EXAMPLE) && !said.contains("hunter2"),
                "{said}"
            );
        }
        let said = MailConfig { from: None, ..config("smtp://localhost") }.read().unwrap_err();
        assert!(said.contains("mail.from") && said.contains(FROM_EXAMPLE), "{said}");
        let said = MailConfig { smtp_url: None, ..config("") }.read().unwrap_err();
        assert!(said.contains("mail.smtp_url"), "{said}");
        for from in ["approvals", "a@b@c", "A <a@example.com>\r\nBcc: x@example.com", ""] {
            let said = MailConfig { from: Some(from.into()), ..config("smtp://localhost") }.read().unwrap_err();
            assert!(said.contains("mail.from"), "{said}");
        }
        let said = MailConfig { reply_to: Some("x".into()), ..config("smtp://localhost") }.read().unwrap_err();
        assert!(said.contains("mail.reply_to"), "{said}");
    }
}
