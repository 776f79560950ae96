//! One's own stand-ins: who decides in one's place, and in whose place one decides.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::Nothing;
use crate::access::AccessError;
use crate::access::stand_ins::Asked;
use crate::domain::ids::StandInId;
use crate::domain::people::Person;
use crate::domain::text::visible;
use crate::domain::zone;
use crate::store::access::stand_ins::StandIn;
use crate::web::note::Note;
use crate::web::parts::{Choice, Field};
use crate::web::{AppState, CsrfForm, Failure, Segment, Shell, SignedIn, moment_field};

#[derive(Debug, Template, WebTemplate)]
#[template(path = "session/stand_ins.html")]
pub struct StandInsPage {
    shell: Shell,
    mine: Vec<Line>,
    for_others: Vec<Line>,
    /// Nobody may be named, so there is no form.
    nobody: bool,
    email: Choice,
    from: Field,
    until: Field,
    note: Field,
    zone: String,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Line {
    pub id: String,
    /// Who stands in, or for whom.
    pub who: String,
    pub from: String,
    pub until: String,
    pub has_begun: bool,
    pub note: String,
}

/// The form, as typed.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Typed {
    #[serde(default)]
    email: String,
    from: String,
    until: String,
    #[serde(default)]
    note: String,
}

impl StandInsPage {
    async fn load(app: &AppState, shell: Shell, person: &Person, typed: &Typed) -> Result<Self, Failure> {
        let now = app.clock.now();
        let all = app.access.list_stand_ins_of(person).await?;
        let picture = app.access.picture(None).await?;
        let possible = picture.possible_stand_ins(person.account);
        let line = |one: &StandIn, who: &str| Line {
            id: one.id.to_string(),
            who: visible(who),
            from: moment_field::words(one.from, &person.zone),
            until: moment_field::words(one.until, &person.zone),
            has_begun: one.from <= now,
            note: visible(&one.note),
        };
        let mine = all.iter().filter(|one| one.for_account == person.account);
        let others = all.iter().filter(|one| one.by_account == person.account);
        let names = possible.iter().map(|one| (one.email.clone(), visible(&format!("{} ({})", one.name, one.email))));
        let nothing = [(String::new(), "Choose a person".to_owned())];
        Ok(Self {
            shell,
            mine: mine.map(|one| line(one, &one.by_name)).collect(),
            for_others: others.map(|one| line(one, &one.for_name)).collect(),
            nobody: possible.is_empty(),
            email: Choice::new("email", "Who decides in my place", &typed.email, nobody_first(nothing, names)),
            from: Field::moment("from", "From").value(visible(&typed.from)),
            until: Field::moment("until", "Until").value(visible(&typed.until)).hint("At most 90 days"),
            note: Field::text("note", "Note").optional().value(visible(&typed.note)),
            zone: zone::name_of(&person.zone).to_owned(),
        })
    }

    fn wrong(&mut self, field: &str, problem: String) {
        match field {
            "email" => self.email = self.email.clone().error(Some(problem)),
            "from" => self.from = self.from.clone().error(Some(problem)),
            "until" => self.until = self.until.clone().error(Some(problem)),
            _ => self.note = self.note.clone().error(Some(problem)),
        }
    }
}

fn nobody_first(
    nothing: [(String, String); 1],
    names: impl Iterator<Item = (String, String)>,
) -> impl Iterator<Item = (String, String)> {
    nothing.into_iter().chain(names)
}

/// `GET /me/stand-ins`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
) -> Result<StandInsPage, Failure> {
    let now = app.clock.now();
    let typed = Typed {
        from: moment_field::typed(now, &person.zone),
        until: moment_field::typed(now + SignedDuration::from_hours(24 * 7), &person.zone),
        ..Typed::default()
    };
    StandInsPage::load(&app, shell, &person, &typed).await
}

/// `POST /me/stand-ins`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
    form: CsrfForm<Typed>,
) -> Result<Response, Failure> {
    let typed = form.read();
    let wrong = match read(&typed, &person.zone) {
        Ok(asked) => match app.access.name_stand_in(&person, &asked).await {
            Ok(_) => return Ok(Note::StandInNamed.at("/me/stand-ins", app.cookies())),
            Err(AccessError::BadField { field, problem }) => vec![(field, problem)],
            Err(other) => return Err(other.into()),
        },
        Err(wrong) => wrong,
    };
    let mut page = StandInsPage::load(&app, shell, &person, &typed).await?;
    for (field, problem) in wrong {
        page.wrong(field, problem);
    }
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

/// What was typed, or what is wrong with it, field by field.
fn read(typed: &Typed, zone: &TimeZone) -> Result<Asked, Vec<(&'static str, String)>> {
    let mut wrong = Vec::new();
    let mut time = |field, text: &str| match moment_field::parse(text, zone) {
        Ok(Some(at)) => Some(at),
        Ok(None) => {
            wrong.push((field, "Give a day and time.".to_owned()));
            None
        }
        Err(problem) => {
            wrong.push((field, problem));
            None
        }
    };
    match (time("from", &typed.from), time("until", &typed.until)) {
        (Some(from), Some(until)) => Ok(Asked { email: typed.email.clone(), from, until, note: typed.note.clone() }),
        _ => Err(wrong),
    }
}

/// `POST /me/stand-ins/{id}/end`.
///
/// # Errors
/// 404 for one that is not one's own, or over (S-31).
pub async fn end(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(StandInId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.access.end_stand_in(&person, id, false).await?;
    Ok(Note::StandInEnded.at("/me/stand-ins", app.cookies()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::display::assert_inert;

    #[test]
    fn no_name_or_note_becomes_markup() {
        let hostile = "<img src=x onerror=alert(1)>\"'<script>";
        let line = Line {
            id: "1".into(),
            who: hostile.into(),
            from: hostile.into(),
            until: hostile.into(),
            has_begun: true,
            note: hostile.into(),
        };
        for (count, nobody) in [(0, true), (1, false), (90, false)] {
            let page = StandInsPage {
                shell: Shell::bare("/me/stand-ins"),
                mine: vec![line.clone(); count],
                for_others: vec![line.clone(); count],
                nobody,
                email: Choice::new("email", "Who", hostile, [(hostile.to_owned(), hostile.to_owned())])
                    .error(Some(hostile.into())),
                from: Field::moment("from", "From").value(hostile),
                until: Field::moment("until", "Until").error(Some(hostile.into())),
                note: Field::text("note", "Note").value(hostile),
                zone: hostile.into(),
            };
            assert_inert("stand-ins", &page.render().unwrap());
        }
    }

    #[test]
    fn every_time_that_is_none_is_told_at_its_field() {
        let typed = Typed { from: "soon".into(), until: String::new(), ..Typed::default() };
        let wrong: Vec<_> = read(&typed, &TimeZone::UTC).unwrap_err().into_iter().map(|(field, _)| field).collect();
        assert_eq!(wrong, ["from", "until"]);
    }
}
