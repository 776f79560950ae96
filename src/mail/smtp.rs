//! One mail over one connection. Each has its own: mail is rare, and a connection that was cut short in the middle of
//! something is never used again.

use std::time::Duration;

use jiff::Timestamp;
use lettre::address::{Address, Envelope};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Message, MultiPart};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use secrecy::ExposeSecret as _;

use super::letter::Written;
use super::redact::redacted;
use crate::config::{Channel, MailServer};
use crate::domain::ids::MailId;

/// How long a connection may take to come about; the whole has its own, longer time.
const CONNECT: Duration = Duration::from_secs(10);
/// How long goodbye may take, once the server has taken the mail.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a mail was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Trying again would change nothing.
    pub(super) is_final: bool,
    /// Without secrets, fit for the log.
    pub(super) why: String,
}

/// A mail made of a letter, ready to be handed over.
pub(super) struct Ready {
    envelope: Envelope,
    bytes: Vec<u8>,
}

impl Ready {
    /// # Errors
    /// Final: the address is none, or the letter does not make a mail.
    pub(super) fn new(
        server: &MailServer,
        (id, created_at): (MailId, Timestamp),
        address: &str,
        written: Written,
    ) -> Result<Self, Trouble> {
        let no = |why: &str| Trouble { is_final: true, why: why.to_owned() };
        let to: Address = address.parse().map_err(|_| no("the address is none that mail can be sent to"))?;
        let from = server.from.email.clone();
        let envelope =
            Envelope::new(Some(from.clone()), vec![to.clone()]).map_err(|_| no("there is nobody to send to"))?;
        let header = |name, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
        let mut message = Message::builder()
            .from(server.from.clone())
            .to(to.into())
            .subject(written.subject)
            .date(created_at.into())
            // The same at each try, so that a mail that arrives twice can be seen to be one.
            .message_id(Some(format!("<{id}@{}>", from.domain())))
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Auto-Response-Suppress", "All"));
        if let Some(reply_to) = &server.reply_to {
            message = message.reply_to(reply_to.clone());
        }
        if let Some(choices) = &written.choices {
            message = message.raw_header(header("List-Unsubscribe", &format!("<{choices}>")));
        }
        let message = message
            .multipart(MultiPart::alternative_plain_html(written.text, written.html))
            .map_err(|_| no("the letter does not make a mail"))?;
        Ok(Self { envelope, bytes: message.formatted() })
    }

    /// Hands it over within `patience`. Ok: the server has taken it.
    pub(super) async fn deliver(&self, server: &MailServer, patience: Duration) -> Result<(), Trouble> {
        let took_too_long = || Trouble { is_final: false, why: "the mail server took too long to answer".to_owned() };
        let handed = tokio::time::timeout(patience, self.hand_over(server)).await.map_err(|_| took_too_long())?;
        let mut connection = handed.map_err(|(stage, error)| {
            let password = server.login.as_ref().map(|(_, password)| password.expose_secret());
            // Only what is said about the mail itself is final: a login or a greeting that is refused is the operator's.
            let is_final = stage == Stage::Mail && error.status().map_or(error.is_client(), |_| error.is_permanent());
            Trouble { is_final, why: redacted(&format!("{}: {error}", stage.name()), password) }
        })?;
        tokio::time::timeout(GOODBYE, connection.quit()).await.ok();
        Ok(())
    }

    async fn hand_over(&self, server: &MailServer) -> Result<AsyncSmtpConnection, (Stage, Error)> {
        let at = |stage: Stage| move |error: Error| (stage, error);
        let hello = ClientId::default();
        let tls = || TlsParameters::new(server.host.clone()).map_err(at(Stage::Tls));
        let from_the_start = if server.channel == Channel::Tls { Some(tls()?) } else { None };
        let place = (server.host.as_str(), server.port);
        let connection = AsyncSmtpConnection::connect_tokio1(place, Some(CONNECT), &hello, from_the_start, None).await;
        let mut connection = connection.map_err(at(Stage::Connect))?;
        if server.channel == Channel::StartTls {
            connection.starttls(tls()?, &hello).await.map_err(at(Stage::Tls))?;
        }
        if let Some((user, password)) = &server.login {
            let login = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &login).await.map_err(at(Stage::Login))?;
        }
        connection.send(&self.envelope, &self.bytes).await.map_err(at(Stage::Mail))?;
        Ok(connection)
    }
}

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connect,
    Tls,
    Login,
    Mail,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "the mail server cannot be reached",
            Self::Tls => "no TLS with the mail server",
            Self::Login => "the mail server does not take the login",
            Self::Mail => "the mail server does not take the mail",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lettre::message::Mailbox;

    fn server() -> MailServer {
        let from: Mailbox = "Approvals <approvals@example.com>".parse().unwrap();
        let reply_to = Some("ops@example.com".parse().unwrap());
        let (channel, login) = (Channel::Loopback, None);
        MailServer { host: "localhost".into(), port: 25, channel, login, from, reply_to }
    }

    fn ready(address: &str, subject: &str) -> Result<String, Trouble> {
        let id = MailId(uuid::Uuid::nil());
        let written = Written {
            subject: subject.into(),
            text: "Grüße".into(),
            html: "<p>Grüße</p>".into(),
            choices: Some("https://portal.example/me/notifications".into()),
        };
        let at = "2026-11-21T10:00:00Z".parse().unwrap();
        Ready::new(&server(), (id, at), address, written).map(|ready| String::from_utf8(ready.bytes).unwrap())
    }

    #[test]
    fn a_mail_says_that_a_program_wrote_it_and_which_mail_it_is() {
        // L-10
        let mail = ready("anna@example.org", "An invitation").unwrap();
        for header in [
            "From: Approvals <approvals@example.com>\r\n",
            "To: anna@example.org\r\n",
            "Reply-To: ops@example.com\r\n",
            "Subject: An invitation\r\n",
            "Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n",
            "Message-ID: <00000000-0000-0000-0000-000000000000@example.com>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "List-Unsubscribe: <https://portal.example/me/notifications>\r\n",
            "MIME-Version: 1.0\r\n",
        ] {
            assert!(mail.contains(header), "{header:?} in {mail}");
        }
        assert!(mail.is_ascii(), "every server can take it");
    }

    #[test]
    fn a_line_break_in_a_subject_or_an_address_makes_no_header() {
        // L-10; the letter takes them out before, this is the second line.
        let mail = ready("anna@example.org", "Hello\r\nBcc: x@evil.example\r\n\r\nbody").unwrap();
        let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
        assert!(!headers.contains("\r\nBcc:"), "{headers}");
        let refused = ready("anna@example.org\r\nBcc: x@evil.example", "Hello").unwrap_err();
        assert!(refused.is_final);
    }
}
