//! The first grant, what is kept about people for later questions, and `countersign grant` as the operator runs it.

use std::process::{Command, Output};

use countersign::access::Access;
use countersign::access::grants::{Asked, Whom};
use countersign::accounts::By;
use countersign::accounts::admin::NewAccount;
use countersign::database::Role as DatabaseRole;
use countersign::domain::access::{Capability, GatePattern};
use countersign::domain::people::{Role, Roles};
use countersign::random::Random;
use jiff::SignedDuration;
use jiff_sqlx::ToSqlx as _;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;

use crate::house::{ANNA, House, PASSWORD};
use crate::support::postgres::PROGRAM;
use crate::support::smtp::Sink;

fn access(house: &House) -> Access {
    Access::new(house.database.clone(), house.clock.clone(), Random::system())
}

fn grant(house: &House, args: &[&str]) -> (i32, String, String) {
    let url = house.test.options(DatabaseRole::App).to_url_lossy();
    let Output { status, stdout, stderr } =
        Command::new(PROGRAM).arg("grant").args(args).env_clear().env("DATABASE_URL", url.as_str()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test]
async fn the_first_approver_the_operator_makes_may_decide_everything_and_nobody_after() {
    let house = House::new().await;
    house.account("boss@example.org", &[Role::Admin]).await;
    assert_eq!(access(&house).list_grants().await.unwrap().len(), 0, "an admin decides nothing by that");
    let anna = house.account(ANNA, &[Role::Approver]).await;
    house.account("bert@example.org", &[Role::Approver]).await;
    let grants = access(&house).list_grants().await.unwrap();
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].to, countersign::store::access::grants::To::Person(anna));
    assert!(grants[0].gates.is_everything());
    let given = &house.records_of("grant.given").await[0];
    assert_eq!((&given.payload["given_to"]["email"], &given.payload["gates"]), (&json!(ANNA), &json!("every gate")));
    house.verify().await;
}

#[tokio::test]
async fn an_approver_whom_an_admin_makes_gets_no_grant_by_that() {
    let house = House::new().await;
    house.account("boss@example.org", &[Role::Admin]).await;
    let boss = house.sign_in_as_admin("boss@example.org").await;
    let new = NewAccount {
        email: ANNA.into(),
        name: "Anna".into(),
        roles: Roles::default().with(Role::Approver),
        password: Some(PASSWORD.into()),
    };
    house.accounts.create(&By::admin(&boss.person).unwrap(), new).await.unwrap();
    assert_eq!(access(&house).list_grants().await.unwrap().len(), 0);
}

