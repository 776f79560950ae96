//! Links to approvals in mails. Known here only by hashes of their secrets, as are the codes that go with them.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use super::accounts::roles;
use super::sessions::mark_of;
use crate::domain::ids::{AccountId, ApprovalId, DecisionId, MailedLinkId, SessionId};
use crate::domain::mailed::ShownByMail;
use crate::domain::people::Person;
use crate::domain::shown::Fingerprint;

/// A link to be kept.
#[derive(Debug, Clone)]
pub struct NewLink {
    pub id: MailedLinkId,
    pub secret_hash: [u8; 32],
    pub account: AccountId,
    pub mailed_to: String,
    pub approval: ApprovalId,
    pub fingerprint: Fingerprint,
    pub mailed_at: Timestamp,
    pub opens_until: Timestamp,
    /// Until when it decides, and what the code that does is kept as. None: it only opens the approval.
    pub decides: Option<(Timestamp, [u8; 32])>,
}

/// A link that works, with the person it was mailed to as they are now.
#[derive(Debug, Clone)]
pub struct Found {
    pub id: MailedLinkId,
    pub person: Person,
    pub approval: ApprovalId,
    pub fingerprint: Fingerprint,
    pub mailed_at: Timestamp,
    pub decides_until: Option<Timestamp>,
    pub wrong_codes: i16,
    pub is_renewed: bool,
}

/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &NewLink) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.mailed_link (id, secret_hash, account_id, mailed_to, approval_id, fingerprint, mailed_at,
            opens_until, decides_until, code_hash)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id.0,
        new.secret_hash.as_slice(),
        new.account.0,
        new.mailed_to,
        new.approval.0,
        new.fingerprint.0.as_slice(),
        new.mailed_at.to_sqlx(),
        new.opens_until.to_sqlx(),
        new.decides.map(|(until, _)| until.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
        new.decides.as_ref().map(|(_, hash)| hash.as_slice()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Finds a link that works: not used, not worn out by wrong codes, of an enabled approver who still has that e-mail, about
/// what still waits as it was when it was mailed (L-04). Looking does not use it up.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn find_living(
    conn: &mut PgConnection,
    secret_hash: &[u8; 32],
    address: IpAddr,
    now: Timestamp,
) -> sqlx::Result<Option<Found>> {
    let row = sqlx::query!(
        r#"select l.id, l.account_id, l.approval_id, l.mailed_at, l.decides_until, l.wrong_codes, p.fingerprint,
            l.renewed_at is not null as "is_renewed!", a.email, a.name, a.roles
        from portal.mailed_link l
        join portal.account a on a.id = l.account_id and a.email = l.mailed_to
        join portal.approval p on p.id = l.approval_id and p.fingerprint = l.fingerprint
        where l.secret_hash = $1 and l.opens_until > $2 and l.used_at is null and l.wrong_codes < 5
            and a.disabled_at is null and not a.must_change_password and 'approver' = any (a.roles)
            and p.at_aws = 'open'"#,
        secret_hash.as_slice(),
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    let Some(row) = row.fetch_optional(conn).await? else { return Ok(None) };
    let held = roles(&row.account_id.to_string(), &row.roles)?;
    let person = Person {
        account: AccountId(row.account_id),
        email: row.email,
        name: row.name,
        roles: Person::rights(held, false, held.admin),
        must_change_password: false,
        // No session has a link's id, so nothing of a session can be done with it.
        session: SessionId(row.id),
        method: "link".to_owned(),
        signed_in_at: now,
        // Whoever has the link has proven nothing yet.
        factor: None,
        lacks_factor: held.admin,
        stepped_up_at: None,
        proven_by: None,
        zone: TimeZone::UTC,
        address,
        session_mark: mark_of(secret_hash),
    };
    let fingerprint = row.fingerprint.try_into().map(Fingerprint).map_err(|_| super::Inconsistent {
        table: "portal.mailed_link",
        row: row.id.to_string(),
        problem: "the fingerprint is not 32 bytes".to_owned(),
    })?;
    Ok(Some(Found {
        id: MailedLinkId(row.id),
        person,
        approval: ApprovalId(row.approval_id),
        fingerprint,
        mailed_at: row.mailed_at.to_jiff(),
        decides_until: row.decides_until.map(jiff_sqlx::Timestamp::to_jiff),
        wrong_codes: row.wrong_codes,
        is_renewed: row.is_renewed,
    }))
}

/// What the secret of a link is kept as.
///
/// # Errors
/// Whatever the database says.
pub async fn find_secret_hash(conn: &mut PgConnection, id: MailedLinkId) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!("select secret_hash from portal.mailed_link where id = $1", id.0).fetch_optional(conn).await
}

/// What a link decided since then, for whoever has it. None: nothing, or it is none.
///
/// # Errors
/// Whatever the database says.
pub async fn find_decision(
    conn: &mut PgConnection,
    secret_hash: &[u8; 32],
    since: Timestamp,
) -> sqlx::Result<Option<(ApprovalId, DecisionId)>> {
    let row = sqlx::query!(
        r#"select approval_id, decision_id as "decision_id!" from portal.mailed_link
        where secret_hash = $1 and decision_id is not null and used_at > $2"#,
        secret_hash.as_slice(),
        since.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(row.fetch_optional(conn).await?.map(|row| (ApprovalId(row.approval_id), DecisionId(row.decision_id))))
}

/// What a code is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    Right,
    /// So many wrong ones there have been.
    Wrong(i16),
    /// The link takes none any more.
    Spent,
}

/// Tries a code. A wrong one is counted in one statement, so that no number of tries at once is more than five (L-02). A right
/// one decides nothing yet.
///
/// # Errors
/// Whatever the database says.
pub async fn try_code(conn: &mut PgConnection, shown: ShownByMail) -> sqlx::Result<Tried> {
    let wrong = sqlx::query_scalar!(
        "update portal.mailed_link set wrong_codes = wrong_codes + 1
        where secret_hash = $1 and code_hash <> $2 and wrong_codes < 5 and used_at is null
        returning wrong_codes",
        shown.secret_hash.as_slice(),
        shown.code_hash.as_slice()
    );
    if let Some(wrong) = wrong.fetch_optional(&mut *conn).await? {
        return Ok(Tried::Wrong(wrong));
    }
    let right = sqlx::query_scalar!(
        r#"select exists (select from portal.mailed_link
            where secret_hash = $1 and code_hash = $2 and wrong_codes < 5 and used_at is null) as "right!""#,
        shown.secret_hash.as_slice(),
        shown.code_hash.as_slice()
    );
    Ok(if right.fetch_one(conn).await? { Tried::Right } else { Tried::Spent })
}

