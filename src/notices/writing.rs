//! Somebody's letter: everything that is due for them by now, in one transaction with putting down that they were told.

use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};

use super::judging::{Fate, Person};
use super::letters::{self, SHOWN, Told};
use super::pushing;
use super::{LEASE, Notices, SPACING, in_short};
use crate::access::right::{Rights, TAGS_LAST};
use crate::access::unattended::{Foretold, Rules};
use crate::approvals::subject::{self, Subject, once_each};
use crate::domain::notices::{Kind, Why};
use crate::domain::zone;
use crate::mail::Letter;
use crate::store::access::{rights, tags};
use crate::store::approvals;
use crate::store::mailed_links::{self, Found};
use crate::store::notices::About;
use crate::store::notices::pending::{self, Pending};
use crate::store::notices::people::{self, Reachable, Turn};

/// How many people's letters are written in one step.
const PEOPLE: i64 = 20;
/// How much one letter takes in; what is beyond comes with the next.
const AT_MOST: i64 = 2000;

/// What becomes of everything that was due for somebody.
#[derive(Default)]
struct Sorted {
    tell: Vec<(Pending, Option<String>)>,
    told: Vec<i64>,
    dropped: Vec<i64>,
    later: Vec<(i64, Timestamp)>,
}

impl Notices {
    pub(super) async fn write_letters(&self) -> sqlx::Result<usize> {
        let parts = &*self.0;
        let now = parts.clock.now();
        let until = now.checked_add(LEASE).unwrap_or(Timestamp::MAX);
        let mut conn = parts.database.pages.acquire().await?;
        let turns = people::take_due(&mut conn, parts.holder, (now, until), PEOPLE).await?;
        for turn in &turns {
            if let Err(error) = self.write_letter(&mut conn, *turn, now).await {
                let why = in_short(&error);
                tracing::warn!(account = %turn.account, why, "a letter could not be written; tried again");
                people::put_off_turn(&mut conn, *turn, now.checked_add(SPACING).unwrap_or(now)).await?;
            }
        }
        Ok(turns.len())
    }

    /// What is in the letter is read and written before the transaction begins, because much of it takes its time; what the
    /// transaction puts down is about exactly that.
    async fn write_letter(&self, conn: &mut PgConnection, turn: Turn, now: Timestamp) -> sqlx::Result<()> {
        let reader = people::list_reachable(conn, Some(turn.account)).await?.pop();
        let (sorted, told, letter) = match &reader {
            Some(reader) => self.prepare(conn, reader, now).await?,
            None => (Sorted::default(), Vec::new(), None),
        };
        let mut tx = conn.begin().await?;
        // Links end with whoever they were made for: none is left behind by a letter that was written meanwhile. The next
        // turn reads them anew.
        if let Some(reader) = &reader
            && !people::hold(&mut tx, reader).await?
        {
            return Ok(());
        }
        if !people::lock_turn(&mut tx, turn).await? {
            return Ok(());
        }
        let mut letter_at = None;
        if let (Some(reader), Some(letter)) = (&reader, &letter) {
            if self.0.outbox.put(&mut tx, (reader.account, &reader.email), letter).await? {
                letter_at = Some(now);
                keep_links(&mut tx, &told).await?;
            }
            let messages = pushing::messages(&told, &zone::find_or_utc(&reader.time_zone), now);
            if self.0.push.put(&mut tx, reader.account, &messages).await? {
                letter_at = Some(now);
            }
        }
        pending::mark_told(&mut tx, turn.account, &sorted.told, now).await?;
        let dropped = reader.is_some().then_some(sorted.dropped.as_slice());
        pending::mark_dropped(&mut tx, turn.account, dropped).await?;
        pending::put_off(&mut tx, turn.account, &sorted.later).await?;
        people::end_turn(&mut tx, turn, (now, letter_at), SPACING).await?;
        tx.commit().await
    }

    /// What becomes of everything that is due for them, and the letter, if there is anything to tell.
    async fn prepare(
        &self,
        conn: &mut PgConnection,
        reader: &Reachable,
        now: Timestamp,
    ) -> sqlx::Result<(Sorted, Vec<Told>, Option<Letter>)> {
        let sorted = sort(conn, reader, now).await?;
        let mut told = look_up(conn, &sorted.tell).await?;
        if told.is_empty() {
            return Ok((sorted, told, None));
        }
        foretell(conn, &mut told, now).await?;
        for one in told.iter_mut().filter(|one| one.kind.asks() && one.why == Why::Decider) {
            if let Subject::Approval(approval) = &one.subject {
                one.mailed = Some(self.0.mailed.make(conn, (reader.account, &reader.email), approval).await?);
            }
        }
        let zone = zone::find_or_utc(&reader.time_zone);
        let letter = letters::write(&told, (&self.0.outbox, &zone, now));
        Ok((sorted, told, Some(letter)))
    }