#[tokio::test]
async fn roles_and_being_enabled_are_kept_as_they_were() {
    let house = House::new().await;
    let began = house.clock.now();
    let anna = house.account(ANNA, &[Role::Approver]).await;
    house.account("boss@example.org", &[Role::Admin]).await;
    house.pass(SignedDuration::from_hours(1));
    let both = [Role::Approver, Role::Auditor].into_iter().collect();
    house.accounts.change_roles(&By::Operator, anna, both).await.unwrap();
    house.pass(SignedDuration::from_hours(1));
    house.accounts.disable(&By::Operator, anna).await.unwrap();
    house.pass(SignedDuration::from_hours(1));
    house.accounts.enable(&By::Operator, anna).await.unwrap();
    let mut then = Vec::new();
    for minutes in [-1, 30, 90, 150, 200] {
        let picture = access(&house).picture(Some(began + SignedDuration::from_mins(minutes))).await.unwrap();
        let person = picture.people.iter().find(|person| person.account == anna);
        then.push(person.map(|person| (person.roles.join(" "), person.enabled)));
    }
    let was = |roles: &str, enabled| Some((roles.to_owned(), enabled));
    let expected = [
        None,
        was("approver", true),
        was("approver auditor", true),
        was("approver auditor", false),
        was("approver auditor", true),
    ];
    assert_eq!(then, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_gives_lists_and_ends_grants() {
    let house = House::new().await;
    house.account("first@example.org", &[Role::Approver]).await;
    house.account(ANNA, &[Role::Approver]).await;
    let added =
        grant(&house, &["add", "--email", ANNA, "--pipeline", "shop-*", "--tag", "team=shop", "--note", "CHG-1"]);
    assert_eq!(added.0, 0, "{}", added.2);
    assert_eq!(added.2, "Person anna may decide pipeline shop-*, tag team = shop: it fits 0 gates now.\n");
    let id = added.1.trim();
    let (_, listed, _) = grant(&house, &["list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let ours = listed.as_array().unwrap().iter().find(|it| it["id"] == id).unwrap();
    assert_eq!(ours["pattern"]["pipeline"], "shop-*");
    assert!(grant(&house, &["list"]).1.contains("CHG-1"));
    access(&house).create_group(&By::Operator, "Payments", "").await.unwrap();
    assert_eq!(grant(&house, &["add", "--group", "payments", "--lets", "stand-in"]).0, 0);
    let ended = grant(&house, &["end", "--id", id]);
    assert_eq!((ended.0, ended.2.as_str()), (0, "Ended.\n"));
    let again = grant(&house, &["end", "--id", id]);
    assert_eq!((again.0, again.2.as_str()), (1, "There is no such grant, or it has ended already.\n"));
    let records = house.records_of("grant.ended").await;
    assert_eq!((records.len(), records[0].actor.as_str()), (1, "operator"));
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_cannot_be_given_says_why_at_each_option() {
    let house = House::new().await;
    house.account("audrey@example.org", &[Role::Auditor]).await;
    let (code, _, said) = grant(&house, &["add", "--email", "audrey@example.org", "--pipeline", "a b"]);
    assert_eq!(code, 1);
    assert!(said.contains("--email: Person audrey does not have the role approver"), "{said}");
    assert!(said.contains("--pipeline: ") && said.contains("cannot be in a name"), "{said}");
    assert!(grant(&house, &["add", "--group", "Nobody"]).2.contains("There is no group of this name."));
    assert!(grant(&house, &["add", "--email", ANNA, "--tag", "team"]).2.contains("KEY=VALUE"));
    assert_eq!(grant(&house, &["add"]).0, 2, "a person or a group is required");
    assert_eq!(grant(&house, &["add", "--email", ANNA, "--group", "x"]).0, 2, "and not both");
    assert_eq!(grant(&house, &["end", "--id", "x"]).0, 2);
    assert_eq!(house.records_of("grant.given").await.len(), 0);
}

#[tokio::test]
async fn what_ends_with_a_deleted_person_is_recorded_signed_and_told() {
    // S-35
    let (house, sink) = (House::new().await, Sink::start().await);
    let access = access(&house).mailing(house.accounts.outbox());
    let boss = house.account("boss@example.org", &[Role::Admin]).await;
    let (lee, sam) = ("lee@example.org", "sam@example.org");
    let (lee_id, sam_id) = (house.account(lee, &[Role::Approver]).await, house.account(sam, &[Role::Approver]).await);
    let by = By::admin(&house.sign_in_as_admin("boss@example.org").await.person).unwrap();
    let give = async |capability, email: &str| {
        let gates = GatePattern::everything().fields();
        let asked = Asked { capability, whom: Whom::Email(email.into()), gates, note: String::new() };
        access.give(&by, &asked).await.unwrap()
    };
    let grant = give(Capability::Decide, lee).await;
    let group = access.create_group(&by, "Payments", "").await.unwrap();
    access.add_member(&by, group, lee).await.unwrap();
    // Without a gate in the database nobody can be named on a page.
    let stand_in = uuid::Uuid::from_u128(7);
    let named = "insert into portal.stand_in (id, for_account, by_account, from_at, until_at, made_at)
        values ($1, $2, $3, $4, $4 + interval '2 days', $4)";
    let mut conn = house.test.connect_superuser().await;
    let now: jiff_sqlx::Timestamp = house.clock.now().to_sqlx();
    sqlx::query(named).bind(stand_in).bind(lee_id.0).bind(sam_id.0).bind(now).execute(&mut conn).await.unwrap();

    house.accounts.delete(&by, lee_id).await.unwrap();
    let deleted = house.records_of("account.deleted").await.pop().unwrap().payload;
    assert!(deleted["grants_ended"].as_array().unwrap().contains(&json!(grant)), "{deleted}");
    assert_eq!(deleted["groups_left"], json!([group]));
    assert_eq!(deleted["stand_ins_ended"], json!([stand_in]));
    let unsigned =
        "select (select count(*) from portal.access_grant where account_id = $1 and ended_by is distinct from $2)
        + (select count(*) from portal.stand_in where for_account = $1 and ended_by is distinct from $2)";
    let unsigned = sqlx::query_scalar::<_, i64>(unsigned).bind(lee_id.0).bind(boss.0).fetch_one(&mut conn).await;
    assert_eq!(unsigned.unwrap(), 0);
    house.deliver(&house.mailer(sink.address)).await;
    let told = sink.newest_for(sam);
    assert!(told.text().contains("You stand in for Person lee no longer"), "{}", told.text());
    house.verify().await;
}

#[tokio::test]
async fn every_other_admin_is_mailed_what_one_gives_themselves() {
    let (house, sink) = (House::new().await, Sink::start().await);
    let mailer = house.mailer(sink.address);
    let access = access(&house).mailing(house.accounts.outbox());
    let (eve, lee) = ("eve@example.org", "lee@example.org");
    house.account(eve, &[Role::Admin, Role::Approver]).await;
    house.account("adam@example.org", &[Role::Admin]).await;
    house.account(lee, &[Role::Approver]).await;
    let by = By::admin(&house.sign_in_as_admin(eve).await.person).unwrap();
    let give = async |capability, email: &str| {
        let gates = GatePattern::everything().fields();
        let asked = Asked { capability, whom: Whom::Email(email.into()), gates, note: String::new() };
        access.give(&by, &asked).await.unwrap()
    };
    give(Capability::Decide, eve).await;
    give(Capability::Decide, lee).await;
    house.deliver(&mailer).await;
    let told = sink.newest_for("adam@example.org");
    assert!(told.text().contains("Person eve gave themselves a grant to decide every gate."), "{}", told.text());
    let about = |email: &str| sink.taken_for(email).iter().filter(|mail| mail.subject() == told.subject()).count();
    assert_eq!((about("adam@example.org"), about(eve), about(lee)), (1, 0, 0), "one grant was to oneself");

    house.verify().await;
}
