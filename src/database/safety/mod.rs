//! Whether this database may be served from (A-03). Owns the list of everything that would make the record worth less:
//! too much power in the serving role, a guard removed or altered, a server that may forget commits, a tail cut off.
//!
//! `serve` refuses to start on any finding, and `/readyz` fails. This module only reads; it must never mend what it finds,
//! because somebody did it and an operator has to know.

mod expected;

use std::fmt;

use sqlx::PgConnection;

use expected::{FUNCTIONS, TRIGGERS};

/// One reason not to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsafe {
    NoTables,
    Superuser { role: String },
    MayBecome { role: String, other: String, why: &'static str },
    Attribute { role: String, attribute: &'static str },
    Privilege { role: String, privilege: String, object: String },
    CannotAppend { role: String },
    Trigger { table: String, name: String, fault: &'static str },
    Rule { table: String, name: String },
    Function { name: String, fault: &'static str },
    Setting { name: &'static str },
    Head { head: i64, last: i64 },
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LOGIN: &str = "Set DATABASE_URL to a login that is countersign_app and nothing more";
        match self {
            Self::NoTables => write!(f, "There is no audit table here. Run `countersign migrate`."),
            Self::Superuser { role } => {
                write!(f, "The serving role {role} is a superuser and could change records. {LOGIN}.")
            }
            Self::MayBecome { role, other, why } => {
                write!(f, "The serving role {role} may act as {other}, which {why}. {LOGIN}.")
            }
            Self::Attribute { role, attribute } => {
                write!(f, "The serving role {role} has {attribute} and could gain power over the records. {LOGIN}.")
            }
            Self::Privilege { role, privilege, object } => write!(
                f,
                "The serving role {role} has {privilege} on {object}; it may read and append records and no more. \
                 As the owner: revoke {privilege} on {object} from {role} (or from public)."
            ),
            Self::CannotAppend { role } => {
                write!(
                    f,
                    "The serving role {role} may not read or append records, so nothing could be decided. {LOGIN}."
                )
            }
            Self::Trigger { table, name, fault } => write!(
                f,
                "The trigger {name} on audit.{table} {fault}. Find out who did this, verify the records with \
                 `countersign audit verify`, then restore it as the migrations have it."
            ),
            Self::Rule { table, name } => write!(
                f,
                "Somebody added the rule {name} to audit.{table}. Find out who did this, verify the records with \
                 `countersign audit verify`, then drop it."
            ),
            Self::Function { name, fault } => write!(
                f,
                "The function audit.{name} {fault}. Find out who did this, verify the records with \
                 `countersign audit verify`, then restore it as the migrations have it."
            ),
            Self::Setting { name } => write!(
                f,
                "{name} is off: after a crash the server could forget records it has confirmed. Turn it on in \
                 postgresql.conf, and for this role and database."
            ),
            Self::Head { head, last } => write!(
                f,
                "The newest record is {last} but the head names {head}: records were cut off, added by hand or \
                 restored in part. Run `countersign audit verify`."
            ),
        }
    }
}

/// Everything wrong with serving from this database as the login of `conn`. Empty: it is safe.
pub async fn check(conn: &mut PgConnection) -> Result<Vec<Unsafe>, sqlx::Error> {
    let tables = sqlx::query_scalar!(
        r#"select to_regclass('audit.record') is not null and to_regclass('audit.payload') is not null
               and to_regclass('audit.head') is not null as "tables!""#
    )
    .fetch_one(&mut *conn)
    .await?;
    if !tables {
        return Ok(vec![Unsafe::NoTables]);
    }
    let mut found = check_settings(conn).await?;
    // Of a superuser every further question about rights is answered with yes.
    match check_role(conn).await? {
        superuser if superuser.iter().any(|one| matches!(one, Unsafe::Superuser { .. })) => found.extend(superuser),
        others => {
            found.extend(others);
            found.extend(check_privileges(conn).await?);
        }
    }
    found.extend(check_triggers(conn).await?);
    found.extend(check_functions(conn).await?);
    found.extend(check_head(conn).await?);
    Ok(found)
}

async fn check_settings(conn: &mut PgConnection) -> Result<Vec<Unsafe>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select current_setting('fsync') as "fsync!", current_setting('full_page_writes') as "full_page_writes!",
               current_setting('synchronous_commit') as "synchronous_commit!""#
    )
    .fetch_one(conn)
    .await?;
    let settings = [
        ("fsync", row.fsync),
        ("full_page_writes", row.full_page_writes),
        ("synchronous_commit", row.synchronous_commit),
    ];
    Ok(settings.into_iter().filter(|(_, value)| value == "off").map(|(name, _)| Unsafe::Setting { name }).collect())
}

async fn check_role(conn: &mut PgConnection) -> Result<Vec<Unsafe>, sqlx::Error> {
    let me = sqlx::query!(
        r#"select rolname::text as "role!", rolsuper as "superuser!", rolcreaterole as "createrole!",
               rolreplication as "replication!", rolbypassrls as "bypassrls!"
           from pg_catalog.pg_roles where rolname = current_user"#
    )
    .fetch_one(&mut *conn)
    .await?;
    let role = me.role;
    if me.superuser {
        return Ok(vec![Unsafe::Superuser { role }]);
    }
    let attributes = [(me.createrole, "CREATEROLE"), (me.replication, "REPLICATION"), (me.bypassrls, "BYPASSRLS")];
    let held = attributes.into_iter().filter(|(held, _)| *held);
    let mut found: Vec<Unsafe> =
        held.map(|(_, attribute)| Unsafe::Attribute { role: role.clone(), attribute }).collect();
    let powers = sqlx::query!(
        r#"select o.rolname::text as "other!", (o.rolname in ('pg_execute_server_program', 'pg_write_server_files')
               or o.rolsuper) as "server!"
           from pg_catalog.pg_roles o
           where pg_has_role(o.oid, 'MEMBER') and (o.rolsuper
               or o.rolname in ('pg_execute_server_program', 'pg_write_server_files')
               or o.oid = (select datdba from pg_catalog.pg_database where datname = current_database())
               or o.oid in (select relowner from pg_catalog.pg_class where relnamespace = to_regnamespace('audit'))
               or o.oid in (select proowner from pg_catalog.pg_proc where pronamespace = to_regnamespace('audit'))
               or o.oid = (select nspowner from pg_catalog.pg_namespace where nspname = 'audit'))"#
    )
    .fetch_all(conn)
    .await?;
    found.extend(powers.into_iter().map(|power| {
        let why = if power.server { "has the server's own powers" } else { "owns the records or their database" };
        Unsafe::MayBecome { role: role.clone(), other: power.other, why }
    }));
    Ok(found)
}

