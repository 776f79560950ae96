//! Whom a notice concerns, by the rights of this moment. Nobody is told of what they did themselves.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use sqlx::{Connection as _, PgConnection};

use super::{GATHER, LEASE, Notices, SPACING, in_short};
use crate::access::picture::Picture;
use crate::access::right::TAGS_LAST;
use crate::accounts::identity::EmailKey;
use crate::domain::approval::AtAws;
use crate::domain::caller;
use crate::domain::ids::{AccountId, Gate, SourceName};
use crate::domain::notices::{Kind, News, Why};
use crate::domain::people::Role;
use crate::domain::zone;
use crate::store::access::tags;
use crate::store::approvals::{self, Approval};
use crate::store::notices::people::{self, Reachable};
use crate::store::notices::{self, About, Held, Reader, Taken, escalated};
use crate::store::sources;

/// How many are worked out from one picture of who may decide what.
const AT_ONCE: i64 = 50;
/// After so many failures it is given up; each is waited for a little longer.
const GIVE_UP: i32 = 8;
/// While the tags are not known that may let somebody decide, they are waited for: at first for so long, later for as long as
/// it has been already, and never longer than this.
const TAGS_TAKE: (SignedDuration, SignedDuration) = (SignedDuration::from_mins(1), SignedDuration::from_hours(1));

/// Everybody, as of one moment.
struct Everybody {
    now: Timestamp,
    picture: Picture,
    reachable: HashMap<AccountId, Reachable>,
    deciders: HashMap<Gate, Vec<AccountId>>,
}

impl Notices {
    pub(super) async fn work_out(&self) -> sqlx::Result<usize> {
        let parts = &*self.0;
        let now = parts.clock.now();
        let mut conn = parts.database.pages.acquire().await?;
        if !parts.outbox.is_open() && !parts.push.is_on() {
            // Who mends that later does not want to hear of all that was.
            notices::pass_over_due(&mut conn, now).await?;
            return Ok(0);
        }
        let until = now.checked_add(LEASE).unwrap_or(Timestamp::MAX);
        let taken = notices::take_due(&mut conn, parts.holder, (now, until), AT_ONCE).await?;
        if taken.is_empty() {
            return Ok(0);
        }
        let mut everybody = Everybody::load(&mut conn, now).await?;
        for notice in &taken {
            if let Err(error) = self.pass_on(&mut conn, &mut everybody, notice).await {
                self.note_failure(&mut conn, notice, &error).await?;
            }
        }
        Ok(taken.len())
    }

    /// One transaction: who is to be told, when their turn is, and that this is worked out.
    async fn pass_on(&self, conn: &mut PgConnection, everybody: &mut Everybody, notice: &Taken) -> sqlx::Result<()> {
        let (readers, again) = everybody.readers(conn, notice).await?;
        let turns: Vec<(AccountId, Timestamp)> = readers.iter().map(|one| (one.account, one.due)).collect();
        let mut tx = conn.begin().await?;
        let is_ours = match again {
            None => notices::mark_done(&mut tx, self.held(notice), everybody.now).await?,
            Some(at) => notices::put_off(&mut tx, self.held(notice), at).await?,
        };
        if !is_ours {
            return Ok(());
        }
        // Whoever writes a letter locks its reader's turn first, and then what is in it.
        people::bring_forward(&mut tx, &turns, (GATHER, SPACING), everybody.now).await?;
        notices::insert_readers(&mut tx, notice.id, &readers).await?;
        tx.commit().await
    }

    async fn note_failure(&self, conn: &mut PgConnection, notice: &Taken, error: &sqlx::Error) -> sqlx::Result<()> {
        let now = self.0.clock.now();
        let (id, kind, why) = (notice.id, notice.kind.name(), in_short(error));
        let wait = SignedDuration::from_secs(30) * notice.attempt;
        let next = (notice.attempt < GIVE_UP).then(|| now.checked_add(wait).unwrap_or(Timestamp::MAX));
        if next.is_some() {
            tracing::warn!(notice = id, kind, why, "whom a notice concerns could not be worked out; tried again");
        } else {
            tracing::error!(notice = id, kind, why, "whom a notice concerns could not be worked out; given up");
        }
        notices::mark_failed(conn, self.held(notice), (now, next), &why).await
    }

    fn held(&self, notice: &Taken) -> Held {
        Held { id: notice.id, holder: self.0.holder, attempt: notice.attempt }
    }
}

