//! Accounts as an admin looks them through: searched, filtered, a page at a time, each with what it signs in with. Read
//! only, but for what deleting an account takes away.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use super::accounts::{exactly_one, roles};
use super::identities::hash_identities;
use crate::domain::ids::AccountId;
use crate::domain::people::{Role, Roles};

/// How many accounts one page has.
pub const PAGE: usize = 50;

/// What accounts may be filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// May sign in.
    Active,
    /// Was invited and has not accepted.
    Invited,
    Disabled,
    Deleted,
}

impl State {
    pub const ALL: [Self; 4] = [Self::Active, Self::Invited, Self::Disabled, Self::Deleted];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Invited => "invited",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Which accounts are looked for.
#[derive(Debug, Clone, Default)]
pub struct Sought {
    /// A part of the e-mail or the name, as typed. Empty: any.
    pub text: String,
    pub role: Option<Role>,
    /// None: all but the deleted ones.
    pub state: Option<State>,
    /// Who lacks a second factor.
    pub without_factor: bool,
    /// After this e-mail in the list.
    pub after: Option<String>,
}

/// An account in the list.
#[derive(Debug, Clone)]
pub struct Listed {
    pub id: AccountId,
    pub email: String,
    /// Its place in the list.
    pub email_key: String,
    pub name: String,
    pub roles: Roles,
    pub state: State,
    pub created_at: Timestamp,
    pub last_seen_at: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
    pub must_change_password: bool,
    /// It must be changed because others may know it.
    pub password_compromised: bool,
    /// Too many failures in a row: no password is accepted until it is reset.
    pub password_off: bool,
    pub has_password: bool,
    pub passkeys: i64,
    pub has_totp: bool,
    /// The names of the providers that it signs in by.
    pub providers: Vec<String>,
    pub sessions: i64,
    pub version: i64,
}

/// A page of the list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub accounts: Vec<Listed>,
    pub has_more: bool,
    /// How many fit the filter in all.
    pub all: i64,
}

/// Accounts by e-mail.
///
/// # Errors
/// The database's, or a row the program could not have written.
pub async fn list_accounts(
    conn: &mut PgConnection,
    sought: &Sought,
    most_failures: i32,
    now: Timestamp,
) -> Result<Page, sqlx::Error> {
    read(conn, sought, None, most_failures, now).await
}

/// One account, as the list would show it.
///
/// # Errors
/// The database's, or a row the program could not have written.
pub async fn find_account(
    conn: &mut PgConnection,
    id: AccountId,
    most_failures: i32,
    now: Timestamp,
) -> Result<Option<Listed>, sqlx::Error> {
    Ok(read(conn, &Sought::default(), Some(id), most_failures, now).await?.accounts.pop())
}

