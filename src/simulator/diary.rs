//! The diary of a simulator that is to be continued: when its worlds began, what was asked of them, and when nobody
//! looked. The same world file, seed and diary make the same history, so a later process finds the worlds as they were:
//! same executions, same tokens, same decisions.
//!
//! One JSON object a line, appended before the answer goes out; a line cut short by a crash never happened. While no
//! process runs, builds finish and approvals expire as ever, but nobody pushes changes. It keeps what came in over the
//! API; acts of the control listener are not continued.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How often the file's time says that somebody still looks.
const BEAT: SignedDuration = SignedDuration::from_secs(1);

/// Why a diary cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum DiaryError {
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("line {line} of {} cannot be read: {reason}", .path.display())]
    Line { path: PathBuf, line: usize, reason: String },
}

/// A request that changed a world.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    pub at: Timestamp,
    pub account: String,
    pub region: String,
    pub caller: String,
    pub operation: String,
    pub body: Map<String, Value>,
}

/// A time in which no process ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub from: Timestamp,
    pub to: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Began(Timestamp),
    Paused(Pause),
    Call(Kept),
}

/// An open diary.
#[derive(Debug)]
pub struct Diary {
    file: Mutex<(File, Timestamp)>,
    began: Timestamp,
    pauses: Vec<Pause>,
    kept: Vec<Kept>,
}

impl Diary {
    /// Opens the diary at `path`, or begins one, at the instant `now`.
    ///
    /// # Errors
    /// When it cannot be read or written, or is no diary.
    pub fn open(path: &Path, now: Timestamp) -> Result<Self, DiaryError> {
        let failed = |source| DiaryError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        let modified = file.metadata().and_then(|metadata| metadata.modified()).map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).and_then(|()| file.seek(std::io::SeekFrom::End(0))).map_err(failed)?;
        let mut diary = Self { file: Mutex::new((file, now)), began: now, pauses: Vec::new(), kept: Vec::new() };
        for (number, line) in text[..whole].lines().enumerate() {
            let wrong = |reason: String| DiaryError::Line { path: path.to_owned(), line: number + 1, reason };
            match serde_json::from_str(line).map_err(|error| wrong(error.to_string()))? {
                Line::Began(at) => diary.began = at,
                Line::Paused(pause) => diary.pauses.push(pause),
                Line::Call(kept) => diary.kept.push(kept),
            }
        }
        if whole == 0 {
            diary.write(&Line::Began(now)).map_err(failed)?;
        } else if let Ok(beat) = Timestamp::try_from(modified) {
            // What happened up to the next beat may have been seen by somebody and stays as it was. A file's time may lie
            // (a copy, a clock put right), what the diary tells does not.
            let seen = beat.max(diary.last());
            let pause = Pause { from: seen.checked_add(BEAT).unwrap_or(seen), to: now };
            if pause.from < pause.to {
                diary.write(&Line::Paused(pause)).map_err(failed)?;
                diary.pauses.push(pause);
            }
        }
        Ok(diary)
    }

    /// When the worlds began.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    pub fn pauses(&self) -> &[Pause] {
        &self.pauses
    }

    /// The requests of earlier processes, oldest first.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// The latest instant the diary tells of.
    fn last(&self) -> Timestamp {
        let ends = self.pauses.iter().map(|pause| pause.to).chain(self.kept.iter().map(|kept| kept.at));
        ends.chain([self.began]).max().unwrap_or(self.began)
    }

    /// Writes down a request that changed a world.
    pub fn keep(&self, kept: Kept) {
        if let Err(error) = self.write(&Line::Call(kept)) {
            tracing::error!("the simulator's diary cannot be written, a later start will lack this: {error}");
        }
    }

    /// Says that somebody still looks.
    pub fn beat(&self, now: Timestamp) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(file.1) >= BEAT {
            file.1 = now;
            // A beat that is lost makes a pause longer, nothing else.
            let _lost = file.0.set_modified(now.into());
        }
    }

    fn write(&self, line: &Line) -> std::io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.0.write_all(text.as_bytes())
    }
}

/// An instant moved out of the pauses: as long after a pause as it was after its beginning.
pub fn outside(pauses: &[Pause], mut at: Timestamp) -> Timestamp {
    for pause in pauses {
        if at >= pause.from && at < pause.to {
            at = pause.to.checked_add(at.duration_since(pause.from)).unwrap_or(at);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn kept(second: i64) -> Kept {
        let (account, region, caller) = ("1".to_owned(), "r".to_owned(), "c".to_owned());
        Kept { at: at(second), account, region, caller, operation: "PutApprovalResult".into(), body: Map::new() }
    }

    #[test]
    fn a_diary_is_continued_and_knows_when_nobody_looked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("world.jsonl");
        let first = Diary::open(&path, at(0)).unwrap();
        first.keep(kept(5));
        first.beat(at(10));
        drop(first);
        let second = Diary::open(&path, at(100)).unwrap();
        assert_eq!((second.began(), second.kept().len()), (at(0), 1));
        assert_eq!(second.pauses(), [Pause { from: at(11), to: at(100) }]);
        second.beat(at(110));
        drop(second);
        assert_eq!(Diary::open(&path, at(111)).unwrap().pauses().len(), 1, "a quick restart is no pause");
    }

    #[test]
    fn a_line_cut_short_never_happened_and_a_wrong_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("world.jsonl");
        Diary::open(&path, at(0)).unwrap().keep(kept(5));
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let cut = Diary::open(&path, at(6)).unwrap();
        assert_eq!(cut.kept().len(), 0);
        cut.keep(kept(7));
        drop(cut);
        assert_eq!(Diary::open(&path, at(8)).unwrap().kept()[0].at, at(7));
        std::fs::write(&path, "{\"began\":1}\n").unwrap();
        let error = Diary::open(&path, at(9)).unwrap_err().to_string();
        assert!(error.starts_with("line 1 of ") && error.contains("world.jsonl"), "{error}");
    }

    #[test]
    fn instants_inside_a_pause_move_behind_it() {
        let pauses = [Pause { from: at(10), to: at(100) }, Pause { from: at(105), to: at(200) }];
        assert_eq!(outside(&pauses, at(9)), at(9));
        assert_eq!(outside(&pauses, at(12)), at(102));
        assert_eq!(outside(&pauses, at(18)), at(203));
        assert_eq!(outside(&pauses, at(201)), at(201));
    }
}