    /// Mails somebody afresh about what their link no longer decides: once for each link, and to nobody but them. False: it
    /// was asked for before, or they may not decide it any more.
    ///
    /// # Errors
    /// Whatever the database says. Nothing was mailed.
    pub async fn renew(&self, link: &Found) -> sqlx::Result<bool> {
        let now = self.0.clock.now();
        let account = link.person.account;
        let mut conn = self.0.database.pages.acquire().await?;
        let reader = people::list_reachable(&mut conn, Some(account)).await?.pop();
        let approval = approvals::find(&mut conn, link.approval).await?;
        let (Some(reader), Some(approval)) = (reader, approval) else { return Ok(false) };
        let rights = Rights::from(rights::list_held(&mut conn, account, now).await?);
        let known = tags::find(&mut conn, (&approval.gate.source, &approval.gate.pipeline), now - TAGS_LAST).await?;
        let Some(right) = rights.find(&approval.gate, known.as_ref()) else { return Ok(false) };
        let mailed = self.0.mailed.make(&mut conn, (account, &reader.email), &approval).await?;
        let mut told = [Told {
            kind: Kind::Waiting,
            foretold: Foretold::Never,
            why: Why::Decider,
            expires: Some(approval.expires_at),
            subject: Subject::Approval(Box::new(approval)),
            for_whom: right.lent.map(|lender| lender.name),
            group: None,
            mailed: Some(mailed),
        }];
        foretell(&mut conn, &mut told, now).await?;
        let letter = letters::write(&told, (&self.0.outbox, &zone::find_or_utc(&reader.time_zone), now));
        let mut tx = conn.begin().await?;
        if !people::hold(&mut tx, &reader).await? {
            return Ok(false);
        }
        if !mailed_links::mark_renewed(&mut tx, link.id, now).await?
            || !self.0.outbox.put(&mut tx, (account, &reader.email), &letter).await?
        {
            return Ok(false);
        }
        keep_links(&mut tx, &told).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// What the portal does by itself with what is asked about.
async fn foretell(conn: &mut PgConnection, told: &mut [Told], now: Timestamp) -> sqlx::Result<()> {
    let rules = Rules::load(conn, now).await?;
    for one in told.iter_mut().filter(|one| one.kind.asks()) {
        if let Subject::Approval(approval) = &one.subject {
            one.foretold = rules.find_foretold(conn, approval, now).await?;
        }
    }
    Ok(())
}

/// The links of a letter work from the moment it is in the outbox.
async fn keep_links(conn: &mut PgConnection, told: &[Told]) -> sqlx::Result<()> {
    for mailed in told.iter().filter_map(|one| one.mailed.as_ref()) {
        mailed.keep(conn).await?;
    }
    Ok(())
}

async fn sort(conn: &mut PgConnection, reader: &Reachable, now: Timestamp) -> sqlx::Result<Sorted> {
    let all = pending::list(conn, reader.account, now, AT_MOST).await?;
    let rights = Rights::from(rights::list_held(conn, reader.account, now).await?);
    let person = Person { reader, rights: &rights, zone: &zone::find_or_utc(&reader.time_zone), now };
    let mut sorted = Sorted::default();
    for one in all {
        match person.judge(&one) {
            Fate::Drop => sorted.dropped.push(one.notice),
            Fate::Later(at) => sorted.later.push((one.notice, at)),
            Fate::Tell(for_whom) => {
                sorted.told.push(one.notice);
                sorted.tell.push((one, for_whom));
            }
        }
    }
    sorted.tell = once_each(sorted.tell, |(one, _)| match &one.about {
        About::Approval(id) if one.kind.asks() => Some((*id, one.kind)),
        _ => None,
    });
    sorted.tell.sort_by_key(|(one, _)| {
        (one.kind.place(), one.approval.as_ref().map(|approval| approval.expires_at), one.notice)
    });
    Ok(sorted)
}

/// What is shown in the letter in full; of the rest only what kind it is.
async fn look_up(conn: &mut PgConnection, tell: &[(Pending, Option<String>)]) -> sqlx::Result<Vec<Told>> {
    let about: Vec<_> = tell
        .iter()
        .map(|(one, _)| match &one.about {
            About::Approval(id) => subject::About::Approval(*id),
            About::Source(name) => subject::About::Source(name, one.at),
        })
        .collect();
    let found = subject::look_up(conn, &about, SHOWN).await?;
    let told = |((one, for_whom), subject): (&(Pending, Option<String>), Subject)| Told {
        kind: one.kind,
        why: one.why,
        subject,
        expires: one.approval.as_ref().map(|approval| approval.expires_at),
        foretold: Foretold::Never,
        for_whom: for_whom.clone(),
        group: one.group.clone(),
        mailed: None,
    };
    Ok(tell.iter().zip(found).filter_map(|(one, subject)| Some(told((one, subject?)))).collect())
}
