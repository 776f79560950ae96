//! Sessions, put into the database directly: signing 500 people in would take minutes and measure nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::accounts::{Accounts, Settings};
use countersign::clock::Clock;
use countersign::database::Database;
use countersign::domain::ids::sha256;
use countersign::random::Random;
use countersign::sealing::Sealer;
use sqlx::PgConnection;

/// The accounts service as it is served.
pub fn accounts(database: Database) -> Accounts {
    let settings = Settings {
        idle: jiff::SignedDuration::from_mins(30),
        absolute: jiff::SignedDuration::from_hours(8),
        local_sign_in: true,
        forbidden_words: Vec::new(),
        host: "127.0.0.1".into(),
        public_url: "http://127.0.0.1".parse().expect("a URL"),
        sends_mail: false,
    };
    let sealer = Sealer::of_keys(&[&[7; 32]], Random::system()).expect("32 bytes make a key");
    Accounts::new(database, Clock::system(), Random::system(), settings, sealer)
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
         join (select id, row_number() over (order by email_key) as n from portal.account) a using (n)",
    )
    .bind(hashes)
    .execute(superuser)
    .await
    .expect("sessions can be inserted");
    assert_eq!(done.rows_affected(), u64::try_from(count).expect("a count"));
    secrets.iter().map(|secret| URL_SAFE_NO_PAD.encode(secret)).collect()
}
