//! The access review: everybody, each grant they hold, and when they last used it. For people who ask once a quarter whether
//! somebody still needs what they have.

use jiff::Timestamp;

use super::Access;
use super::picture::{Besides, Picture};
use crate::accounts::Unavailable;
use crate::domain::access::Capability;
use crate::store::access::grants::{Grant, To};
use crate::store::access::past::{self, PersonThen, Use};

/// One person and one grant they held. Without a grant: a person who could decide nothing.
#[derive(Debug, Clone)]
pub struct Line {
    pub person: PersonThen,
    pub grant: Option<Grant>,
    /// The group by which they held it.
    pub group: Option<String>,
    /// How many gates it fitted.
    pub gates: usize,
    /// At how many of them a mail decided, and at how many the portal rejected what nobody decided.
    pub mailed: usize,
    pub unattended: usize,
    pub last_used: Option<Timestamp>,
    pub times_used: i64,
}

impl Access {
    /// Everybody × every grant they held at a moment; absent, now.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn review(&self, at: Option<Timestamp>) -> Result<(Picture, Vec<Line>), Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let picture = Picture::load(&mut conn, at.unwrap_or_else(|| self.0.clock.now())).await?;
        let mut lines = Vec::new();
        for person in &picture.people {
            let held: Vec<&Grant> = picture.held_by(person.account).collect();
            if held.is_empty() {
                lines.push(Line::without(person));
                continue;
            }
            let uses = past::list_uses(&mut conn, person.account, picture.at).await?;
            lines.extend(held.into_iter().map(|grant| Line::of(&picture, person, grant, &uses)));
        }
        Ok((picture, lines))
    }
}

impl Line {
    fn without(person: &PersonThen) -> Self {
        Self {
            person: person.clone(),
            grant: None,
            group: None,
            gates: 0,
            mailed: 0,
            unattended: 0,
            last_used: None,
            times_used: 0,
        }
    }

    fn of(picture: &Picture, person: &PersonThen, grant: &Grant, uses: &[Use]) -> Self {
        // What somebody decided in another's place used the grant that lets them stand in, not their own.
        let stood_in = grant.capability == Capability::StandIn;
        let own: Vec<&Use> = uses
            .iter()
            .filter(|it| it.for_account.is_some() == stood_in && picture.fits(&grant.gates, &it.gate))
            .collect();
        let fitting = picture.fitting(&grant.gates);
        let besides: Vec<Besides> = fitting.iter().map(|gate| picture.besides(gate)).collect();
        Self {
            person: person.clone(),
            grant: Some(grant.clone()),
            group: matches!(grant.to, To::Group(_)).then(|| grant.to_name.clone()),
            gates: fitting.len(),
            mailed: besides.iter().filter(|it| it.mail.is_some()).count(),
            unattended: besides.iter().filter(|it| it.unattended.is_some()).count(),
            last_used: own.iter().map(|it| it.last).max(),
            times_used: own.iter().map(|it| it.times).sum(),
        }
    }
}