impl Everybody {
    async fn load(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<Self> {
        let reachable = people::list_reachable(conn, None).await?;
        Ok(Self {
            now,
            picture: Picture::load(conn, now).await?,
            reachable: reachable.into_iter().map(|one| (one.account, one)).collect(),
            deciders: HashMap::new(),
        })
    }

    /// Who is to be told, and when by their own choice; and when that has to be looked at again.
    async fn readers(
        &mut self,
        conn: &mut PgConnection,
        notice: &Taken,
    ) -> sqlx::Result<(Vec<Reader>, Option<Timestamp>)> {
        let (mut expires, mut again) = (None, None);
        let whom = match &notice.about {
            About::Source(source) => self.admins(conn, notice, source).await?,
            About::Approval(id) => match approvals::find(conn, *id).await? {
                None => Vec::new(),
                Some(approval) if notice.kind.asks() => {
                    expires = Some(approval.expires_at);
                    again = self.look_again_at(conn, notice, &approval).await?;
                    self.asked(conn, notice, &approval).await?
                }
                Some(approval) => self.told_the_end(conn, &approval).await?,
            },
        };
        let news = News { kind: notice.kind, due: notice.due, expires };
        let reader = |(account, why): (AccountId, Why)| {
            let one = self.reachable.get(&account).filter(|one| one.choices.want(notice.kind))?;
            let due = one.choices.when(news, &zone::find_or_utc(&one.time_zone), self.now);
            Some(Reader { account, why, due })
        };
        let mut readers: Vec<Reader> = whom.into_iter().filter_map(reader).collect();
        readers.sort_by_key(|one| one.account.0);
        Ok((readers, again))
    }

    /// When it may be known better who may decide it: a grant is about tags that were not read yet, or not lately. They are
    /// read in the course of sweeps.
    async fn look_again_at(
        &self,
        conn: &mut PgConnection,
        notice: &Taken,
        approval: &Approval,
    ) -> sqlx::Result<Option<Timestamp>> {
        let gate = &approval.gate;
        let is_over = approval.at_aws != AtAws::Open || approval.expires_at <= self.now;
        if is_over || notice.kind == Kind::Escalated {
            return Ok(None);
        }
        let mut grants = self.picture.grants.iter();
        if !grants.any(|grant| grant.gates.tag.is_some() && grant.gates.fits_names(gate)) {
            return Ok(None);
        }
        let since = self.now.checked_sub(TAGS_LAST).unwrap_or(self.now);
        if tags::find(conn, (&gate.source, &gate.pipeline), since).await?.is_some() {
            return Ok(None);
        }
        let (first, longest) = TAGS_TAKE;
        Ok(self.now.checked_add(self.now.duration_since(notice.due).clamp(first, longest)).ok())
    }

    /// Who may decide it now. Once told that it waits, nobody is told so again, also when it was taken for gone meanwhile:
    /// the reminders do that.
    async fn asked(
        &mut self,
        conn: &mut PgConnection,
        notice: &Taken,
        approval: &Approval,
    ) -> sqlx::Result<Vec<(AccountId, Why)>> {
        if approval.at_aws != AtAws::Open {
            return Ok(Vec::new());
        }
        if notice.kind == Kind::Escalated {
            let group = escalated::find_group(conn, notice.id).await?;
            let is_in = |one: &&Reachable| group.is_some_and(|group| self.picture.is_member(group, one.account));
            return Ok(self.reachable.values().filter(is_in).map(|one| (one.account, Why::Escalated)).collect());
        }
        let known: HashSet<AccountId> = if notice.kind == Kind::Waiting {
            notices::list_asked(conn, approval.id).await?.into_iter().map(|one| one.account).collect()
        } else {
            HashSet::new()
        };
        let deciders = self.deciders(&approval.gate).iter().filter(|account| !known.contains(account));
        Ok(deciders.map(|account| (*account, Why::Decider)).collect())
    }

    /// Whoever started the run, those who were told that it waits and still may decide there, and those who were told that
    /// nobody decided it; but not who ended it.
    async fn told_the_end(
        &mut self,
        conn: &mut PgConnection,
        approval: &Approval,
    ) -> sqlx::Result<Vec<(AccountId, Why)>> {
        if approval.at_aws == AtAws::Open {
            return Ok(Vec::new());
        }
        let told = notices::list_asked(conn, approval.id).await?.into_iter().filter(|one| one.is_told);
        let told: HashSet<AccountId> = told.map(|one| one.account).collect();
        let decided_here = notices::find_decider(conn, approval.id).await?;
        let decided_elsewhere = approval.decided_by.as_deref().and_then(|arn| self.find_by_arn(arn));
        let starter = approval.details.trigger.as_ref().and_then(|trigger| trigger.detail.as_deref());
        let starter = starter.and_then(|arn| self.find_by_arn(arn)).map(|account| (account, Why::Starter));
        let others = self.deciders(&approval.gate).iter().filter(|account| told.contains(account));
        let others: Vec<(AccountId, Why)> = others.map(|account| (*account, Why::Decider)).collect();
        let groups = escalated::list_told(conn, approval.id).await?;
        let mut whom: HashMap<AccountId, Why> = groups.into_iter().map(|account| (account, Why::Escalated)).collect();
        whom.extend(starter);
        whom.extend(others);
        whom.retain(|account, _| Some(*account) != decided_here && Some(*account) != decided_elsewhere);
        Ok(whom.into_iter().collect())
    }

    async fn admins(
        &self,
        conn: &mut PgConnection,
        notice: &Taken,
        source: &SourceName,
    ) -> sqlx::Result<Vec<(AccountId, Why)>> {
        let told = if notice.kind == Kind::Seen {
            Some(notices::list_told_blind(conn, source, notice.at).await?)
        } else {
            let now = sources::find(conn, source).await?.filter(|source| source.configured);
            if now.and_then(|source| source.blind).is_none_or(|(since, _)| since != notice.at) {
                return Ok(Vec::new());
            }
            None
        };
        let is_admin = |one: &&Reachable| one.roles.iter().any(|role| role == Role::Admin.name());
        let admins = self.reachable.values().filter(is_admin).map(|one| one.account);
        let admins = admins.filter(|account| told.as_ref().is_none_or(|told| told.contains(account)));
        Ok(admins.map(|account| (account, Why::Admin)).collect())
    }

    /// Everybody who may decide this gate and can be told so.
    fn deciders(&mut self, gate: &Gate) -> &[AccountId] {
        let (picture, reachable) = (&self.picture, &self.reachable);
        self.deciders.entry(gate.clone()).or_insert_with(|| {
            let deciders = picture.deciders(gate).into_iter().map(|decider| decider.person.account);
            deciders.filter(|account| reachable.contains_key(account)).collect()
        })
    }

    fn find_by_arn(&self, arn: &str) -> Option<AccountId> {
        let key = EmailKey::of(caller::email_in(arn)?);
        self.reachable.values().find(|one| one.email_key == key.as_str()).map(|one| one.account)
    }
}