/// What a decision is made with.
#[derive(Debug)]
pub struct Used {
    pub id: MailedLinkId,
    pub mailed_to: String,
    pub mailed_at: Timestamp,
}

/// Uses a link up for a decision, within its transaction (L-05). Everything that makes it good is asked here once more. None:
/// it decides nothing any more, or the code is not the mail's.
///
/// # Errors
/// Whatever the database says.
pub async fn use_up(
    conn: &mut PgConnection,
    shown: ShownByMail,
    (account, approval, fingerprint): (AccountId, ApprovalId, Fingerprint),
    decision: DecisionId,
    now: Timestamp,
) -> sqlx::Result<Option<Used>> {
    let row = sqlx::query!(
        "update portal.mailed_link l set used_at = $7, decision_id = $6
        from portal.account a
        where l.secret_hash = $1 and l.code_hash = $2 and l.account_id = $3 and l.approval_id = $4
            and l.fingerprint = $5 and l.used_at is null and l.wrong_codes < 5 and l.decides_until > $7
            and a.id = l.account_id and a.email = l.mailed_to
        returning l.id, l.mailed_to, l.mailed_at",
        shown.secret_hash.as_slice(),
        shown.code_hash.as_slice(),
        account.0,
        approval.0,
        fingerprint.0.as_slice(),
        decision.0,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(row.fetch_optional(conn).await?.map(|row| Used {
        id: MailedLinkId(row.id),
        mailed_to: row.mailed_to,
        mailed_at: row.mailed_at.to_jiff(),
    }))
}

/// Notes that another was asked for in place of this one. False: it was before.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_renewed(conn: &mut PgConnection, id: MailedLinkId, now: Timestamp) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.mailed_link set renewed_at = $2 where id = $1 and renewed_at is null",
        id.0,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Ends the links of somebody who is out, or whose address is another's: for good, whatever they are given back.
///
/// # Errors
/// Whatever the database says.
pub async fn delete_of(conn: &mut PgConnection, account: AccountId) -> sqlx::Result<()> {
    sqlx::query!("delete from portal.mailed_link where account_id = $1", account.0).execute(conn).await.map(|_| ())
}

/// Forgets those that open nothing any more.
///
/// # Errors
/// Whatever the database says.
pub async fn delete_over(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("delete from portal.mailed_link where opens_until <= $1", now.to_sqlx() as jiff_sqlx::Timestamp)
        .execute(conn)
        .await
        .map(|_| ())
}
