//! The three roles (A-01): the owner migrates, the app serves, the reader verifies. Owns the SQL that makes them, which
//! is the same for a private Postgres and for the one an operator prepares by hand.
//!
//! A migration never creates a role, and nothing here ever sets a password.

use sqlx::{Executor, PgConnection};

/// Who a login is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs migrations and owns everything. Never used for serving.
    Owner,
    /// Serves: reads records, appends them, changes none.
    App,
    /// Verifies and exports.
    Reader,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Owner, Self::App, Self::Reader];

    /// The role's name in Postgres.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "countersign_owner",
            Self::App => "countersign_app",
            Self::Reader => "countersign_reader",
        }
    }
}

/// The SQL an operator of a managed Postgres runs once (`countersign migrate --print-roles`). It works as a role that is
/// no superuser: it needs to create roles and to own the database.
#[must_use]
pub fn print_roles() -> &'static str {
    include_str!("roles.sql")
}

/// Makes the roles and grants, where missing, in the database `conn` is connected to.
pub async fn create(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    conn.execute(print_roles()).await.map(|_| ())
}

/// The roles that do not exist yet.
pub async fn list_missing(conn: &mut PgConnection) -> Result<Vec<Role>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select rolname::text as "name!" from pg_catalog.pg_roles where rolname like 'countersign\_%'"#
    )
    .fetch_all(conn)
    .await?;
    Ok(Role::ALL.into_iter().filter(|role| !found.iter().any(|name| name == role.name())).collect())
}
