//! Migrations: embedded in the program, run by the owner, one process at a time. Owns the answer to "does this database
//! fit this program?".
//!
//! It must never run as the serving login and never create a role. A migration only adds (expand now, contract one
//! release later), so that the previous release keeps working while a new one starts (P-15). One that takes away what an
//! older program needs says so: `comment on schema portal is 'oldest program: 7'`, the last migration of the oldest
//! program that still works. From then on an older one does not start, and is not ready.

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};

use super::connect::owning;
use super::roles::{self, Role};

/// Everything under `migrations/`, in order.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Where the migrations keep their own list.
const APPLIED: &str = "_sqlx_migrations";

/// How a database and this program fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    Current,
    /// The database is older: these migrations are still to be run.
    Pending(Vec<i64>),
    /// The database is newer: an upgrade is under way, or was taken back. `fits`: nothing this program needs is gone.
    Newer {
        database: i64,
        program: i64,
        fits: bool,
    },
    /// A migration that was run is not the one this program carries.
    Altered(i64),
}

impl SchemaState {
    /// What is wrong and what to do; `None` when nothing is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Current | Self::Newer { fits: true, .. } => None,
            Self::Pending(versions) => Some(format!(
                "The database lacks {} of this program's migrations (the first is {}). Run `countersign migrate` with \
                 COUNTERSIGN_DATABASE_OWNER_URL set to the login of countersign_owner.",
                versions.len(),
                versions.first().copied().unwrap_or_default()
            )),
            Self::Newer { database, program, .. } => Some(format!(
                "The database is newer than this program can work with (migration {database}, this program knows \
                 {program}). Install the release that migrated it, or a later one."
            )),
            Self::Altered(version) => Some(format!(
                "Migration {version} was run here in another form than this program carries. Use the release that \
                 migrated this database, or a database of its own for this one."
            )),
        }
    }
}

/// Compares the database with the embedded migrations. Needs no more than the serving login.
pub async fn load_state(conn: &mut PgConnection) -> Result<SchemaState, sqlx::Error> {
    let exists = sqlx::query_scalar!(r#"select to_regclass($1) is not null as "exists!""#, APPLIED)
        .fetch_one(&mut *conn)
        .await?;
    let applied = if exists { list_applied(conn).await? } else { Vec::new() };
    let remark = sqlx::query_scalar!("select obj_description(to_regnamespace('portal'), 'pg_namespace')")
        .fetch_one(&mut *conn)
        .await?;
    Ok(compare(&applied, remark.as_deref()))
}

async fn list_applied(conn: &mut PgConnection) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
    match conn.list_applied_migrations(APPLIED).await {
        Ok(applied) => Ok(applied.into_iter().map(|one| (one.version, one.checksum.into_owned())).collect()),
        Err(MigrateError::Execute(error)) => Err(error),
        Err(other) => Err(sqlx::Error::Migrate(Box::new(other))),
    }
}

/// Whether a program that ends with migration `program` works with a schema that carries this remark.
fn fits(remark: Option<&str>, program: i64) -> bool {
    match remark.and_then(|remark| remark.strip_prefix("oldest program: ")) {
        Some(oldest) => oldest.trim().parse().is_ok_and(|oldest: i64| oldest <= program),
        None => true,
    }
}

fn compare(applied: &[(i64, Vec<u8>)], remark: Option<&str>) -> SchemaState {
    let program = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default();
    let mut pending = Vec::new();
    for migration in MIGRATOR.iter() {
        match applied.iter().find(|(version, _)| *version == migration.version) {
            None => pending.push(migration.version),
            Some((version, checksum)) if checksum[..] != migration.checksum[..] => {
                return SchemaState::Altered(*version);
            }
            Some(_) => {}
        }
    }
    if !pending.is_empty() {
        return SchemaState::Pending(pending);
    }
    match applied.iter().rfind(|(version, _)| !MIGRATOR.version_exists(*version)) {
        Some((database, _)) => SchemaState::Newer { database: *database, program, fits: fits(remark, program) },
        None => SchemaState::Current,
    }
}

