//! Accounts and the one-time set-up secret. A password hash leaves this module only inside a `SecretString`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;

use super::Inconsistent;
use crate::domain::ids::AccountId;
use crate::domain::people::{Role, Roles};

/// An account as it is stored.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: AccountId,
    pub email: String,
    pub email_key: String,
    pub name: String,
    pub roles: Roles,
    pub password_phc: Option<SecretString>,
    pub password_changed_at: Option<Timestamp>,
    pub must_change_password: bool,
    /// When an admin said that others may know the password.
    pub password_compromised_at: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
    pub last_seen_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// Pseudonymised for good.
    pub deleted_at: Option<Timestamp>,
    pub version: i64,
    /// The name of the time zone that pages show them times in.
    pub time_zone: String,
}

impl Account {
    /// Whether it was said of this very password that others may know it.
    #[must_use]
    pub fn is_compromised(&self) -> bool {
        self.must_change_password && self.password_compromised_at.is_some_and(|at| self.password_changed_at <= Some(at))
    }

    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }
}

/// Turns stored role names into roles; a name that is none is an impossible row.
pub(super) fn roles(account: &str, names: &[String]) -> Result<Roles, Inconsistent> {
    let role = |name: &String| {
        Role::from_name(name).ok_or_else(|| Inconsistent {
            table: "portal.account",
            row: account.to_owned(),
            problem: format!("has the unknown role {name:?}"),
        })
    };
    names.iter().map(role).collect()
}

struct Row {
    id: uuid::Uuid,
    email: String,
    email_key: String,
    name: String,
    roles: Vec<String>,
    password_phc: Option<String>,
    password_changed_at: Option<jiff_sqlx::Timestamp>,
    must_change_password: bool,
    password_compromised_at: Option<jiff_sqlx::Timestamp>,
    disabled_at: Option<jiff_sqlx::Timestamp>,
    last_seen_at: Option<jiff_sqlx::Timestamp>,
    created_at: jiff_sqlx::Timestamp,
    deleted_at: Option<jiff_sqlx::Timestamp>,
    version: i64,
    time_zone: String,
}

impl TryFrom<Row> for Account {
    type Error = Inconsistent;

    fn try_from(row: Row) -> Result<Self, Inconsistent> {
        Ok(Self {
            roles: roles(&row.id.to_string(), &row.roles)?,
            id: AccountId(row.id),
            email: row.email,
            email_key: row.email_key,
            name: row.name,
            password_phc: row.password_phc.map(SecretString::from),
            password_changed_at: row.password_changed_at.map(jiff_sqlx::Timestamp::to_jiff),
            must_change_password: row.must_change_password,
            password_compromised_at: row.password_compromised_at.map(jiff_sqlx::Timestamp::to_jiff),
            disabled_at: row.disabled_at.map(jiff_sqlx::Timestamp::to_jiff),
            last_seen_at: row.last_seen_at.map(jiff_sqlx::Timestamp::to_jiff),
            created_at: row.created_at.to_jiff(),
            deleted_at: row.deleted_at.map(jiff_sqlx::Timestamp::to_jiff),
            version: row.version,
            time_zone: row.time_zone,
        })
    }
}

fn one(row: Option<Row>) -> Result<Option<Account>, sqlx::Error> {
    Ok(row.map(Account::try_from).transpose()?)
}

pub async fn find_by_email(conn: &mut PgConnection, email_key: &str) -> Result<Option<Account>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, email, email_key, name, roles, password_phc, password_changed_at, must_change_password,
            password_compromised_at, disabled_at, last_seen_at, created_at, deleted_at, version, time_zone
         from portal.account where email_key = $1",
        email_key
    );
    one(row.fetch_optional(conn).await?)
}

/// Reads an account and keeps everybody else from changing it until the transaction ends.
pub async fn lock_account(conn: &mut PgConnection, id: AccountId) -> Result<Option<Account>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, email, email_key, name, roles, password_phc, password_changed_at, must_change_password,
            password_compromised_at, disabled_at, last_seen_at, created_at, deleted_at, version, time_zone
         from portal.account where id = $1 for update",
        id.0
    );
    one(row.fetch_optional(conn).await?)
}

/// Every enabled admin, locked in one order, so that two who take each other's rights away meet here.
pub async fn lock_enabled_admins(conn: &mut PgConnection) -> Result<Vec<AccountId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "select id from portal.account where 'admin' = any(roles) and disabled_at is null order by id for update"
    );
    Ok(ids.fetch_all(conn).await?.into_iter().map(AccountId).collect())
}

