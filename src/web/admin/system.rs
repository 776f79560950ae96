//! How the portal itself is: what it hears of AWS, what waits to be mailed and pushed, what could not be, and trying a mail
//! again. Never what a message or a mail says.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;

use super::admin;
use super::heard::{HookLine, QueueLine};
use crate::domain::ids::MailId;
use crate::domain::text::visible;
use crate::events::QueueStatus;
use crate::events::sns::SnsStatus;
use crate::notices::{AgainError, System};
use crate::push;
use crate::store::channels::Channel;
use crate::store::mail::Troubled;
use crate::store::push::messages::Trouble;
use crate::web::display::count;
use crate::web::note::Note;
use crate::web::parts::Moment;
use crate::web::session::Nothing;
use crate::web::{AppState, CsrfForm, Failure, Segment, Shell, SignedIn};

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/system.html")]
pub struct SystemPage {
    shell: Shell,
    queues: Vec<QueueLine>,
    hook: Option<HookLine>,
    sends_mail: bool,
    waiting: String,
    tried: Option<String>,
    oldest: Option<Moment>,
    given_up: String,
    sent: String,
    to_tell: String,
    /// Notices that nobody has looked at, though they are due.
    overdue: Option<(String, Moment)>,
    /// Notices that were given up.
    lost: Option<String>,
    /// Notices that could not be left, and since when.
    missing: Option<(String, Moment)>,
    troubled: Vec<Line>,
    channels: String,
    /// Channels that could not be told.
    ill: Option<String>,
    /// Messages to channels that were given up.
    untold: Option<String>,
    push: Option<Push>,
}

/// What the page is made of.
struct Found {
    system: System,
    channels: Vec<Channel>,
    queues: Vec<QueueStatus>,
    hook: Option<SnsStatus>,
    push: push::System,
}

/// How telling browsers is going.
#[derive(Debug, Clone)]
struct Push {
    browsers: String,
    waiting: String,
    tried: Option<String>,
    oldest: Option<Moment>,
    told: String,
    given_up: String,
    troubled: Vec<PushLine>,
}

/// What a push service did not take.
#[derive(Debug, Clone)]
struct PushLine {
    host: String,
    tells: String,
    made: Moment,
    tries: String,
    /// When it is tried next; absent where it was given up.
    next: Option<Moment>,
    error: String,
}

impl Push {
    fn of(system: &push::System, now: Timestamp) -> Option<Self> {
        if !system.is_on {
            return None;
        }
        let (it, messages) = (&system.overview, |n: i64| count(n.unsigned_abs(), "message", "messages"));
        let line = |one: &Trouble| PushLine {
            host: visible(&one.host),
            tells: visible(&one.tells),
            made: Moment::new(one.made_at, now),
            tries: count(u64::from(one.attempts.unsigned_abs()), "try", "tries"),
            next: one.due_at.map(|at| Moment::new(at, now)),
            error: visible(&one.why),
        };
        Some(Self {
            browsers: count(it.browsers.unsigned_abs(), "browser", "browsers"),
            waiting: messages(it.waiting),
            tried: (it.tried > 0).then(|| messages(it.tried)),
            oldest: it.oldest.map(|at| Moment::new(at, now)),
            told: messages(it.told),
            given_up: messages(it.given_up),
            troubled: system.troubled.iter().map(line).collect(),
        })
    }
}

/// A mail that is in trouble.
#[derive(Debug, Clone)]
struct Line {
    id: String,
    kind: String,
    address: String,
    made: Moment,
    tries: String,
    /// When it is tried next; absent where it was given up.
    next: Option<Moment>,
    error: String,
    can_go: bool,
}

impl Line {
    fn of(mail: &Troubled, now: Timestamp) -> Self {
        Self {
            id: mail.id.to_string(),
            kind: visible(&mail.kind),
            address: visible(&mail.address),
            made: Moment::new(mail.created_at, now),
            tries: count(u64::from(mail.attempts.unsigned_abs()), "try", "tries"),
            next: mail.due_at.map(|at| Moment::new(at, now)),
            error: visible(mail.last_error.as_deref().unwrap_or("not known")),
            can_go: mail.can_go,
        }
    }
}

