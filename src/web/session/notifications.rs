//! What one is told by mail and in one's browsers, and when.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::civil::Time;
use serde::Deserialize;

use super::push::PushPart;
use crate::domain::notices::{Choices, Pace, Quiet};
use crate::domain::people::Person;
use crate::domain::text::visible;
use crate::domain::zone;
use crate::notices::ChooseError;
use crate::web::note::Note;
use crate::web::parts::{Choice, Field};
use crate::web::{AppState, CsrfForm, Failure, Shell, SignedIn};

const WRONG_TIME: &str = "This is no time of day. Write it as 22:00.";

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "session/notifications.html")]
pub struct NotificationsPage {
    shell: Shell,
    sends_mail: bool,
    email: String,
    zone: String,
    kinds: Vec<Tick>,
    pace: Choice,
    hour: Choice,
    from: Field,
    until: Field,
    except: Tick,
    push: PushPart,
}

/// A box to tick.
#[derive(Debug, Clone)]
pub struct Tick {
    pub name: &'static str,
    pub label: &'static str,
    pub what: &'static str,
    pub is_ticked: bool,
}

/// The form, as filled in. A box that is not ticked sends nothing.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Filled {
    #[serde(default)]
    waiting: String,
    #[serde(default)]
    reminders: String,
    #[serde(default)]
    decided: String,
    #[serde(default)]
    expired: String,
    #[serde(default)]
    blind: String,
    pace: String,
    hour: String,
    quiet_from: String,
    quiet_until: String,
    #[serde(default)]
    except_expiring: String,
}

