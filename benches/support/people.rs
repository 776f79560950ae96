//! Accounts and sessions, put into the database directly: signing 500 people in would take minutes and measure nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::accounts::admin::NewAccount;
use countersign::accounts::{Accounts, By, Settings};
use countersign::clock::Clock;
use countersign::database::Database;
use countersign::domain::ids::sha256;
use countersign::domain::people::Role;
use countersign::random::Random;
use secrecy::SecretString;
use sqlx::PgConnection;

pub const PASSWORD: &str = "a long enough sentence to sign in with";

/// The accounts service as it is served.
pub fn accounts(database: Database) -> Accounts {
    let settings = Settings {
        idle: jiff::SignedDuration::from_mins(30),
        absolute: jiff::SignedDuration::from_hours(8),
        host: "127.0.0.1".into(),
    };
    Accounts::new(database, Clock::system(), Random::system(), settings)
}

/// `count` approvers `person-N@bench.example`, all with [`PASSWORD`] and the first one's name for it.
pub async fn create(database: &Database, superuser: &mut PgConnection, count: i32) {
    let first = NewAccount {
        email: "person-1@bench.example".into(),
        name: "Person One".into(),
        roles: [Role::Approver].into_iter().collect(),
        password: Some(SecretString::from(PASSWORD)),
    };
    accounts(database.clone()).create(&By::Operator, first).await.expect("the account is made");
    sqlx::query(
        "insert into portal.account (id, email, email_key, name, roles, password_phc, password_changed_at, created_at)
         select gen_random_uuid(), 'person-' || n || '@bench.example', 'person-' || n || '@bench.example',
            'Person ' || n, roles, password_phc, password_changed_at, created_at
         from portal.account, generate_series(2, $1) n where email_key = 'person-1@bench.example'",
    )
    .bind(count)
    .execute(superuser)
    .await
    .expect("accounts can be copied");
}

/// A session for each of the first `count` accounts; their cookies' values.
pub async fn sign_in(superuser: &mut PgConnection, count: i64) -> Vec<String> {
    let random = Random::system();
    let secrets: Vec<[u8; 32]> = (0..count).map(|_| random.bytes::<32>()).collect();
    let hashes: Vec<Vec<u8>> = secrets.iter().map(|secret| sha256(secret).to_vec()).collect();
    let done = sqlx::query(
        "insert into portal.session (id, token_hash, csrf_secret, account_id, method, address, user_agent, started_at,
            last_seen_at, expires_at)
         select gen_random_uuid(), h.hash, h.hash, a.id, 'password', '127.0.0.1', 'load', now(), now(),
            now() + interval '8 hours'
         from unnest($1::bytea[]) with ordinality h(hash, n)
         join (select id, row_number() over (order by created_at, email_key) as n from portal.account) a using (n)",
    )
    .bind(hashes)
    .execute(superuser)
    .await
    .expect("sessions can be inserted");
    assert_eq!(done.rows_affected(), u64::try_from(count).expect("a count"));
    secrets.iter().map(|secret| URL_SAFE_NO_PAD.encode(secret)).collect()
}
