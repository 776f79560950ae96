//! What one may decide: in a sentence for `/me`, and on a page of its own by grants and gates. The same as an admin is shown
//! about a person, from the same picture.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use jiff::Timestamp;

use crate::access::picture::Picture;
use crate::access::right::Rights;
use crate::domain::access::Capability;
use crate::domain::ids::Gate;
use crate::domain::people::Person;
use crate::domain::text::visible;
use crate::store::access::grants::{Grant, To};
use crate::store::access::marks::Mark;
use crate::store::access::past::PersonThen;
use crate::store::access::rights::list_admins;
use crate::store::access::stand_ins::StandIn;
use crate::web::admin::asking_view::{GateLine, find_person};
use crate::web::admin::overview::{in_words, lets};
use crate::web::approver::who_may::{ADMINS, whom_to_ask};
use crate::web::display::count;
use crate::web::parts::Moment;
use crate::web::{AppState, Failure, Shell, SignedIn};

/// What somebody may decide, in a sentence or two.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    pub sentence: String,
    /// Whom to ask for more; absent for who may decide something.
    pub ask: Option<String>,
}

impl Summary {
    /// # Errors
    /// 503 when the database does not answer.
    pub async fn read(app: &AppState, person: &Person) -> Result<Self, Failure> {
        if person.must_change_password {
            return Ok(Self {
                sentence: "Nothing before you have chosen a password of your own.".to_owned(),
                ask: None,
            });
        }
        let mut conn = app.database.pages.acquire().await?;
        let rights = match person.roles.may_decide() {
            true => Some(app.access.list_rights(&mut conn, person.account).await?),
            false => None,
        };
        let ask = match &rights {
            Some(rights) if !rights.are_nothing() => None,
            _ => Some(whom_to_ask(&list_admins(&mut conn, ADMINS).await?)),
        };
        Ok(Self { sentence: sentence(rights.as_ref()), ask })
    }
}

/// `rights`: of an approver.
fn sentence(rights: Option<&Rights>) -> String {
    let Some(rights) = rights else { return "Nothing: only approvers decide, and you are none.".to_owned() };
    if rights.are_nothing() {
        return "Nothing yet: no grant lets you decide a gate.".to_owned();
    }
    let deciding = rights.own().filter(|held| held.capability == Capability::Decide);
    let mut named: Vec<String> = deciding.map(|held| in_words(&held.gates)).collect();
    named.sort();
    named.dedup();
    let own = match &named[..] {
        [] => None,
        _ if rights.are_everything() => Some("every gate".to_owned()),
        few if few.len() <= 3 => Some(few.join("; ")),
        many => Some(format!("what {} name", count(many.len() as u64, "grant", "grants"))),
    };
    let mut lenders: Vec<String> = rights.lenders().map(|lender| visible(&lender.name)).collect();
    lenders.sort();
    lenders.dedup();
    let theirs = (!lenders.is_empty()).then(|| format!("what {} may, as their stand-in", lenders.join(", ")));
    let said: Vec<String> = own.into_iter().chain(theirs).collect();
    let mut sentence = said.join("; also ");
    if let Some(first) = sentence.get(..1).map(str::to_uppercase) {
        sentence.replace_range(..1, &first);
    }
    sentence + "."
}

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "session/my_access.html")]
pub struct MyAccessPage {
    shell: Shell,
    summary: Summary,
    grants: Vec<GrantLine>,
    stand_ins: Vec<StandInLine>,
    gates: Vec<GateRow>,
    marks: Vec<MarkLine>,
}

/// A grant that one holds.
#[derive(Debug, Clone)]
struct GrantLine {
    lets: &'static str,
    gates: String,
    /// The group by which one holds it.
    group: Option<String>,
    fits: usize,
    since: Moment,
    note: String,
}

/// Somebody in whose place one decides.
#[derive(Debug, Clone)]
struct StandInLine {
    lender: String,
    until: Moment,
    /// Whether any gate comes of it.
    is_of_use: bool,
}

/// A gate, and whether deciding it asks for fresh proof.
#[derive(Debug, Clone)]
struct GateRow {
    line: GateLine,
    asks_for_proof: bool,
}

