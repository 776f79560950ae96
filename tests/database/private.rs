//! The private Postgres: found, made, guarded, and there again after whatever happened.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use countersign::database::Role;
use countersign::database::private::{Keep, PrivateError, PrivateOptions, PrivatePostgres};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use sqlx::{ConnectOptions, Executor};

use crate::support::postgres::{PROGRAM, memory_dir};

/// A data directory that is removed at the end of the test.
struct DataDir(PathBuf);

impl DataDir {
    fn new(name: &str) -> Self {
        Self(memory_dir().join(format!("countersign-private-{name}-{}", std::process::id())))
    }

    fn options(&self) -> PrivateOptions {
        PrivateOptions {
            data_dir: self.0.clone(),
            guard_exe: PROGRAM.into(),
            bin_dir: None,
            keep: Keep::Forever,
            settings: Vec::new(),
            progress: |_| {},
        }
    }

    async fn start(&self) -> PrivatePostgres {
        PrivatePostgres::start(&self.options()).await.unwrap()
    }

    /// The process of the server, as its own file has it.
    fn postmaster(&self) -> Pid {
        let file = fs::read_to_string(self.0.join("postgres/cluster/postmaster.pid")).unwrap();
        Pid::from_raw(file.lines().next().unwrap().parse().unwrap())
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn parent_of(process: Pid) -> Pid {
    let output = Command::new("ps").args(["-o", "ppid=", "-p", &process.to_string()]).output().unwrap();
    Pid::from_raw(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
}

async fn note(postgres: &PrivatePostgres, what: &str) {
    let mut conn = postgres.superuser_options("countersign").connect().await.unwrap();
    conn.execute("create table if not exists notes (what text)").await.unwrap();
    sqlx::query("insert into notes values ($1)").bind(what).execute(&mut conn).await.unwrap();
}

async fn notes(postgres: &PrivatePostgres) -> Vec<String> {
    let mut conn = postgres.superuser_options("countersign").connect().await.unwrap();
    sqlx::query_scalar("select what from notes order by what").fetch_all(&mut conn).await.unwrap()
}

/// A process that holds a private Postgres as a portal does, to be killed. Started by the tests below as a process of its
/// own; prints what is going on, then `ready`.
#[tokio::test]
#[ignore = "a process for other tests, not a test"]
async fn stand_in() {
    let Ok(dir) = std::env::var("STAND_IN_DIR") else { return };
    let data = std::mem::ManuallyDrop::new(DataDir(dir.into()));
    let _postgres = PrivatePostgres::start(&PrivateOptions { progress: |step| println!("{step}"), ..data.options() })
        .await
        .unwrap();
    println!("ready");
    std::future::pending::<()>().await;
}

/// Starts the stand-in and waits until it prints a line with `word`.
fn start_stand_in(data: &DataDir, word: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "private::stand_in", "--ignored", "--nocapture"])
        .env("STAND_IN_DIR", &data.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).any(|line| line.contains(word));
    assert!(told, "the stand-in ended without saying {word}");
    child
}

#[tokio::test]
async fn nothing_becomes_a_cluster_that_only_its_own_user_can_enter() {
    let data = DataDir::new("first");
    let postgres = data.start().await;
    let mode = |path: &str| fs::metadata(data.0.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("postgres"), mode("postgres/cluster"), mode("postgres/socket")), (0o700, 0o700, 0o700));
    assert!(
        postgres.notice().contains(&data.0.join("postgres/cluster").display().to_string()),
        "{}",
        postgres.notice()
    );

