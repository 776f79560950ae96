//! The demo, started as anybody starts it, in a directory of its own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

pub struct Demo {
    process: Child,
    base: String,
    sign_ins: Vec<SignIn>,
    data_dir: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
pub struct SignIn {
    pub name: String,
    pub email: String,
    pub roles: Vec<String>,
    pub password: String,
}

#[derive(Deserialize)]
struct Memory {
    sign_ins: Vec<SignIn>,
}

impl Demo {
    pub fn start() -> Self {
        let data_dir = tempfile::Builder::new().prefix("countersign-demo-").tempdir().unwrap().keep();
        let mut process = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["demo", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let ready =
            lines.find_map(|line| line.strip_prefix("Ready: ").map(str::to_owned)).expect("the demo gets ready");
        std::thread::spawn(move || lines.for_each(drop));
        let memory: Memory = toml::from_str(&std::fs::read_to_string(data_dir.join("demo.toml")).unwrap()).unwrap();
        Self { process, base: ready.trim().trim_end_matches('/').to_owned(), sign_ins: memory.sign_ins, data_dir }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The first person who is this and nothing else.
    pub fn sign_in(&self, role: &str) -> SignIn {
        self.sign_ins.iter().find(|it| it.roles == [role]).expect("the demo has such a person").clone()
    }

    /// Ctrl-C, as a person ends it.
    pub fn stop(mut self) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), Signal::SIGINT).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}