async fn read(
    conn: &mut PgConnection,
    sought: &Sought,
    only: Option<AccountId>,
    most_failures: i32,
    now: Timestamp,
) -> Result<Page, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with known as (
            select a.*,
                case when a.deleted_at is not null then 'deleted' when a.disabled_at is not null then 'disabled'
                    when exists (select from portal.one_time_link l where l.account_id = a.id and l.purpose = 'invite')
                        then 'invited'
                    else 'active' end as state,
                exists (select from portal.totp t where t.account_id = a.id) as has_totp,
                (select count(*) from portal.passkey p where p.account_id = a.id) as passkeys,
                (select array_agg(i.provider order by i.provider) from portal.identity i
                    where i.account_id = a.id and a.deleted_at is null) as providers
            from portal.account a),
        fitting as (
            select * from known k
            where ($1::uuid is null or k.id = $1)
                and ($2 = '' or strpos(k.email_key, lower($2)) > 0 or strpos(lower(k.name), lower($2)) > 0)
                and ($3::text is null or $3 = any (k.roles))
                and case when $1 is not null then true when $4::text is null then k.state <> 'deleted' else k.state = $4 end
                and (not $5 or (k.passkeys = 0 and not k.has_totp and k.state in ('active', 'invited'))))
        select f.id as "id!", f.email as "email!", f.email_key as "email_key!", f.name as "name!", f.roles as "roles!",
            f.state as "state!", f.created_at as "created_at!", f.disabled_at, f.version as "version!",
            greatest(f.last_seen_at, (select max(s.last_seen_at) from portal.session s where s.account_id = f.id))
                as last_seen_at,
            f.must_change_password as "must_change_password!", f.password_phc is not null as "has_password!",
            f.must_change_password and f.password_compromised_at >= f.password_changed_at as password_compromised,
            f.passkeys as "passkeys!", f.has_totp as "has_totp!", f.providers,
            (select count(*) from portal.session s where s.account_id = f.id and s.expires_at > $8) as "sessions!",
            exists (select from portal.sign_in_wait w
                where w.email_hash = sha256(convert_to(f.email_key, 'UTF8')) and w.failures >= $9) as "password_off!",
            (select count(*) from fitting) as "all!"
        from fitting f where $6::text is null or f.email_key > $6
        order by f.email_key limit $7"#,
        only.map(|id| id.0),
        sought.text.trim(),
        sought.role.map(Role::name),
        sought.state.map(State::name),
        sought.without_factor,
        sought.after,
        i64::try_from(PAGE + 1).expect("a page is short"),
        now.to_sqlx() as jiff_sqlx::Timestamp,
        most_failures
    )
    .fetch_all(conn)
    .await?;
    let mut page = Page { has_more: rows.len() > PAGE, all: rows.first().map_or(0, |row| row.all), ..Page::default() };
    for row in rows.into_iter().take(PAGE) {
        let impossible = |problem: &str| super::Inconsistent {
            table: "portal.account",
            row: row.id.to_string(),
            problem: problem.to_owned(),
        };
        page.accounts.push(Listed {
            roles: roles(&row.id.to_string(), &row.roles)?,
            state: State::from_name(&row.state).ok_or_else(|| impossible("is in an unknown state"))?,
            id: AccountId(row.id),
            email: row.email,
            email_key: row.email_key,
            name: row.name,
            created_at: row.created_at.to_jiff(),
            last_seen_at: row.last_seen_at.map(jiff_sqlx::Timestamp::to_jiff),
            disabled_at: row.disabled_at.map(jiff_sqlx::Timestamp::to_jiff),
            must_change_password: row.must_change_password,
            password_compromised: row.password_compromised.unwrap_or_default(),
            password_off: row.password_off,
            has_password: row.has_password,
            passkeys: row.passkeys,
            has_totp: row.has_totp,
            providers: row.providers.unwrap_or_default(),
            sessions: row.sessions,
            version: row.version,
        });
    }
    Ok(page)
}

/// Which of these e-mails belong to an account.
///
/// # Errors
/// The database's.
pub async fn list_taken(conn: &mut PgConnection, email_keys: &[String]) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!("select email_key from portal.account where email_key = any ($1)", email_keys)
        .fetch_all(conn)
        .await
}

/// Gives an account another name and e-mail. False: the e-mail is taken, and the transaction may be of no use any more.
///
/// # Errors
/// The database's.
pub async fn mark_identity(
    conn: &mut PgConnection,
    id: AccountId,
    (email, email_key): (&str, &str),
    name: &str,
) -> Result<bool, sqlx::Error> {
    // Looked up first rather than caught: a refused update would end the transaction.
    let taken = sqlx::query_scalar!(
        r#"select exists (select from portal.account where email_key = $1 and id <> $2) as "taken!""#,
        email_key,
        id.0
    );
    if taken.fetch_one(&mut *conn).await? {
        return Ok(false);
    }
    let done = sqlx::query!(
        "update portal.account set email = $2, email_key = $3, name = $4, version = version + 1 where id = $1",
        id.0,
        email,
        email_key,
        name
    );
    match done.execute(conn).await {
        // Somebody took it since it was looked up.
        Err(error) if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) => {
            Ok(false)
        }
        done => exactly_one(done?.rows_affected()).map(|()| true),
    }
}

