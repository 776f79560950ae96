//! Who and what takes part in the year of [`super::year`]: 500 people in 20 teams, 1,000 pipelines in 20 sources of which
//! 300 have a gate, and those who decide at AWS themselves. A few of each are rare on purpose, for searches that find
//! next to nothing.

use uuid::Uuid;

use countersign::random::Random;
use jiff::Timestamp;

pub const SOURCES: usize = 20;
pub const PIPELINES: usize = 1_000;
/// The first ones have a gate.
pub const GATED: usize = 300;
pub const PEOPLE: usize = 500;
/// Decided five times in the year.
pub const RARE_PERSON: usize = 498;
/// Left the company after the first weeks.
pub const EARLY_PERSON: usize = 499;
/// Released five times in the year.
pub const RARE_PIPELINE: usize = GATED - 1;

const TEAMS: [&str; SOURCES] = [
    "billing", "search", "shop", "mail", "maps", "login", "media", "risk", "stock", "fleet", "wallet", "claims",
    "portal", "orders", "badge", "ledger", "notify", "export", "tariff", "archive",
];
const SERVICES: [&str; 10] =
    ["api", "web", "worker", "batch", "gateway", "reports", "import", "sync", "admin", "events"];
const FIRST: [&str; 20] = [
    "Ana", "Ben", "Chen", "Dora", "Emil", "Fatma", "Goran", "Hanna", "Iris", "Jonas", "Kaja", "Liam", "Mila", "Noor",
    "Olga", "Pavel", "Quinn", "Rosa", "Sven", "Tara",
];
const LAST: [&str; 25] = [
    "Abel", "Brandt", "Costa", "Dahl", "Eklund", "Fischer", "Garcia", "Horvat", "Ivanov", "Jensen", "Keller", "Lopez",
    "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Suzuki", "Tanaka", "Ueda", "Vogel", "Weber", "Young",
    "Zeman",
];

/// One who signs in.
#[derive(Debug, Clone)]
pub struct Somebody {
    pub id: Uuid,
    pub name: String,
    pub email: String,
}

/// One pipeline.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub source: String,
    pub account: String,
    pub name: String,
}

/// Everybody and everything.
#[derive(Debug, Clone)]
pub struct Cast {
    pub people: Vec<Somebody>,
    pub pipelines: Vec<Pipeline>,
    /// Those who decide at AWS; the first does it most, the last five times.
    pub arns: Vec<String>,
}

impl Cast {
    pub fn new(random: &Random, at: Timestamp) -> Self {
        let person = |n: usize| {
            let name = match n {
                RARE_PERSON => "Rita Rare".to_owned(),
                EARLY_PERSON => "Eve Early".to_owned(),
                n => format!("{} {}", FIRST[n % 20], LAST[n / 20]),
            };
            let email = format!("{}@bench.example", name.to_lowercase().replace(' ', "."));
            Somebody { id: random.uuid_v7(at), name, email }
        };
        let pipeline = |n: usize| {
            let (team, rank) = (n % SOURCES, n / SOURCES);
            let name = match n {
                RARE_PIPELINE => "yearly-closing".to_owned(),
                _ => format!("{}-{}-{rank:02}", TEAMS[team], SERVICES[rank % 10]),
            };
            Pipeline { source: TEAMS[team].to_owned(), account: format!("{}", 111_122_220_000_u64 + team as u64), name }
        };
        let arn = |n: usize| match n {
            0 => "arn:aws:sts::111122220000:assumed-role/Release/deploy-bot".to_owned(),
            n => format!("arn:aws:iam::{}:user/admin-{n:02}", 111_122_220_000_u64 + (n % SOURCES) as u64),
        };
        Self {
            people: (0..PEOPLE).map(person).collect(),
            pipelines: (0..PIPELINES).map(pipeline).collect(),
            arns: (0..50).map(arn).collect(),
        }
    }
}
