//! Many people invited at once, from a CSV file. Everything in it is looked at before anything is done; one line that is
//! wrong and nobody is invited. Whoever has an account already is left as they are.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Connection as _;

use super::admin::{AdminError, hold_admin};
use super::identity::{self, Email};
use super::invitations::{Invited, NewPerson};
use super::records::StillToTell;
use super::{Accounts, By, Unavailable};
use crate::domain::people::{Role, Roles};
use crate::domain::text::visible;
use crate::store::directory;

/// The most people in one file.
pub const MOST: usize = 500;

/// One line of the file, read and found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file; the first line is 1.
    pub number: u64,
    pub email: String,
    pub name: String,
    pub roles: Roles,
    /// Has an account already, and is left as they are.
    pub is_known: bool,
}

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub number: u64,
    pub problem: String,
}

/// What a file would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub lines: Vec<Line>,
    /// Not empty: nothing of the file will be done.
    pub mistakes: Vec<Mistake>,
}

impl Plan {
    /// How many would be invited.
    #[must_use]
    pub fn new_people(&self) -> usize {
        self.lines.iter().filter(|line| !line.is_known).count()
    }
}

/// What came of an import.
#[derive(Debug)]
pub enum Imported {
    /// Everybody new is invited; each with their link.
    Done(Vec<(Line, Invited)>),
    /// Nobody is.
    Refused(Plan),
}

/// Reads a file without asking anybody: what each line says, and what is wrong with it.
#[must_use]
pub fn read(text: &str) -> Plan {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut plan = Plan::default();
    let columns = match reader.headers().map(Columns::of) {
        Ok(Ok(columns)) => columns,
        Ok(Err(problem)) => return Plan { mistakes: vec![Mistake { number: 1, problem }], ..plan },
        Err(error) => return Plan { mistakes: vec![unreadable(text, &error)], ..plan },
    };
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for record in reader.records() {
        match record {
            Err(error) => plan.mistakes.push(unreadable(text, &error)),
            Ok(record) => {
                let number = record.position().map_or(0, |at| line_of(text, at));
                match columns.read(&record, number, &mut seen) {
                    Ok(line) => plan.lines.push(line),
                    Err(problem) => plan.mistakes.push(Mistake { number, problem }),
                }
            }
        }
        if plan.lines.len() + plan.mistakes.len() > MOST {
            let problem = format!("A file may hold {MOST} people. Divide it.");
            return Plan { mistakes: vec![Mistake { number: 0, problem }], ..Plan::default() };
        }
    }
    if plan.lines.is_empty() && plan.mistakes.is_empty() {
        plan.mistakes.push(Mistake { number: 2, problem: "There is nobody in the file.".to_owned() });
    }
    plan
}

/// The line of the file that a record begins in. The library counts from where the one before it ended, which is before
/// the second half of a CRLF, and before lines that are empty.
fn line_of(text: &str, at: &csv::Position) -> u64 {
    let end = usize::try_from(at.byte()).unwrap_or(usize::MAX).min(text.len());
    let (before, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let skipped = rest.bytes().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    let breaks = before.bytes().chain(skipped).filter(|byte| *byte == b'\n').count();
    1 + u64::try_from(breaks).unwrap_or(u64::MAX)
}

fn unreadable(text: &str, error: &csv::Error) -> Mistake {
    let number = error.position().map_or(1, |at| line_of(text, at));
    Mistake { number, problem: "This line cannot be read as CSV (RFC 4180) in UTF-8.".to_owned() }
}

/// Where in a line each thing stands.
struct Columns {
    email: usize,
    name: usize,
    roles: usize,
}

impl Columns {
    fn of(headers: &csv::StringRecord) -> Result<Self, String> {
        let known = ["email", "name", "roles"];
        let names: Vec<String> = headers.iter().map(str::to_lowercase).collect();
        if let Some(other) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("The column “{}” is not known. The first line is: email,name,roles", visible(other)));
        }
        let place = |column: &str| {
            let mut places = names.iter().enumerate().filter(|(_, name)| *name == column).map(|(at, _)| at);
            match (places.next(), places.next()) {
                (Some(at), None) => Ok(at),
                (None, _) => Err(format!("The column “{column}” is missing. The first line is: email,name,roles")),
                (Some(_), Some(_)) => Err(format!("The column “{column}” is there twice.")),
            }
        };
        Ok(Self { email: place("email")?, name: place("name")?, roles: place("roles")? })
    }

    fn read(&self, record: &csv::StringRecord, number: u64, seen: &mut BTreeMap<String, u64>) -> Result<Line, String> {
        if record.len() != 3 {
            return Err(format!("This line has {} fields instead of 3: email, name, roles.", record.len()));
        }
        let field = |at: usize| record.get(at).unwrap_or_default();
        let email = Email::parse(field(self.email))?;
        let name = identity::parse_name(field(self.name))?;
        let roles = read_roles(field(self.roles))?;
        if let Some(earlier) = seen.insert(email.key().as_str().to_owned(), number) {
            return Err(format!("This e-mail address is in line {earlier} too."));
        }
        Ok(Line { number, email: email.as_str().to_owned(), name, roles, is_known: false })
    }
}

