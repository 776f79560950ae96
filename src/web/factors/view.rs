//! The page of one's second factors, and the one that shows recovery codes, once.

use askama::Template;
use askama_web::WebTemplate;
use secrecy::{ExposeSecret as _, SecretString};

use super::Typed;
use crate::accounts::factors::{FEW, FactorError, FactorsView, PasskeyView};
use crate::domain::people::Person;
use crate::domain::text::visible;
use crate::web::error::Failure;
use crate::web::parts::{Field, Moment};
use crate::web::shell::Shell;
use crate::web::state::AppState;
use crate::web::step_up;

#[derive(Debug, Template, WebTemplate)]
#[template(path = "session/factors.html")]
pub struct FactorsPage {
    pub shell: Shell,
    /// Why an admin is sent here.
    pub lacking: Option<&'static str>,
    /// Where to prove first who one is; none: it was done a moment ago.
    pub prove: Option<String>,
    pub passkeys: Vec<PasskeyRow>,
    /// Whether the portal's address can have passkeys.
    pub takes_passkeys: bool,
    pub name: Field,
    pub totp: Option<TotpRow>,
    pub codes: Option<usize>,
    pub few_codes: bool,
    pub any: bool,
    pub error: Option<String>,
}

/// One passkey.
#[derive(Debug)]
pub struct PasskeyRow {
    pub id: String,
    pub name: String,
    /// What stands in the field for another name.
    pub typed: String,
    /// What is wrong with that.
    pub problem: Option<String>,
    pub added: Moment,
    pub used: Option<Moment>,
    pub suspect: Option<Moment>,
}

/// The authenticator app.
#[derive(Debug)]
pub struct TotpRow {
    pub added: Moment,
    pub used: Option<Moment>,
}

impl FactorsPage {
    /// # Errors
    /// 503 when the database does not answer.
    pub async fn load(app: &AppState, shell: Shell, person: &Person) -> Result<Self, Failure> {
        let factors = app.accounts.factors(person).await?;
        let now = app.clock.now();
        let mut page = Self::of(shell, &factors, now);
        page.takes_passkeys = app.accounts.takes_passkeys();
        let is_proven = person.is_fresh(now) && (person.factor.is_some() || !factors.any());
        page.prove = (!is_proven).then(|| step_up::first("/me/factors"));
        page.lacking = match (person.lacks_factor, factors.any()) {
            (false, _) => None,
            (true, false) => Some(
                "Admins need a second factor. Until you have added one, everything that only admins may do is closed to \
                 you; your other roles are not affected.",
            ),
            (true, true) => Some(
                "Admins need a second factor, and this session was begun without yours. Prove that it is you to go on as \
                 an admin.",
            ),
        };
        Ok(page)
    }

    fn of(shell: Shell, factors: &FactorsView, now: jiff::Timestamp) -> Self {
        let row = |passkey: &PasskeyView| PasskeyRow {
            id: passkey.id.to_string(),
            name: visible(&passkey.name),
            typed: passkey.name.clone(),
            problem: None,
            added: Moment::new(passkey.created_at, now),
            used: passkey.last_used_at.map(|at| Moment::new(at, now)),
            suspect: passkey.suspect_at.map(|at| Moment::new(at, now)),
        };
        Self {
            shell,
            lacking: None,
            prove: None,
            passkeys: factors.passkeys.iter().map(row).collect(),
            takes_passkeys: true,
            name: Field::text("name", "Name of the new passkey")
                .hint("To tell it from others: this laptop, key on my ring."),
            totp: factors.totp.as_ref().map(|totp| TotpRow {
                added: Moment::new(totp.created_at, now),
                used: totp.last_used_at.map(|at| Moment::new(at, now)),
            }),
            codes: factors.any().then_some(factors.recovery),
            few_codes: factors.recovery <= FEW,
            any: factors.any(),
            error: None,
        }
    }

    /// Says why nothing changed, with the name that was typed where it was typed. What is wrong with the name is said there too.
    pub(super) fn refuse_name(&mut self, error: &FactorError, typed: &Typed) {
        let is_about_name = matches!(error, FactorError::BadName(_));
        let problem = is_about_name.then(|| error.to_string());
        if !is_about_name {
            self.refuse(error);
        }
        let Some(id) = typed.passkey else {
            let kept = self.name.clone().value(&typed.name).focused(is_about_name);
            self.name = kept.error(problem);
            return;
        };
        let id = id.to_string();
        if let Some(row) = self.passkeys.iter_mut().find(|row| row.id == id) {
            (row.typed, row.problem) = (typed.name.clone(), problem);
        }
    }

    /// Says why nothing changed.
    pub fn refuse(&mut self, error: &FactorError) {
        self.error = Some(error.to_string());
    }
}

/// Recovery codes, this once.
#[derive(Template, WebTemplate)]
#[template(path = "session/codes.html")]
pub struct CodesPage {
    shell: Shell,
    codes: Vec<String>,
    /// They came with the first factor, which ended so many other sessions.
    with_first: Option<usize>,
}

impl CodesPage {
    #[must_use]
    pub fn new(shell: Shell, codes: &[SecretString], with_first: Option<usize>) -> Self {
        Self { shell, codes: codes.iter().map(|code| code.expose_secret().to_owned()).collect(), with_first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::PasskeyId;
    use crate::store::factors::Totp;
    use crate::web::approver::samples::{HOSTILE, now};
    use crate::web::display::assert_inert;

    fn samples() -> Vec<(&'static str, FactorsView)> {
        let passkey = |name: &str, suspect| PasskeyView {
            id: PasskeyId(uuid::Uuid::from_u128(5)),
            name: name.to_owned(),
            created_at: now(),
            last_used_at: Some(now()),
            suspect_at: suspect,
        };
        let totp = Some(Totp { created_at: now(), last_used_at: None });
        vec![
            ("none", FactorsView { totp: None, passkeys: vec![], recovery: 0 }),
            ("app", FactorsView { totp: totp.clone(), passkeys: vec![], recovery: 10 }),
            (
                "hostile",
                FactorsView {
                    totp,
                    passkeys: vec![passkey(HOSTILE, None), passkey(HOSTILE, Some(now()))],
                    recovery: 1,
                },
            ),
        ]
    }

    #[test]
    fn no_name_of_a_passkey_becomes_markup() {
        for (name, factors) in samples() {
            for prove in [None, Some(step_up::first("/me/factors"))] {
                let mut page = FactorsPage::of(Shell::bare("/me/factors"), &factors, now());
                page.prove = prove;
                page.error = Some(HOSTILE.to_owned());
                assert_inert(name, &page.render().unwrap().replace(['\u{202e}', '\u{0}', '\u{1b}'], ""));
            }
        }
    }

    #[test]
    fn few_codes_are_pointed_out() {
        for (name, factors) in samples() {
            let html = FactorsPage::of(Shell::bare("/me/factors"), &factors, now()).render().unwrap();
            assert_eq!(html.contains("Make new ones"), name == "hostile", "{name}");
        }
    }
}