async fn check_privileges(conn: &mut PgConnection) -> Result<Vec<Unsafe>, sqlx::Error> {
    let held = sqlx::query!(
        r#"select current_user::text as "role!", privilege as "privilege!", object as "object!" from (
               select p.privilege, 'audit.' || c.relname as object
               from pg_catalog.pg_class c,
                   unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p (privilege)
               where c.relnamespace = to_regnamespace('audit') and c.relkind in ('r', 'p', 'v', 'm', 'f')
                   and (has_table_privilege(c.oid, p.privilege) or p.privilege in ('INSERT', 'UPDATE', 'REFERENCES')
                       and has_any_column_privilege(c.oid, p.privilege))
               union all
               select 'EXECUTE', 'function ' || f.oid::regprocedure::text from pg_catalog.pg_proc f
               where f.pronamespace = to_regnamespace('audit') and has_function_privilege(f.oid, 'EXECUTE')
                   and f.oid is distinct from to_regprocedure('audit.append(text,text,bytea)')
               union all
               select 'CREATE', 'schema ' || n.nspname from pg_catalog.pg_namespace n
               where has_schema_privilege(n.oid, 'CREATE') and n.nspname !~ '^pg_(toast_)?temp_'
               union all
               select 'CREATE', 'database ' || current_database()
               where has_database_privilege(current_database(), 'CREATE')
           ) held"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut found: Vec<Unsafe> = held
        .into_iter()
        .map(|one| Unsafe::Privilege { role: one.role, privilege: one.privilege, object: one.object })
        .collect();
    let needs = sqlx::query!(
        r#"select current_user::text as "role!", (has_schema_privilege('audit', 'USAGE')
               and has_table_privilege('audit.record', 'SELECT') and has_table_privilege('audit.payload', 'SELECT')
               and has_table_privilege('audit.head', 'SELECT')
               and coalesce(has_function_privilege(to_regprocedure('audit.append(text,text,bytea)'), 'EXECUTE'), true))
               as "met!""#
    )
    .fetch_one(conn)
    .await?;
    if !needs.met {
        found.push(Unsafe::CannotAppend { role: needs.role });
    }
    Ok(found)
}