/// Roles by name, with blanks, semicolons or plus signs in between. None at all is a mistake: it would be a person who can
/// look at nothing.
fn read_roles(text: &str) -> Result<Roles, String> {
    let names = text.split([' ', ';', '+']).filter(|name| !name.is_empty());
    let roles: Result<Roles, String> = names
        .map(|name| {
            Role::from_name(&name.to_lowercase()).ok_or_else(|| {
                format!(
                    "“{}” is no role. Roles are approver, auditor and admin, with a blank in between.",
                    visible(name)
                )
            })
        })
        .collect();
    match roles {
        Ok(roles) if roles == Roles::default() => Err("Give at least one role: approver, auditor, admin.".to_owned()),
        roles => roles,
    }
}

impl Accounts {
    /// What a file would do at this moment. Nothing is done.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn plan_import(&self, text: &str) -> Result<Plan, Unavailable> {
        let mut plan = read(text);
        let mut conn = self.0.database.pages.acquire().await?;
        mark_known(&mut conn, &mut plan).await?;
        Ok(plan)
    }

    /// Invites everybody in the file who has no account, all of them or none.
    ///
    /// # Errors
    /// [`AdminError`]; nobody is invited.
    pub async fn import(&self, by: &By, text: &str) -> Result<Imported, AdminError> {
        let mut plan = read(text);
        if !plan.mistakes.is_empty() {
            return Ok(Imported::Refused(plan));
        }
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        // Not all admins: that would keep them from deciding for as long as this takes.
        hold_admin(&mut tx, by).await?;
        mark_known(&mut tx, &mut plan).await?;
        let (mut invited, mut told) = (Vec::new(), StillToTell::new());
        for line in plan.lines.iter().filter(|line| !line.is_known) {
            let new = NewPerson { email: line.email.clone(), name: line.name.clone(), roles: line.roles };
            match Box::pin(self.invite_within(&mut tx, by, new, &mut told)).await {
                Ok(done) => invited.push((line.clone(), done)),
                // Somebody else made the account at the same moment.
                Err(error @ (AdminError::EmailTaken | AdminError::BadField { .. })) => {
                    plan.mistakes.push(Mistake { number: line.number, problem: error.to_string() });
                    return Ok(Imported::Refused(plan));
                }
                Err(error) => return Err(error),
            }
        }
        self.record_all(&mut tx, by, told).await?;
        tx.commit().await?;
        Ok(Imported::Done(invited))
    }
}

async fn mark_known(conn: &mut sqlx::PgConnection, plan: &mut Plan) -> Result<(), sqlx::Error> {
    let key = |line: &Line| identity::EmailKey::of(&line.email).as_str().to_owned();
    let keys: Vec<String> = plan.lines.iter().map(key).collect();
    let taken: BTreeSet<String> = directory::list_taken(conn, &keys).await?.into_iter().collect();
    plan.lines.iter_mut().for_each(|line| line.is_known = taken.contains(&key(line)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<(u64, String)> {
        read(text).mistakes.into_iter().map(|mistake| (mistake.number, mistake.problem)).collect()
    }

    #[test]
    fn a_good_file_is_read_whatever_its_order_and_line_ends() {
        let plan = read(
            "\u{feff}Name,EMAIL,roles\r\n\"Ruiz, Ana\", ana@example.org ,approver auditor\r\nBen,ben@example.org,Admin\r\n",
        );
        assert_eq!(plan.mistakes, []);
        assert_eq!(plan.lines.len(), 2);
        assert_eq!((plan.lines[0].number, plan.lines[0].name.as_str()), (2, "Ruiz, Ana"));
        assert!(plan.lines[0].roles.approver && plan.lines[0].roles.auditor && !plan.lines[0].roles.admin);
        assert_eq!((plan.lines[1].number, plan.lines[1].email.as_str()), (3, "ben@example.org"));
    }

    #[test]
    fn every_line_that_is_wrong_is_named_with_its_number_and_why() {
        let text = "email,name,roles\n\
            a@x.org,A,approver\n\
            b@x.org,B,boss\n\
            c@x.org,C\n\
            not an address,D,approver\n\
            A@X.org,A again,approver\n\
            f@x.org,,approver\n\
            g@x.org,G,\n";
        let mistakes = mistakes(text);
        assert_eq!(mistakes.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8]);
        assert!(mistakes[0].1.contains("“boss” is no role"), "{mistakes:?}");
        assert!(mistakes[1].1.contains("2 fields instead of 3"), "{mistakes:?}");
        assert!(mistakes[3].1.contains("line 2 too"), "{mistakes:?}");
        assert!(mistakes[5].1.contains("at least one role"), "{mistakes:?}");
    }

    #[test]
    fn a_line_number_is_the_files_own_also_after_a_field_with_line_breaks() {
        let mistakes = mistakes("email,name,roles\na@x.org,\"A\",approver\n\nb@x.org,B,boss\n");
        assert_eq!(mistakes[0].0, 4, "{mistakes:?}");
    }

    #[test]
    fn a_header_that_does_not_fit_is_told() {
        assert!(mistakes("a@x.org,A,approver\n")[0].1.contains("“a@x.org” is not known"));
        assert!(mistakes("email,name\n")[0].1.contains("“roles” is missing"));
        assert!(mistakes("email,name,roles,email\n")[0].1.contains("twice"));
        assert!(mistakes("email,name,roles\n")[0].1.contains("nobody"));
        assert!(mistakes("")[0].1.contains("missing"));
    }

    #[test]
    fn too_many_are_told_to_be_divided() {
        let many: String = (0..=MOST).map(|n| format!("p{n}@x.org,P,approver\n")).collect();
        assert!(mistakes(&format!("email,name,roles\n{many}"))[0].1.contains("Divide it"));
    }
}