/// What is wrong with what was filled in, field by field.
type Mistakes = Vec<(&'static str, String)>;

impl Filled {
    fn of(choices: &Choices) -> Self {
        let on = |is_on: bool| if is_on { "on".to_owned() } else { String::new() };
        let time = |time: Option<Time>| time.map(|time| time.strftime("%H:%M").to_string()).unwrap_or_default();
        Self {
            waiting: on(choices.waiting),
            reminders: on(choices.reminders),
            decided: on(choices.decided),
            expired: on(choices.expired),
            blind: on(choices.blind),
            pace: choices.pace.name().to_owned(),
            hour: choices.digest_hour.to_string(),
            quiet_from: time(choices.quiet.map(|quiet| quiet.from)),
            quiet_until: time(choices.quiet.map(|quiet| quiet.until)),
            except_expiring: on(choices.except_expiring),
        }
    }

    /// What was filled in, or everything that is wrong with it. Who is not asked about sources keeps what they had.
    fn read(&self, before: &Choices, is_admin: bool) -> Result<Choices, Mistakes> {
        let mut wrong = Vec::new();
        let pace = Pace::from_name(&self.pace);
        if pace.is_none() {
            wrong.push(("pace", "Choose one of these.".to_owned()));
        }
        let hour = self.hour.parse::<i8>().ok().filter(|hour| (0..24).contains(hour));
        if hour.is_none() {
            wrong.push(("hour", "Choose an hour of the day.".to_owned()));
        }
        let quiet = self.quiet(&mut wrong);
        match (pace, hour) {
            (Some(pace), Some(digest_hour)) if wrong.is_empty() => Ok(Choices {
                waiting: !self.waiting.is_empty(),
                reminders: !self.reminders.is_empty(),
                decided: !self.decided.is_empty(),
                expired: !self.expired.is_empty(),
                blind: if is_admin { !self.blind.is_empty() } else { before.blind },
                pace,
                digest_hour,
                quiet,
                except_expiring: !self.except_expiring.is_empty(),
            }),
            _ => Err(wrong),
        }
    }

    fn quiet(&self, wrong: &mut Mistakes) -> Option<Quiet> {
        let mut time = |field, text: &str| match text.trim() {
            "" => None,
            typed => {
                let time = parse_time(typed);
                if time.is_none() {
                    wrong.push((field, WRONG_TIME.to_owned()));
                }
                time
            }
        };
        let (from, until) = (time("quiet_from", &self.quiet_from), time("quiet_until", &self.quiet_until));
        let is_empty = |text: &str| text.trim().is_empty();
        match (from, until) {
            (Some(from), Some(until)) if from == until => {
                wrong.push(("quiet_until", "Quiet hours end at another time than they begin.".to_owned()));
                None
            }
            (Some(from), Some(until)) => Some(Quiet { from, until }),
            (Some(_), None) if is_empty(&self.quiet_until) => {
                wrong.push(("quiet_until", "Say when they end, too.".to_owned()));
                None
            }
            (None, Some(_)) if is_empty(&self.quiet_from) => {
                wrong.push(("quiet_from", "Say when they begin, too.".to_owned()));
                None
            }
            _ => None,
        }
    }
}

/// `22:00` or `7:30`; browsers may send seconds, which are nothing here.
fn parse_time(typed: &str) -> Option<Time> {
    let mut parts = typed.split(':');
    let mut number = || parts.next().filter(|part| matches!(part.len(), 1 | 2))?.parse::<i8>().ok();
    let (hour, minute) = (number()?, number()?);
    let rest: Vec<&str> = parts.collect();
    if rest.len() > 1 || rest.iter().any(|seconds| *seconds != "00") {
        return None;
    }
    Time::new(hour, minute, 0, 0).ok()
}

impl NotificationsPage {
    fn new(
        app: &AppState,
        (shell, push): (Shell, PushPart),
        person: &Person,
        filled: &Filled,
        wrong: &Mistakes,
    ) -> Self {
        let problem = |name: &str| wrong.iter().find(|(field, _)| *field == name).map(|(_, text)| text.clone());
        let first = wrong.first().map(|(field, _)| *field);
        let paces = [(Pace::AtOnce, "At once"), (Pace::Hourly, "Every full hour"), (Pace::Daily, "Once a day")];
        let paces = paces.map(|(pace, words)| (pace.name().to_owned(), words.to_owned()));
        let hours = (0..24).map(|hour| (hour.to_string(), format!("{hour:02}:00")));
        let time = |name: &'static str, label: &'static str, typed: &str| {
            let field = Field::time(name, label).optional().value(visible(typed));
            field.error(problem(name)).focused(first == Some(name))
        };
        Self {
            shell,
            sends_mail: app.accounts.sends_mail(),
            email: visible(&person.email),
            zone: zone::name_of(&person.zone).to_owned(),
            kinds: ticks(filled, person.roles.admin),
            pace: Choice::new("pace", "When mail goes out", &filled.pace, paces).error(problem("pace")),
            hour: Choice::new("hour", "Hour of the daily mail", &filled.hour, hours).error(problem("hour")),
            from: time("quiet_from", "From", &filled.quiet_from),
            until: time("quiet_until", "Until", &filled.quiet_until)
                .hint("Both empty: there are none. Midnight may lie between."),
            except: Tick {
                name: "except_expiring",
                label: "Except when an approval would expire within them",
                what: "Such a mail goes out all the same.",
                is_ticked: !filled.except_expiring.is_empty(),
            },
            push,
        }
    }
}

fn ticks(filled: &Filled, is_admin: bool) -> Vec<Tick> {
    let tick = |name, label, what, typed: &str| Tick { name, label, what, is_ticked: !typed.is_empty() };
    let mut kinds = vec![
        tick("waiting", "An approval waits that I may decide", "Never one that is none of mine.", &filled.waiting),
        tick(
            "reminders",
            "It still waits at half of its time, and an hour before it expires",
            "And, in a group that an admin chose for it, that nobody has decided. None of it waits for a daily or hourly mail.",
            &filled.reminders,
        ),
        tick(
            "decided",
            "Others ended an approval that I was told of, or whose run I started",
            "Approved, rejected, superseded, stopped or gone.",
            &filled.decided,
        ),
        tick("expired", "Such an approval expired", "Nobody decided in time.", &filled.expired),
    ];
    if is_admin {
        let what = "And that it can be read again. For admins.";
        kinds.push(tick("blind", "A source cannot be read for longer than a minute", what, &filled.blind));
    }
    kinds
}

/// `GET /me/notifications`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
) -> Result<NotificationsPage, Failure> {
    let choices = app.notices.find_choices(&person).await?;
    let push = PushPart::load(&app, &person).await?;
    Ok(NotificationsPage::new(&app, (shell, push), &person, &Filled::of(&choices), &Mistakes::new()))
}