/// Of these accounts, those that somebody can enter: by a password, a passkey that is taken, or an identity. Where local
/// sign-in is off, the first two serve break-glass accounts only. Whoever was invited and has not come yet is none of them.
pub async fn list_with_way_in(
    conn: &mut PgConnection,
    ids: &[AccountId],
    local_sign_in: bool,
) -> Result<Vec<AccountId>, sqlx::Error> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    let found = sqlx::query_scalar!(
        "select a.id from portal.account a where a.id = any ($1) and (
            ($2 or a.break_glass) and (a.password_phc is not null or exists (
                select from portal.passkey p where p.account_id = a.id and p.suspect_at is null))
            or exists (select from portal.identity i where i.account_id = a.id))
         order by a.id",
        &ids,
        local_sign_in
    );
    Ok(found.fetch_all(conn).await?.into_iter().map(AccountId).collect())
}

/// All accounts, by e-mail, each with whether too many failures have switched its password off (`most` and more).
pub async fn list_accounts(conn: &mut PgConnection, most: i32) -> Result<Vec<(Account, bool)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, email, email_key, name, roles, password_phc, password_changed_at, must_change_password,
            password_compromised_at, disabled_at, last_seen_at, created_at, deleted_at, version, time_zone
         from portal.account order by email_key"
    );
    let rows = rows.fetch_all(&mut *conn).await?;
    let shut = sqlx::query_scalar!(
        "select a.id from portal.account a
         join portal.sign_in_wait w on w.email_hash = sha256(convert_to(a.email_key, 'UTF8')) where w.failures >= $1",
        most
    );
    let shut = shut.fetch_all(conn).await?;
    let pair = |row: Row| {
        let is_shut = shut.contains(&row.id);
        Ok((Account::try_from(row)?, is_shut))
    };
    rows.into_iter().map(pair).collect()
}

