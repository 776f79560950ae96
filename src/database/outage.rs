//! Which errors of the database mean "not now" rather than "never". It must never count among them what is wrong with a
//! statement, with what the database holds, or with who asks.

use sqlx::Error;

/// Whether an error is about reaching the server, or the server coming up or going down: a start is tried again after it.
#[must_use]
pub fn is_passing(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::PoolTimedOut => true,
        Error::Database(refused) => {
            let code = refused.code().unwrap_or_default();
            // 08 connection; too many connections; shut down by an operator, by a crash, not yet up.
            code.starts_with("08") || matches!(&*code, "53300" | "57P01" | "57P02" | "57P03")
        }
        _ => false,
    }
}

/// Whether a person is told to come again: [`is_passing`], and besides whatever came between a working server and this
/// one request: resources ran out, it is read-only after a failover, somebody held a lock for too long (P-05, P-12, P-13).
#[must_use]
pub fn is_transient(error: &Error) -> bool {
    match error {
        Error::PoolClosed | Error::WorkerCrashed | Error::Tls(_) | Error::Protocol(_) => true,
        Error::Database(refused) => {
            let code = refused.code().unwrap_or_default();
            // 53 resources, 57 operator intervention (57014 is our own statement_timeout), 40 serialisation and deadlock,
            // 55P03 lock not available, 25006 read-only.
            is_passing(error)
                || ["53", "57", "40"].iter().any(|class| code.starts_with(class))
                || matches!(&*code, "55P03" | "25006")
        }
        _ => is_passing(error),
    }
}