/// What ends with an account that is deleted, by id: for the record.
#[derive(Debug, Default)]
pub struct Ended {
    pub groups: Vec<uuid::Uuid>,
    pub grants: Vec<uuid::Uuid>,
    pub stand_ins: Vec<EndedStandIn>,
}

/// A stand-in that ends with one of its two people.
#[derive(Debug)]
pub struct EndedStandIn {
    pub id: uuid::Uuid,
    pub for_account: AccountId,
    pub by_account: AccountId,
}

/// Ends whatever an account may decide, belongs to or lends, on behalf of `by` (none: the operator).
///
/// # Errors
/// The database's.
pub async fn end_rights(
    conn: &mut PgConnection,
    id: AccountId,
    by: Option<AccountId>,
    now: Timestamp,
) -> Result<Ended, sqlx::Error> {
    let (now, by) = (now.to_sqlx(), by.map(|by| by.0));
    let groups = sqlx::query_scalar!(
        "update portal.group_member set until_at = greatest(from_at, $2) where account_id = $1 and until_at is null
         returning group_id",
        id.0,
        now as jiff_sqlx::Timestamp
    );
    let groups = groups.fetch_all(&mut *conn).await?;
    let grants = sqlx::query_scalar!(
        "update portal.access_grant set until_at = greatest(from_at, $2), ended_by = $3
         where account_id = $1 and until_at is null
         returning id",
        id.0,
        now as jiff_sqlx::Timestamp,
        by as Option<uuid::Uuid>
    );
    let grants = grants.fetch_all(&mut *conn).await?;
    let stand_ins = sqlx::query!(
        "update portal.stand_in set ended_at = $2, ended_by = $3
         where (for_account = $1 or by_account = $1) and ended_at is null and until_at > $2
         returning id, for_account, by_account",
        id.0,
        now as jiff_sqlx::Timestamp,
        by as Option<uuid::Uuid>
    );
    let stand_ins = stand_ins.fetch_all(conn).await?.into_iter().map(|row| EndedStandIn {
        id: row.id,
        for_account: AccountId(row.for_account),
        by_account: AccountId(row.by_account),
    });
    Ok(Ended { groups, grants, stand_ins: stand_ins.collect() })
}

/// Takes everything from an account that says who it was or lets anybody in, for good. Sessions, links, API tokens
/// and rights are the caller's to end; records are nobody's to change.
///
/// # Errors
/// The database's.
pub async fn pseudonymise(
    conn: &mut PgConnection,
    id: AccountId,
    (email, name): (&str, &str),
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let now = now.to_sqlx();
    let done = sqlx::query!(
        "update portal.account set email = $2, email_key = $2, name = $3, roles = '{}', password_phc = null,
            must_change_password = false, password_compromised_at = null, break_glass = false, time_zone = 'UTC',
            disabled_at = coalesce(disabled_at, $4), deleted_at = $4, version = version + 1
         where id = $1",
        id.0,
        email,
        name,
        now as jiff_sqlx::Timestamp
    );
    exactly_one(done.execute(&mut *conn).await?.rows_affected())?;
    sqlx::query!("delete from portal.passkey where account_id = $1", id.0).execute(&mut *conn).await?;
    sqlx::query!("delete from portal.totp where account_id = $1", id.0).execute(&mut *conn).await?;
    sqlx::query!("delete from portal.recovery_code where account_id = $1", id.0).execute(&mut *conn).await?;
    sqlx::query!("delete from portal.known_device where account_id = $1", id.0).execute(&mut *conn).await?;
    sqlx::query!("delete from portal.ceremony where account_id = $1", id.0).execute(&mut *conn).await?;
    hash_identities(conn, id).await?;
    sqlx::query!("delete from portal.mail where account_id = $1", id.0).execute(&mut *conn).await?;
    Ok(())
}
