//! What the measurements share. Each uses a part of it.
#![allow(dead_code, reason = "every measurement compiles all of this and uses a part")]

pub mod load;
pub mod people;
pub mod processes;
pub mod stage;
pub mod table;

/// Puts records into the chain, until something quicker does.
pub async fn fill(conn: &mut sqlx::PgConnection, records: i64) {
    sqlx::query(
        "select count(a.o_seq) from generate_series(1, $1) n,
            lateral audit.append('bench.filler', 'system', convert_to(
                '{\"salt\":\"' || md5(n::text) || '\",\"source\":null,\"pipeline\":null,\"stage\":null,\"action\":null,'
                || '\"execution\":null,\"verdict\":null,\"outcome\":null,\"approval\":null,\"decision\":null,\"person\":null}',
                'UTF8')) a",
    )
    .bind(records)
    .execute(conn)
    .await
    .expect("records can be appended");
}