pub async fn any_account(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let any = sqlx::query_scalar!(r#"select exists (select from portal.account) as "any!""#);
    any.fetch_one(conn).await
}

/// Adds an account, from its `created_at` on. False: the e-mail is taken.
pub async fn insert_account(conn: &mut PgConnection, account: &Account) -> Result<bool, sqlx::Error> {
    let added = sqlx::query!(
        "insert into portal.account (id, email, email_key, name, roles, password_phc, password_changed_at,
            must_change_password, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (email_key) do nothing",
        account.id.0,
        account.email,
        account.email_key,
        account.name,
        &account.roles.names(),
        account.password_phc.as_ref().map(ExposeSecret::expose_secret) as Option<&str>,
        account.password_changed_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        account.must_change_password,
        account.created_at.to_sqlx() as jiff_sqlx::Timestamp
    );
    let is_new = added.execute(&mut *conn).await?.rows_affected() == 1;
    if is_new {
        begin_span(conn, account.id, account.created_at).await?;
    }
    Ok(is_new)
}

/// From `at` on the account is what its row says now: roles and whether it is enabled, for whoever asks later.
async fn begin_span(conn: &mut PgConnection, id: AccountId, at: Timestamp) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "with ended as (
            update portal.account_span set until_at = greatest(from_at, $2)
            where account_id = $1 and until_at is null returning until_at)
        insert into portal.account_span (account_id, roles, enabled, from_at)
        select id, roles, disabled_at is null, coalesce((select until_at from ended), $2)
        from portal.account where id = $1",
        id.0,
        at.to_sqlx() as jiff_sqlx::Timestamp
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Replaces the password hash. `changed_at` is None where only its cost has changed.
pub async fn mark_password(
    conn: &mut PgConnection,
    id: AccountId,
    phc: &str,
    changed: Option<(Timestamp, bool)>,
) -> Result<(), sqlx::Error> {
    let at = changed.map(|(at, _)| at.to_sqlx());
    let must_change = changed.map(|(_, must_change)| must_change);
    let done = sqlx::query!(
        "update portal.account set password_phc = $2, password_changed_at = coalesce($3, password_changed_at),
            must_change_password = coalesce($4, must_change_password), version = version + 1,
            password_short = password_short and $3 is null,
            password_compromised_at = case when $3 is null then password_compromised_at end
         where id = $1",
        id.0,
        phc,
        at as Option<jiff_sqlx::Timestamp>,
        must_change
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Others may know the password: it must be changed. False: it must be already, or there is none.
pub async fn mark_compromised(conn: &mut PgConnection, id: AccountId, at: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update portal.account set must_change_password = true, password_compromised_at = $2,
            version = version + 1
         where id = $1 and password_phc is not null and not must_change_password",
        id.0,
        at.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Gives an account another name.
pub async fn mark_name(conn: &mut PgConnection, id: AccountId, name: &str) -> Result<(), sqlx::Error> {
    let done = sqlx::query!("update portal.account set name = $2, version = version + 1 where id = $1", id.0, name);
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Notes that a password which has just been set is long enough only beside a second factor.
pub async fn mark_password_short(conn: &mut PgConnection, id: AccountId) -> Result<(), sqlx::Error> {
    let done = sqlx::query!("update portal.account set password_short = true where id = $1", id.0);
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Whether the password is long enough only beside a second factor.
pub async fn is_password_short(conn: &mut PgConnection, id: AccountId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!("select password_short from portal.account where id = $1", id.0).fetch_one(conn).await
}

/// Disables, or enables again.
pub async fn mark_disabled(
    conn: &mut PgConnection,
    id: AccountId,
    disabled: bool,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "update portal.account set disabled_at = $2, version = version + 1 where id = $1",
        id.0,
        disabled.then(|| at.to_sqlx()) as Option<jiff_sqlx::Timestamp>
    );
    exactly_one(done.execute(&mut *conn).await?.rows_affected())?;
    begin_span(conn, id, at).await
}

pub async fn mark_roles(
    conn: &mut PgConnection,
    id: AccountId,
    roles: Roles,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    let done =
        sqlx::query!("update portal.account set roles = $2, version = version + 1 where id = $1", id.0, &roles.names());
    exactly_one(done.execute(&mut *conn).await?.rows_affected())?;
    begin_span(conn, id, at).await
}

/// From now on pages show somebody times in this zone.
pub async fn mark_time_zone(conn: &mut PgConnection, id: AccountId, zone: &str) -> Result<(), sqlx::Error> {
    let done =
        sqlx::query!("update portal.account set time_zone = $2, version = version + 1 where id = $1", id.0, zone);
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// What somebody is called.
pub async fn find_name(conn: &mut PgConnection, id: AccountId) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!("select name from portal.account where id = $1", id.0).fetch_optional(conn).await
}

/// Where mail to somebody goes. None: there is no such account, or nobody is behind it any more.
pub async fn find_address(conn: &mut PgConnection, id: AccountId) -> Result<Option<String>, sqlx::Error> {
    let found = sqlx::query_scalar!("select email from portal.account where id = $1 and deleted_at is null", id.0);
    found.fetch_optional(conn).await
}

/// Keeps the set-up secret's hash, in place of any before it.
pub async fn replace_setup_secret(
    conn: &mut PgConnection,
    hash: &[u8; 32],
    issued_at: Timestamp,
    expires_at: Timestamp,
) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "insert into portal.setup_secret (secret_hash, issued_at, expires_at) values ($1, $2, $3)
         on conflict (one) do update
            set secret_hash = excluded.secret_hash, issued_at = excluded.issued_at, expires_at = excluded.expires_at",
        hash.as_slice(),
        issued_at.to_sqlx() as jiff_sqlx::Timestamp,
        expires_at.to_sqlx() as jiff_sqlx::Timestamp
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Whether this is the living set-up secret.
pub async fn is_setup_secret(conn: &mut PgConnection, hash: &[u8; 32], now: Timestamp) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from portal.setup_secret where secret_hash = $1 and expires_at > $2) as "found!""#,
        hash.as_slice(),
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    found.fetch_one(conn).await
}

/// Uses the set-up secret up. False: it is not the living one any more. Of two transactions one gets true.
pub async fn delete_setup_secret(
    conn: &mut PgConnection,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from portal.setup_secret where secret_hash = $1 and expires_at > $2",
        hash.as_slice(),
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Withdraws whatever set-up secret there is.
pub async fn withdraw_setup_secret(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from portal.setup_secret").execute(conn).await.map(|_| ())
}

/// An update of one known row that met none or several would be a lie to whoever asked for it (P-04).
pub(super) fn exactly_one(rows: u64) -> Result<(), sqlx::Error> {
    if rows == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}
