//! F-31: the disk of Postgres is full. A file system of its own, small and in memory, is really filled.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{Executor as _, PgConnection};

use crate::harness::{Stage, Told};
use crate::support::postgres::{TestDatabase, memory_dir};

/// A small file system, gone with the story.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounting needs rights. The story cannot be told without them, and must not be left out silently.
    fn mount() -> Self {
        let place = memory_dir().join(format!("countersign-small-disk-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let arguments = ["-t", "tmpfs", "-o", "size=256m,mode=0755", "tmpfs"];
        let mut tries = [Command::new("mount"), Command::new("sudo")];
        tries[1].args(["-n", "mount"]);
        let mounted = tries.iter_mut().any(|command| {
            let ran = command.args(arguments).arg(&place).output();
            ran.is_ok_and(|ran| ran.status.success())
        });
        assert!(mounted, "this test fills a file system: run it as root, or where `sudo -n mount` is allowed");
        Self(place)
    }

    /// Takes all that is left of it; returns what to remove to have it back.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        let mut block = vec![7; 1 << 20];
        while !block.is_empty() {
            if file.write_all(&block).is_err() {
                block.truncate(block.len() / 2);
            }
        }
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        for mut command in [Command::new("umount"), Command::new("sudo")] {
            let command = if command.get_program() == "sudo" { command.args(["-n", "umount"]) } else { &mut command };
            if command.arg("-l").arg(&self.0).output().is_ok_and(|ran| ran.status.success()) {
                break;
            }
        }
        fs::remove_dir(&self.0).ok();
    }
}

async fn own_server(disk: &Path) -> TestDatabase {
    TestDatabase::create_on_own_server(disk, &["max_wal_size=64MB", "min_wal_size=32MB", "max_connections=60"]).await
}

/// Uses up the room that is left inside the pages of a table that every intent is written to.
async fn use_up_pages(dba: &mut PgConnection) {
    let row = "insert into portal.decision_key (account_id, key_hash, body_hash, decision_id, created_at)
        select gen_random_uuid(), sha256(gen_random_uuid()::text::bytea), sha256('x'), gen_random_uuid(), now()
        from generate_series(1, $1)";
    dba.execute("set session_replication_role = replica").await.unwrap();
    for rows in [20, 1] {
        loop {
            let Err(error) = sqlx::query(row).bind(rows).execute(&mut *dba).await else { continue };
            let code =
                error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
            assert_eq!(code, "53100", "the disk is full: {error}");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_deciding_and_not_reading_and_is_over_as_soon_as_there_is_room() {
    let disk = SmallDisk::mount();
    let database = own_server(&disk.0).await;
    let stage = Stage::start_on(database, include_str!("harness/gates.toml"), None).await;
    let replica = stage.serving("only").await;
    let ana = stage.person("Ana").await;
    let approval = stage.waiting("shop").await;
    let form = ana.fill_in_when_shown(&replica, &approval, "approved").await;
    let pid = replica.pid().await;
    let mut dba = stage.database.connect_superuser().await;
    // The log goes on in a file that has its room already; it is data that there is no room for.
    dba.execute("checkpoint").await.unwrap();
    sqlx::query("select pg_switch_wal()").execute(&mut dba).await.unwrap();

    let ballast = disk.fill();
    use_up_pages(&mut dba).await;
    let told = ana.send(&replica, &form).await;
    assert!(matches!(&told, Told::NotNow(page) if page.starts_with("503 ")), "{told:?}\n{}", replica.log());
    assert!(stage.simulator.receipts().is_empty(), "no record, no act");
    for path in ["/", &format!("/approvals/{approval}")] {
        assert_eq!(ana.open(&replica, path).await.unwrap().status, 200, "{path}");
    }

    fs::remove_file(ballast).unwrap();
    assert_eq!(ana.send(&replica, &form).await, Told::Done, "{}", replica.log());
    assert_eq!(replica.pid().await, pid, "nothing had to be started again");
    let history = stage.judge().await;
    assert_eq!((history.effects.len(), history.receipts.len()), (1, 1));
}
