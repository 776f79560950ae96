//! Where a demo lives: its directory, who has it just now, and what it must remember to be the same next time. Owns the
//! files `demo.lock`, `demo.toml` (0600: it holds the sign-ins) and `world.jsonl` there.
//!
//! It must never remove anything from a directory that is no demo's.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::sign_ins::SignIn;
use crate::database::private::prepare_data_dir;
use crate::random::Random;

/// Why a demo cannot live in a directory. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("{0}")]
    Directory(String),
    #[error(
        "{} holds something that is no demo of Countersign. Choose an empty directory with --data-dir.", .0.display()
    )]
    NoDemo(PathBuf),
    #[error(
        "another demo (process {process}) is using {}. Stop it, or choose another directory with --data-dir.", .dir.display()
    )]
    InUse { dir: PathBuf, process: String },
    #[error("{}: {reason}. Put it right, or start over with --reset.", .path.display())]
    File { path: PathBuf, reason: String },
}

/// What a demo remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// What makes this demo's world its own.
    pub seed: u32,
    /// Where its review pages are. Links to them are in the records, so it stays.
    pub reviews_port: u16,
    pub sign_ins: Vec<SignIn>,
}

/// A directory taken by this process.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    /// Held for as long as the demo runs.
    _lock: File,
}

impl Place {
    /// Takes `dir`, making it first where it is missing.
    ///
    /// # Errors
    /// It cannot be used, is somebody else's, or another demo runs there.
    pub fn take(dir: &Path) -> Result<Self, PlaceError> {
        let advice = |text: &str| PlaceError::Directory(text.replace("COUNTERSIGN_DATA_DIR", "--data-dir"));
        let dir = prepare_data_dir(dir).map_err(|error| advice(&error.to_string()))?;
        let entries = fs::read_dir(&dir).map_err(|error| unusable(&dir, &error))?;
        let names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
        if !names.is_empty() && !names.iter().any(|name| name == "demo.lock") {
            return Err(PlaceError::NoDemo(dir));
        }
        Ok(Self { _lock: lock(&dir)?, dir })
    }

    /// The directory, absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the sign-ins are written down.
    #[must_use]
    pub fn memory_file(&self) -> PathBuf {
        self.dir.join("demo.toml")
    }

    /// The history of the simulated world.
    #[must_use]
    pub fn diary_file(&self) -> PathBuf {
        self.dir.join("world.jsonl")
    }

    /// Forgets everything: the next start is the first one.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn reset(&self) -> Result<(), PlaceError> {
        for name in ["demo.toml", "world.jsonl", "countersign.lock", "postgres"] {
            let path = self.dir.join(name);
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match gone {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable(&path, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// What an earlier start wrote down.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn find_memory(&self) -> Result<Option<Memory>, PlaceError> {
        let path = self.memory_file();
        let wrong = |reason: String| PlaceError::File { path: path.clone(), reason };
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map(Some).map_err(|error| wrong(error.message().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// Makes what a demo remembers, and writes it down where only this user reads it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create_memory(&self, reviews_port: u16, random: &Random) -> Result<Memory, PlaceError> {
        let seed = u32::from_be_bytes(random.bytes());
        let memory = Memory { seed, reviews_port, sign_ins: SignIn::make_all(random) };
        let path = self.memory_file();
        let text = toml::to_string(&memory).expect("numbers and texts are TOML");
        // Under another name first: a file cut short by a crash would be taken for a broken demo.
        let new = self.dir.join("demo.toml.new");
        let mut options = OpenOptions::new();
        let written = options.write(true).create(true).truncate(true).mode(0o600).open(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        });
        written.map_err(|error| unusable(&path, &error))?;
        Ok(memory)
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> PlaceError {
    PlaceError::Directory(format!(
        "{} cannot be used: {error}. Choose another directory with --data-dir.",
        path.display()
    ))
}

fn lock(dir: &Path) -> Result<File, PlaceError> {
    let path = dir.join("demo.lock");
    let failed = |error: &std::io::Error| unusable(&path, error);
    let mut options = OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = opened.map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            let _unreadable = file.read_to_string(&mut process);
            return Err(PlaceError::InUse { dir: dir.to_owned(), process: process.trim().to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(failed(&error)),
    }
    // A number left by a demo that was killed is simply replaced: only the lock says whether somebody is here.
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|error| failed(&error))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn sign_ins_are_made_per_directory_and_only_their_owner_reads_them() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let random = Random::system();
        let place = Place::take(one.path()).unwrap();
        assert!(place.find_memory().unwrap().is_none());
        let memory = place.create_memory(8081, &random).unwrap();
        let mode = fs::metadata(place.memory_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let kept = place.find_memory().unwrap().unwrap();
        assert_eq!((kept.seed, kept.reviews_port), (memory.seed, 8081));
        assert_eq!(kept.sign_ins[0].password, memory.sign_ins[0].password);
        let second = Place::take(other.path()).unwrap().create_memory(8081, &random).unwrap();
        for (here, there) in memory.sign_ins.iter().zip(&second.sign_ins) {
            assert_ne!(here.password, there.password);
        }
    }

    #[test]
    fn a_directory_that_is_no_demo_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
        let said = Place::take(dir.path()).unwrap_err().to_string();
        assert!(said.contains("no demo") && said.contains("--data-dir"), "{said}");
        assert!(dir.path().join("thesis.txt").exists());
    }

    #[test]
    fn a_reset_forgets_the_demo_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path()).unwrap();
        place.create_memory(8081, &Random::system()).unwrap();
        fs::create_dir_all(dir.path().join("postgres/cluster")).unwrap();
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        place.reset().unwrap();
        assert!(place.find_memory().unwrap().is_none());
        assert!(!dir.path().join("postgres").exists() && dir.path().join("notes.txt").exists());
    }

    #[test]
    fn a_second_demo_is_told_who_has_the_directory_and_a_stale_number_bothers_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let held = Place::take(dir.path()).unwrap();
        let said = Place::take(dir.path()).unwrap_err().to_string();
        assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
        drop(held);
        fs::write(dir.path().join("demo.lock"), "999999\n").unwrap();
        Place::take(dir.path()).unwrap();
    }

    #[test]
    fn a_memory_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path()).unwrap();
        fs::write(place.memory_file(), "seed = \"x\"").unwrap();
        let said = place.find_memory().unwrap_err().to_string();
        assert!(said.contains("demo.toml") && said.contains("--reset"), "{said}");
    }
}