async fn check_triggers(conn: &mut PgConnection) -> Result<Vec<Unsafe>, sqlx::Error> {
    let there = sqlx::query!(
        r#"select c.relname::text as "table!", t.tgname::text as "name!", t.tgtype as "events!",
               t.tgenabled = 'A' as "always!",
               t.tgfoid = to_regproc('audit.' || p.proname) and t.tgqual is null and t.tgattr::text = ''
                   and t.tgnargs = 0 as "plain!",
               p.proname::text as "function!"
           from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
               join pg_catalog.pg_proc p on p.oid = t.tgfoid
           where c.relnamespace = to_regnamespace('audit') and not t.tgisinternal"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut found = Vec::new();
    let mut report = |table: &str, name: &str, fault| {
        found.push(Unsafe::Trigger { table: table.to_owned(), name: name.to_owned(), fault });
    };
    for expected in TRIGGERS {
        match there.iter().find(|one| one.table == expected.table && one.name == expected.name) {
            None => report(expected.table, expected.name, "is missing"),
            Some(one) if !one.always => report(expected.table, expected.name, "does not fire always"),
            Some(one) if !one.plain || one.function != expected.function || one.events != expected.events => {
                report(expected.table, expected.name, "was altered");
            }
            Some(_) => {}
        }
    }
    for one in &there {
        if !TRIGGERS.iter().any(|expected| one.table == expected.table && one.name == expected.name) {
            report(&one.table, &one.name, "is none of Countersign's");
        }
    }
    let rules = sqlx::query!(
        r#"select tablename::text as "table!", rulename::text as "name!" from pg_catalog.pg_rules
           where schemaname = 'audit'"#
    )
    .fetch_all(conn)
    .await?;
    found.extend(rules.into_iter().map(|rule| Unsafe::Rule { table: rule.table, name: rule.name }));
    Ok(found)
}

async fn check_functions(conn: &mut PgConnection) -> Result<Vec<Unsafe>, sqlx::Error> {
    let there = sqlx::query!(
        r#"select p.proname::text as "name!", p.prosrc as "body!", p.prosecdef as "definer!", l.lanname = 'plpgsql' as "plpgsql!",
               p.proconfig = array['search_path=pg_catalog, pg_temp'] as "path",
               p.proowner = (select relowner from pg_catalog.pg_class where oid = to_regclass('audit.record')) as "owned!"
           from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
           where p.pronamespace = to_regnamespace('audit')"#
    )
    .fetch_all(conn)
    .await?;
    let mut found = Vec::new();
    let mut report = |name: &str, fault| found.push(Unsafe::Function { name: name.to_owned(), fault });
    for expected in FUNCTIONS {
        let mut named = there.iter().filter(|one| one.name == expected.name);
        let Some(one) = named.next() else {
            report(expected.name, "is missing");
            continue;
        };
        let body = expected::find_body(expected.name).unwrap_or_default();
        if named.next().is_some() {
            report(expected.name, "exists twice");
        } else if one.body != body || !one.plpgsql || !one.owned {
            report(expected.name, "was altered");
        } else if one.definer != expected.definer {
            report(expected.name, "runs with the wrong rights");
        } else if one.path != Some(true) {
            report(expected.name, "has lost its fixed search_path");
        }
    }
    for one in &there {
        if !FUNCTIONS.iter().any(|expected| expected.name == one.name) {
            report(&one.name, "is none of Countersign's");
        }
    }
    Ok(found)
}

async fn check_head(conn: &mut PgConnection) -> Result<Vec<Unsafe>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select coalesce((select h.seq from audit.head h where h.one = 1), -1) as "head!",
               coalesce((select max(r.seq) from audit.record r), 0) as "last!",
               exists (select from audit.head h left join audit.record r on r.seq = h.seq
                   where h.one = 1 and (h.seq = 0 or r.hash = h.hash and r.at = h.at)) as "same!""#
    )
    .fetch_one(conn)
    .await?;
    if row.same && row.head == row.last {
        return Ok(Vec::new());
    }
    Ok(vec![Unsafe::Head { head: row.head, last: row.last }])
}