/// A mark on some of the gates.
#[derive(Debug, Clone)]
struct MarkLine {
    gates: String,
    note: String,
}

impl GrantLine {
    fn of(picture: &Picture, grant: &Grant, now: Timestamp) -> Self {
        Self {
            lets: lets(grant.capability),
            gates: in_words(&grant.gates),
            group: matches!(grant.to, To::Group(_)).then(|| visible(&grant.to_name)),
            fits: picture.fitting(&grant.gates).len(),
            since: Moment::new(grant.from, now),
            note: visible(&grant.note),
        }
    }
}

impl MyAccessPage {
    fn of(
        (shell, summary): (Shell, Summary),
        (picture, me): (&Picture, &PersonThen),
        (marks, uses): (&[Mark], &[crate::store::access::past::Use]),
        now: Timestamp,
    ) -> Self {
        let mine = picture.gates_of(me);
        let touches = |mark: &&Mark| mine.iter().any(|(gate, _)| picture.may_fit(&mark.gates, gate));
        let marks: Vec<&Mark> = marks.iter().filter(touches).collect();
        let asks = |gate: &Gate| marks.iter().any(|mark| picture.may_fit(&mark.gates, gate));
        let row = |(line, (gate, _)): (GateLine, &(&Gate, _))| GateRow { line, asks_for_proof: asks(gate) };
        let is_of_use = |one: &StandIn| {
            mine.iter().any(|(_, ways)| ways.iter().any(|via| via.stand_in.is_some_and(|it| it.id == one.id)))
        };
        let stand_in = |one: &StandIn| StandInLine {
            lender: visible(&one.for_name),
            until: Moment::new(one.until, now),
            is_of_use: is_of_use(one),
        };
        Self {
            shell,
            summary,
            grants: picture.held_by(me.account).map(|grant| GrantLine::of(picture, grant, now)).collect(),
            stand_ins: picture.stand_ins.iter().filter(|one| one.by_account == me.account).map(stand_in).collect(),
            gates: GateLine::list(&mine, uses, now).into_iter().zip(&mine).map(row).collect(),
            marks: marks
                .iter()
                .map(|mark| MarkLine { gates: in_words(&mark.gates), note: visible(&mark.note) })
                .collect(),
        }
    }
}

/// `GET /me/access`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
) -> Result<MyAccessPage, Failure> {
    let now = app.clock.now();
    let summary = Summary::read(&app, &person).await?;
    let picture = app.access.picture(None).await?;
    let marks = app.access.list_marks().await?;
    let uses = app.access.list_uses(person.account, picture.at).await?;
    let me = find_person(&picture, Some(person.account)).ok_or_else(Failure::not_found)?;
    Ok(MyAccessPage::of((shell, summary), (&picture, me), (&marks, &uses), now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::display::assert_inert;

    #[test]
    fn no_name_or_note_becomes_markup() {
        let hostile = || "<img src=x onerror=alert(1)>\"'<script>".repeat(3);
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let at = Moment::new(now, now);
        let grant = GrantLine {
            lets: "decide",
            gates: hostile(),
            group: Some(hostile()),
            fits: 7,
            since: at.clone(),
            note: hostile(),
        };
        let line = GateLine { gate: hostile(), ways: vec![hostile()], last: Some(at.clone()), times: 3 };
        for n in [0, 1, 300] {
            let page = MyAccessPage {
                shell: Shell::bare("/me/access"),
                summary: Summary { sentence: hostile(), ask: Some(hostile()) },
                grants: vec![grant.clone(); n],
                stand_ins: vec![StandInLine { lender: hostile(), until: at.clone(), is_of_use: n == 1 }; n],
                gates: vec![GateRow { line: line.clone(), asks_for_proof: true }; n],
                marks: vec![MarkLine { gates: hostile(), note: hostile() }; n],
            };
            assert_inert("my access", &page.render().unwrap());
        }
    }

    #[test]
    fn who_is_no_approver_is_told_so() {
        assert!(sentence(None).contains("only approvers decide"));
        assert!(sentence(Some(&Rights::default())).contains("no grant lets you"));
    }
}