/// `POST /me/notifications`.
///
/// # Errors
/// 401 when the session ended meanwhile; 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
    form: CsrfForm<Filled>,
) -> Result<Response, Failure> {
    let filled = form.read();
    let before = app.notices.find_choices(&person).await?;
    let choices = match filled.read(&before, person.roles.admin) {
        Ok(choices) => choices,
        Err(wrong) => {
            let push = PushPart::load(&app, &person).await?;
            let page = NotificationsPage::new(&app, (shell, push), &person, &filled, &wrong);
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let note = match app.notices.choose(&person, &choices).await {
        Ok(true) => Note::NotificationsChanged,
        Ok(false) => Note::AsItWas,
        Err(error @ ChooseError::PasswordFirst) => return Err(Failure::forbidden(error.to_string())),
        Err(ChooseError::SignedOut) => {
            return Err(Failure::new(StatusCode::UNAUTHORIZED).with_next("Sign in", "/sign-in"));
        }
        Err(ChooseError::Unavailable(cause)) => return Err(cause.into()),
    };
    Ok(note.at("/me/notifications", app.cookies()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Filled {
        Filled { quiet_from: "22:00".into(), quiet_until: "7:30".into(), ..Filled::of(&Choices::default()) }
    }

    #[test]
    fn what_is_shown_reads_back_as_it_is() {
        let quiet = Some(Quiet { from: "22:00".parse().unwrap(), until: "07:30".parse().unwrap() });
        for pace in Pace::ALL {
            for choices in [
                Choices { pace, digest_hour: 23, ..Choices::default() },
                Choices { waiting: false, decided: true, quiet, except_expiring: false, ..Choices::default() },
            ] {
                assert_eq!(Filled::of(&choices).read(&Choices::default(), true).unwrap(), choices);
            }
        }
        let choices = filled().read(&Choices::default(), false).unwrap();
        assert_eq!(choices.quiet, quiet);
    }

    #[test]
    fn whoever_is_no_admin_keeps_what_is_not_asked() {
        let before = Choices { blind: false, ..Choices::default() };
        let filled = Filled { blind: "on".into(), ..filled() };
        assert!(!filled.read(&before, false).unwrap().blind);
        assert!(filled.read(&before, true).unwrap().blind);
    }

    #[test]
    fn every_mistake_is_told_at_its_field() {
        let wrong = |change: &dyn Fn(&mut Filled)| {
            let mut filled = filled();
            change(&mut filled);
            let mistakes = filled.read(&Choices::default(), true).unwrap_err();
            mistakes.into_iter().map(|(field, _)| field).collect::<Vec<_>>()
        };
        assert_eq!(wrong(&|it| it.pace = "sometimes".into()), ["pace"]);
        assert_eq!(wrong(&|it| it.hour = "24".into()), ["hour"]);
        assert_eq!(wrong(&|it| it.quiet_until = String::new()), ["quiet_until"]);
        assert_eq!(wrong(&|it| it.quiet_from = "  ".into()), ["quiet_from"]);
        assert_eq!(wrong(&|it| it.quiet_from = "7:30".into()), ["quiet_until"]);
        for typed in ["25:00", "22", "22:60", "-1:00", "22:00:30", "ten", "22:00:00:00", "+1:+1"] {
            let both = wrong(&|it| (it.quiet_from, it.quiet_until) = (typed.into(), typed.into()));
            assert!(both.contains(&"quiet_from") || typed == "+1:+1", "{typed}: {both:?}");
        }
        assert!(parse_time("22:00:00").is_some());
    }
}