    let mut conn = postgres.options(Role::App).connect().await.unwrap();
    let facts: (String, String, String, String, String) = sqlx::query_as(
        "select current_setting('listen_addresses'), current_setting('fsync'), current_setting('data_checksums'),
             current_setting('server_encoding'), current_user::text",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    let [no_network, fsync, checksums, encoding, user] = [facts.0, facts.1, facts.2, facts.3, facts.4];
    assert_eq!(
        [no_network.as_str(), &fsync, &checksums, &encoding, &user],
        ["", "on", "on", "UTF8", "countersign_app"]
    );
    drop(conn);
    postgres.stop().await.unwrap();
    assert!(!data.0.join("postgres/cluster/postmaster.pid").exists());
}

#[tokio::test]
async fn a_second_portal_is_refused_and_a_command_joins() {
    let data = DataDir::new("second");
    let postgres = data.start().await;
    let refused = PrivatePostgres::start(&data.options()).await.unwrap_err();
    assert!(
        matches!(&refused, PrivateError::InUse { process, .. } if *process == std::process::id().to_string()),
        "{refused}"
    );

    let command = |words: &'static [&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(words).env_clear().env("COUNTERSIGN_DATA_DIR", &data.0);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let migrated = command(&["migrate"]).await.unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    assert!(String::from_utf8_lossy(&migrated.stdout).ends_with("migrations were run.\n"), "{migrated:?}");
    let verified = command(&["audit", "verify"]).await.unwrap();
    assert!(String::from_utf8_lossy(&verified.stdout).starts_with("intact: 0 records"), "{verified:?}");
    // The commands have gone; the server has not.
    note(&postgres, "still here").await;
    postgres.stop().await.unwrap();
    // Without a portal the command runs the server itself, for as long as it takes.
    let verified = command(&["audit", "verify"]).await.unwrap();
    assert!(String::from_utf8_lossy(&verified.stdout).starts_with("intact: 0 records"), "{verified:?}");
    assert!(!data.0.join("postgres/cluster/postmaster.pid").exists());
}

#[tokio::test]
async fn kill_9_of_the_portal_stops_the_database_in_good_order() {
    static STEPS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let data = DataDir::new("kill");
    let mut portal = start_stand_in(&data, "ready");
    let before = data.postmaster();
    portal.kill().unwrap();
    portal.wait().unwrap();
    let options = PrivateOptions { progress: |step| STEPS.lock().unwrap().push(step.to_owned()), ..data.options() };
    let postgres = PrivatePostgres::start(&options).await.unwrap();
    assert_ne!(data.postmaster(), before);
    // Its guard stopped it: it was neither found running nor recovered.
    let steps = STEPS.lock().unwrap().clone();
    assert!(!steps.iter().any(|step| step.contains("lost its portal") || step.contains("recovering")), "{steps:?}");
    let log = fs::read_to_string(data.0.join("postgres/server.log")).unwrap();
    assert!(log.contains("received fast shutdown request") && !log.contains("not properly shut down"), "{log}");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn kill_9_while_the_cluster_is_being_made_leaves_nothing_in_the_way() {
    let data = DataDir::new("half");
    let mut portal = start_stand_in(&data, "Making a database cluster");
    portal.kill().unwrap();
    portal.wait().unwrap();
    let postgres = data.start().await;
    note(&postgres, "whole").await;
    assert!(!data.0.join("postgres/making").exists());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_lost_its_guard_is_stopped_and_started_again() {
    static STEPS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let data = DataDir::new("orphan");
    let postgres = data.start().await;
    note(&postgres, "kept").await;
    let orphan = data.postmaster();
    kill(parent_of(orphan), Signal::SIGKILL).unwrap();
    drop(postgres);
    let options = PrivateOptions { progress: |step| STEPS.lock().unwrap().push(step.to_owned()), ..data.options() };
    let postgres = PrivatePostgres::start(&options).await.unwrap();
    let steps = STEPS.lock().unwrap().clone();
    assert!(
        steps.iter().any(|step| step.contains("lost its portal") && step.contains(&orphan.to_string())),
        "{steps:?}"
    );
    assert_eq!(notes(&postgres).await, ["kept"]);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_crashed_cluster_with_a_stale_pid_file_recovers() {
    let data = DataDir::new("crash");
    let postgres = data.start().await;
    note(&postgres, "committed").await;
    let server = data.postmaster();
    kill(parent_of(server), Signal::SIGKILL).unwrap();
    kill(server, Signal::SIGKILL).unwrap();
    drop(postgres);
    // The number in the stale file now belongs to a process that is no database: this one.
    let file = data.0.join("postgres/cluster/postmaster.pid");
    let stale = fs::read_to_string(&file).unwrap().replacen(&server.to_string(), &std::process::id().to_string(), 1);
    fs::write(&file, stale).unwrap();
    let postgres = data.start().await;
    assert_eq!(notes(&postgres).await, ["committed"]);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_dies_is_started_again_by_its_guard() {
    let data = DataDir::new("dies");
    let postgres = data.start().await;
    note(&postgres, "committed").await;
    let before = data.postmaster();
    kill(before, Signal::SIGKILL).unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let mut tries = 0;
    while postgres.options(Role::App).connect().await.is_err() || data.postmaster() == before {
        tries += 1;
        assert!(tries < 600, "the server did not come back");
        tick.tick().await;
    }
    assert_eq!(notes(&postgres).await, ["committed"]);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_path_gets_a_short_socket() {
    let data = DataDir(memory_dir().join(format!("countersign-private-long-{}", std::process::id())));
    let deep = PrivateOptions { data_dir: data.0.join("deep/".repeat(25)), ..data.options() };
    let postgres = PrivatePostgres::start(&deep).await.unwrap();
    let options = postgres.options(Role::App);
    let socket = options.get_socket().unwrap().clone();
    assert!(socket.as_os_str().len() < 80, "{}", socket.display());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o700);
    note(&postgres, "reached").await;
    postgres.stop().await.unwrap();
    fs::remove_dir_all(socket).unwrap();
}

/// As root the server runs as another user, who may not pass through a closed directory; as anybody else it is one's own.
#[tokio::test]
async fn a_closed_directory_on_the_way_is_named_with_a_place_that_works() {
    let closed = tempfile::tempdir_in(memory_dir()).unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let options = PrivateOptions { data_dir: closed.path().join("data"), ..DataDir::new("unused").options() };
    match PrivatePostgres::start(&options).await {
        Ok(postgres) => {
            assert!(!Uid::effective().is_root());
            postgres.stop().await.unwrap();
        }
        Err(error) => {
            let said = error.to_string();
            assert!(Uid::effective().is_root(), "{said}");
            assert!(said.contains(&format!("may not pass through {}.", closed.path().display())), "{said}");
            assert!(said.contains("/var/lib/countersign"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_directory_that_is_no_cluster_is_left_alone() {
    let data = DataDir::new("nocluster");
    fs::create_dir_all(data.0.join("postgres/cluster")).unwrap();
    for dir in [&data.0, &data.0.join("postgres"), &data.0.join("postgres/cluster")] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(data.0.join("postgres/cluster/precious"), "x").unwrap();
    let said = PrivatePostgres::start(&data.options()).await.unwrap_err().to_string();
    assert!(said.contains("exists but is no Postgres cluster (it has no PG_VERSION)"), "{said}");
    assert!(data.0.join("postgres/cluster/precious").exists());
}

#[tokio::test]
async fn a_cluster_of_another_version_says_what_is_there_and_what_to_do() {
    let data = DataDir::new("version");
    fs::create_dir_all(data.0.join("postgres/cluster")).unwrap();
    fs::write(data.0.join("postgres/cluster/PG_VERSION"), "9\n").unwrap();
    let said = PrivatePostgres::start(&data.options()).await.unwrap_err().to_string();
    assert!(said.starts_with("The cluster here was made by PostgreSQL 9; found on this machine: "), "{said}");
    assert!(said.contains("pg_upgrade"), "{said}");
}

#[tokio::test]
async fn a_setting_the_server_refuses_is_told_in_its_words() {
    let data = DataDir::new("setting");
    let options = PrivateOptions { settings: vec!["shared_buffers=lots".into()], ..data.options() };
    let said = PrivatePostgres::start(&options).await.unwrap_err().to_string();
    assert!(said.starts_with("The private Postgres did not start: ") && said.contains("shared_buffers"), "{said}");
}

#[tokio::test]
async fn without_server_programs_nothing_is_made() {
    let data = DataDir::new("programs");
    let options = PrivateOptions { bin_dir: Some(Path::new("/nonexistent").into()), ..data.options() };
    let said = PrivatePostgres::start(&options).await.unwrap_err().to_string();
    assert!(said.starts_with("/nonexistent has no postgres and initdb side by side."), "{said}");
    assert!(!data.0.join("postgres/cluster").exists());
}
