//! Giving a grant: a form, what it would fit now, and only then the button that gives it.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::admin;
use super::overview::{in_words, lets};
use super::pattern::{self, Hidden, Preview};
use crate::access::grants::{Asked, Checked, Mistakes, Whom};
use crate::access::{Access, AccessError};
use crate::domain::access::{Capability, GateFields};
use crate::domain::ids::AccountId;
use crate::domain::text::visible;
use crate::store::access::grants::To;
use crate::store::access::groups::Listed;
use crate::web::note::Note;
use crate::web::parts::{Choice, Field};
use crate::web::{AppState, CsrfForm, Failure, Query, Shell, SignedIn};

/// The form, as it is typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    pub lets: String,
    pub email: String,
    pub group: String,
    pub source: String,
    pub pipeline: String,
    pub stage: String,
    pub action: String,
    pub tag_key: String,
    pub tag_value: String,
    pub note: String,
    /// `1` once the person wants to know what it fits.
    pub look: String,
}

/// The form that gives it: all its fields, or it is not ours (S-34).
#[derive(Debug, Deserialize)]
pub struct Posted {
    lets: String,
    email: String,
    group: String,
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    tag_key: String,
    tag_value: String,
    note: String,
}

impl From<Posted> for Typed {
    fn from(it: Posted) -> Self {
        let Posted { lets, email, group, source, pipeline, stage, action, tag_key, tag_value, note } = it;
        let look = String::new();
        Self { lets, email, group, source, pipeline, stage, action, tag_key, tag_value, note, look }
    }
}

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/give.html")]
pub struct GivePage {
    shell: Shell,
    lets: Choice,
    whom: Vec<Field>,
    group: Choice,
    patterns: Vec<Field>,
    tags: Vec<Field>,
    note: Field,
    /// What was checked.
    preview: Option<Preview>,
    problem: Option<String>,
}

impl Typed {
    fn gates(&self) -> GateFields {
        GateFields {
            source: self.source.clone(),
            pipeline: self.pipeline.clone(),
            stage: self.stage.clone(),
            action: self.action.clone(),
            tag_key: self.tag_key.clone(),
            tag_value: self.tag_value.clone(),
        }
    }

    /// What is asked for, or why that cannot be said.
    fn asked(&self) -> Result<Asked, Mistakes> {
        let wrong = |field, problem: &str| Err(Mistakes(vec![(field, problem.to_owned())]));
        let whom = match (self.email.trim(), self.group.trim()) {
            ("", "") => return wrong("email", "Give it to a person or to a group."),
            (email, "") => Whom::Email(email.to_owned()),
            ("", group) => Whom::Group(group.to_owned()),
            _ => return wrong("group", "Give it to a person or to a group, not to both."),
        };
        let Some(capability) = Capability::from_name(if self.lets.is_empty() { "decide" } else { &self.lets }) else {
            return wrong("lets", "Choose what it lets them do.");
        };
        Ok(Asked { capability, whom, gates: self.gates(), note: self.note.clone() })
    }

    fn hidden(&self) -> Hidden {
        let whom = [("lets", &self.lets), ("email", &self.email), ("group", &self.group)];
        let whom = whom.map(|(name, value)| (name, value.clone()));
        whom.into_iter().chain(pattern::hidden(self.gates(), &self.note)).collect()
    }
}

impl GivePage {
    fn new(shell: Shell, typed: &Typed, mistakes: &Mistakes, groups: &[Listed]) -> Self {
        let (patterns, tags) = pattern::fields(&typed.gates(), mistakes);
        let capabilities = Capability::ALL.map(|one| (one.name().to_owned(), lets(one).to_owned()));
        let names = groups.iter().map(|it| (it.group.name.clone(), visible(&it.group.name)));
        let nobody = [(String::new(), "No group".to_owned())];
        Self {
            shell,
            lets: Choice::new("lets", "It lets them", &typed.lets, capabilities).error(mistakes.at("lets")),
            whom: vec![
                Field::text("email", "Person")
                    .optional()
                    .value(visible(&typed.email))
                    .hint("An approver's e-mail address, or leave it empty and choose a group")
                    .error(mistakes.at("email")),
            ],
            group: Choice::new("group", "Group", &typed.group, nobody.into_iter().chain(names))
                .error(mistakes.at("group")),
            patterns,
            tags,
            note: pattern::note(&typed.note, mistakes).hint("Why, for whoever reads it later"),
            preview: None,
            problem: None,
        }
    }
}

/// `GET /admin/access/grants/new`: the form, and what it would fit.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn new(
    State(app): State<AppState>,
    Query(typed): Query<Typed>,
    SignedIn(person): SignedIn,
    shell: Shell,
) -> Result<Response, Failure> {
    let groups = app.access.list_groups().await?;
    if typed.look != "1" {
        return Ok(GivePage::new(shell, &typed, &Mistakes::default(), &groups).into_response());
    }
    let checked = match typed.asked() {
        Ok(asked) => app.access.check(&asked).await?,
        Err(mistakes) => Err(mistakes),
    };
    let checked = match checked {
        Ok(checked) => checked,
        Err(mistakes) => {
            let page = GivePage::new(shell, &typed, &mistakes, &groups);
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let mut page = GivePage::new(shell, &typed, &Mistakes::default(), &groups);
    page.preview = Some(preview(&app.access, &checked, person.account, typed.hidden()).await?);
    Ok(page.into_response())
}

async fn preview(access: &Access, checked: &Checked, admin: AccountId, hidden: Hidden) -> Result<Preview, Failure> {
    let picture = access.picture(None).await?;
    let may = match checked.capability {
        Capability::Decide => "may decide",
        Capability::StandIn => "may be named as a stand-in at",
    };
    let sentence = format!("{} {may} {}.", visible(&checked.to_name), in_words(&checked.gates));
    let is_own = match checked.to {
        To::Person(account) => account == admin,
        To::Group(group) => picture.is_member(group, admin),
    };
    Ok(Preview { is_own, ..Preview::of(sentence, &checked.gates, &picture, hidden) })
}

/// `POST /admin/access/grants`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
    form: CsrfForm<Posted>,
) -> Result<Response, Failure> {
    let typed = Typed::from(form.read());
    let by = admin(&person)?;
    let given = match typed.asked() {
        Ok(asked) => app.access.give(&by, &asked).await,
        Err(mistakes) => {
            let (field, problem) = mistakes.0.into_iter().next().expect("what is wrong was said");
            Err(AccessError::BadField { field, problem })
        }
    };
    let (status, mistakes, problem) = match given {
        Ok(_) => return Ok(Note::GrantGiven.at("/admin/access", app.cookies())),
        Err(AccessError::BadField { field, problem }) => {
            (StatusCode::UNPROCESSABLE_ENTITY, Mistakes(vec![(field, problem)]), None)
        }
        Err(AccessError::Gone(why)) => (StatusCode::CONFLICT, Mistakes::default(), Some(why.to_owned())),
        Err(other) => return Err(other.into()),
    };
    let groups = app.access.list_groups().await?;
    let mut page = GivePage::new(shell, &typed, &mistakes, &groups);
    page.problem = problem;
    Ok((status, page).into_response())
}