/// Why migrating did not work.
#[derive(Debug, thiserror::Error)]
pub enum MigrateFailure {
    #[error("The database could not be reached as its owner: {0}")]
    Connect(#[source] sqlx::Error),
    #[error(
        "The database lacks the role {0}. Run `countersign migrate --print-roles | psql -v ON_ERROR_STOP=1 URL` once, \
         as a role that may create roles and owns the database."
    )]
    NoRole(&'static str),
    #[error("The database's encoding is {0}; records are UTF-8. Create it with: create database … encoding 'UTF8'.")]
    Encoding(String),
    #[error("{0}")]
    Unfit(String),
    #[error("Migration {version} did not work and was undone: {source}")]
    Statement { version: i64, source: sqlx::Error },
    #[error("Migrating did not work: {0}")]
    Database(#[from] sqlx::Error),
}

/// Brings the database up to this program, as its owner, while no other process does the same; whoever comes second
/// waits and finds nothing left to do. Opens one connection and closes it. Answers how many migrations were run.
pub async fn migrate(owner: &PgConnectOptions) -> Result<usize, MigrateFailure> {
    let mut conn = owning(owner.clone()).connect().await.map_err(MigrateFailure::Connect)?;
    let done = migrate_on(&mut conn).await;
    // The connection holds the lock; closing it is what frees the lock after a failure.
    conn.close().await.ok();
    done
}

async fn migrate_on(conn: &mut PgConnection) -> Result<usize, MigrateFailure> {
    if let Some(role) = roles::list_missing(conn).await?.first() {
        return Err(MigrateFailure::NoRole(role.name()));
    }
    let encoding = sqlx::query_scalar!(r#"select current_setting('server_encoding') as "encoding!""#)
        .fetch_one(&mut *conn)
        .await?;
    if encoding != "UTF8" {
        return Err(MigrateFailure::Encoding(encoding));
    }
    // Replicas start together: the second one may wait for as long as the first one migrates.
    conn.execute("set lock_timeout = 0").await?;
    conn.lock().await.map_err(failure)?;
    conn.execute("set lock_timeout = '60s'").await?;
    let pending = match load_state(conn).await? {
        SchemaState::Current | SchemaState::Newer { fits: true, .. } => return Ok(0),
        SchemaState::Pending(pending) => pending.len(),
        unfit => return Err(MigrateFailure::Unfit(unfit.problem().unwrap_or_default())),
    };
    // The lock is re-entrant: the migrator takes it once more and gives it back.
    MIGRATOR.run_direct(None, conn, false).await.map_err(failure)?;
    // The serving login compares versions at start and for /readyz.
    let (app, reader) = (Role::App.name(), Role::Reader.name());
    conn.execute(sqlx::AssertSqlSafe(format!("grant select on {APPLIED} to {app}, {reader}"))).await?;
    Ok(pending)
}

fn failure(error: MigrateError) -> MigrateFailure {
    match error {
        MigrateError::ExecuteMigration(source, version) => MigrateFailure::Statement { version, source },
        MigrateError::Execute(source) => MigrateFailure::Database(source),
        other => MigrateFailure::Unfit(format!("Migrating did not work: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied() -> Vec<(i64, Vec<u8>)> {
        MIGRATOR.iter().map(|migration| (migration.version, migration.checksum.to_vec())).collect()
    }

    #[test]
    fn a_database_fits_exactly_when_every_migration_was_run_as_it_is() {
        assert_eq!(compare(&applied(), None), SchemaState::Current);
        assert_eq!(
            compare(&[], None),
            SchemaState::Pending(MIGRATOR.iter().map(|migration| migration.version).collect())
        );
        let mut altered = applied();
        altered[0].1[0] ^= 1;
        assert_eq!(compare(&altered, None), SchemaState::Altered(1));
    }

    #[test]
    fn a_newer_database_fits_unless_it_says_which_program_is_the_oldest_that_does() {
        // P-15, F-36
        let mut newer = applied();
        newer.push((9_999, vec![0]));
        assert_eq!(compare(&newer, None).problem(), None);
        assert_eq!(compare(&newer, Some("oldest program: 1")).problem(), None);
        for remark in ["oldest program: 9999", "oldest program: later"] {
            let said = compare(&newer, Some(remark)).problem().unwrap();
            assert!(
                said.starts_with("The database is newer than this program can work with (migration 9999"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_newer_database_of_which_a_migration_is_missing_or_altered_is_not_taken_for_newer() {
        let mut newer = applied();
        newer.push((9_999, vec![0]));
        newer[1].1[0] ^= 1;
        assert_eq!(compare(&newer, None), SchemaState::Altered(2));
        newer.remove(1);
        assert_eq!(compare(&newer, None), SchemaState::Pending(vec![2]));
    }

    #[test]
    fn a_migration_that_takes_something_away_says_which_program_is_the_oldest_that_still_works() {
        let takes_away = ["drop table", "drop column", "rename to", "rename column", "set not null", " type "];
        for migration in MIGRATOR.iter().skip(1) {
            let sql = migration.sql.as_str().to_lowercase();
            let changes = |line: &&str| line.contains("alter ") || line.contains("drop ");
            let found = sql.lines().filter(changes).find(|line| takes_away.iter().any(|words| line.contains(words)));
            let says = sql.contains("comment on schema portal is 'oldest program: ");
            assert!(found.is_none() || says, "migration {}: {found:?}", migration.version);
        }
    }
}