impl SystemPage {
    fn of(shell: Shell, found: &Found, now: Timestamp) -> Self {
        let Found { system, channels, queues, hook, push } = found;
        let (mail, backlog) = (&system.mail, &system.backlog);
        let mails = |n: i64| count(n.unsigned_abs(), "mail", "mails");
        let notices = |n: i64| count(n.unsigned_abs(), "notice", "notices");
        let counted = |n: usize| count(n as u64, "channel", "channels");
        let ill = channels.iter().filter(|channel| channel.failures > 0).count();
        let untold: i64 = channels.iter().map(|channel| channel.given_up).sum();
        Self {
            shell,
            queues: queues.iter().map(|queue| QueueLine::of(queue, now)).collect(),
            hook: hook.as_ref().map(HookLine::of),
            sends_mail: system.sends_mail,
            waiting: mails(mail.waiting),
            tried: (mail.tried > 0).then(|| mails(mail.tried)),
            oldest: mail.oldest.map(|at| Moment::new(at, now)),
            given_up: mails(mail.given_up),
            sent: mails(mail.sent),
            to_tell: notices(backlog.to_tell),
            overdue: backlog.oldest.map(|at| (notices(backlog.due), Moment::new(at, now))),
            missing: backlog.missing_since.map(|at| (notices(backlog.missing), Moment::new(at, now))),
            lost: (backlog.given_up > 0).then(|| notices(backlog.given_up)),
            troubled: system.troubled.iter().map(|mail| Line::of(mail, now)).collect(),
            channels: counted(channels.len()),
            ill: (ill > 0).then(|| counted(ill)),
            untold: (untold > 0).then(|| count(untold.unsigned_abs(), "message", "messages")),
            push: Push::of(push, now),
        }
    }
}

/// `GET /admin/system`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(State(app): State<AppState>, shell: Shell) -> Result<SystemPage, Failure> {
    let system = app.notices.system().await?;
    let channels = app.channels.list().await?.into_iter().map(|(channel, _)| channel).collect();
    let found =
        Found { system, channels, queues: app.events.status(), hook: app.sns.status(), push: app.push.system().await? };
    Ok(SystemPage::of(shell, &found, app.clock.now()))
}

/// `POST /admin/system/mail/{id}/again`. No proof is asked for: it goes to whom it was written to, and says what it said.
///
/// # Errors
/// 404 when there is nothing to send.
pub async fn send_again(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(MailId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    match app.notices.send_again(&admin(&person)?, id).await {
        Ok(()) => Ok(Note::MailSentAgain.at("/admin/system", app.cookies())),
        Err(error @ AgainError::Gone) => {
            Err(Failure::not_found().saying(error.to_string()).with_next("Back to the system's page", "/admin/system"))
        }
        Err(error @ AgainError::NotAllowed) => Err(Failure::forbidden(error.to_string())),
        Err(AgainError::Unavailable(cause)) => Err(cause.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::SourceName;
    use crate::events::Hearing;
    use crate::events::sns::Refusal;
    use crate::store::mail::Overview;
    use crate::store::notices::Backlog;
    use crate::store::push::messages;
    use crate::web::display::assert_inert;

    #[test]
    fn nothing_that_a_mail_server_or_a_queue_said_becomes_markup() {
        let hostile = || "<img src=x onerror=alert(1)>\"'<script>\u{202e}".repeat(3);
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let mail = Troubled {
            id: MailId(uuid::Uuid::nil()),
            kind: hostile(),
            address: hostile(),
            created_at: now,
            attempts: 3,
            due_at: None,
            last_error: Some(hostile()),
            can_go: true,
        };
        let queue = QueueStatus {
            source: SourceName::parse("production").unwrap(),
            hearing: Hearing::Badly(now, hostile()),
            received: 12,
            deleted: 9,
            beside: 2,
            elsewhere: 1,
            not_understood: 3,
            looks: 4,
            held: 0,
        };
        let hook = SnsStatus { refused: [(Refusal::Signature, 33)].into(), ..SnsStatus::default() };
        for n in [0, 1, 50] {
            let queues = vec![queue.clone(); usize::try_from(n).unwrap()];
            let system = System {
                sends_mail: n > 0,
                mail: Overview { waiting: 3, tried: n, oldest: Some(now), given_up: n, sent: 1_000_000 },
                troubled: vec![mail.clone(); usize::try_from(n).unwrap()],
                backlog: Backlog {
                    due: n,
                    oldest: (n > 0).then_some(now),
                    given_up: n,
                    missing: n,
                    missing_since: (n > 0).then_some(now),
                    to_tell: 5,
                },
            };
            let trouble = Trouble {
                host: hostile(),
                tells: hostile(),
                made_at: now,
                attempts: 2,
                due_at: (n > 0).then_some(now),
                why: hostile(),
            };
            let push = push::System {
                is_on: n > 0,
                overview: messages::Overview {
                    browsers: n,
                    waiting: n,
                    tried: n,
                    oldest: Some(now),
                    told: n,
                    given_up: n,
                },
                troubled: vec![trouble; usize::try_from(n).unwrap()],
            };
            let found = Found { system, channels: Vec::new(), queues, hook: Some(hook.clone()), push };
            let html = SystemPage::of(Shell::bare("/admin/system"), &found, now).render().unwrap();
            assert_inert("system", &html);
        }
    }
}
