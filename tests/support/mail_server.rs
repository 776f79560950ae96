//! A real mail server that is not ours: `aiosmtpd`, as `script/test` installs it. It takes every mail and says which.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{Mutex, mpsc};

use super::smtp::{Mail, config_at};

/// Longer than anything here takes on a busy machine: what comes later never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// The server's process. It ends with this.
pub struct MailServer {
    process: Child,
    pub address: SocketAddr,
    came: Mutex<Came>,
}

struct Came {
    taken: Vec<Mail>,
    next: mpsc::UnboundedReceiver<Mail>,
}

#[derive(Deserialize)]
struct Told {
    from: String,
    to: Vec<String>,
    raw: String,
}

impl MailServer {
    pub fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installed = std::env::var_os("COUNTERSIGN_TEST_MAIL_SERVER").map(PathBuf::from);
        let python = installed.unwrap_or_else(|| root.join("target/tools/mail-server/bin/python"));
        assert!(
            python.exists(),
            "the mail server is not installed; run script/test, which installs it, or set COUNTERSIGN_TEST_MAIL_SERVER"
        );
        let mut process = Command::new(python)
            .arg(root.join("tests/data/smtp/server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.strip_prefix("Ready: ")?.parse().ok());
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("the mail server gets ready")));
        let (tell, next) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in lines {
                let Told { from, to, raw } = serde_json::from_str(&line).unwrap();
                if tell.send(Mail { from, to, raw }).is_err() {
                    return;
                }
            }
        });
        Self { process, address, came: Mutex::new(Came { taken: Vec::new(), next }) }
    }

    /// As `[mail]` in a configuration.
    pub fn config(&self) -> String {
        config_at(self.address)
    }

    /// The path of the next link to a page below `prefix` that is sent to this address; each is found once.
    pub async fn link_for(&self, address: &str, prefix: &str) -> String {
        self.mail_for(address, prefix).await.link(prefix)
    }

    /// The next mail to this address with a link to a page below `prefix`; each is found once.
    pub async fn mail_for(&self, address: &str, prefix: &str) -> Mail {
        let is_it = |mail: &Mail| mail.to == [address] && mail.text().contains(prefix);
        let mut came = self.came.lock().await;
        if let Some(at) = came.taken.iter().position(is_it) {
            return came.taken.remove(at);
        }
        let arrives = async {
            loop {
                let mail = came.next.recv().await.expect("the mail server runs");
                if is_it(&mail) {
                    return mail;
                }
                came.taken.push(mail);
            }
        };
        let mail = tokio::time::timeout(PATIENCE, arrives).await;
        mail.unwrap_or_else(|_| panic!("no link to {prefix} came for {address} within {PATIENCE:?}"))
    }

    /// The addresses of all mails that nobody has looked for.
    pub async fn left_over(&self) -> Vec<String> {
        let mut came = self.came.lock().await;
        while let Ok(mail) = came.next.try_recv() {
            came.taken.push(mail);
        }
        came.taken.iter().flat_map(|mail| mail.to.clone()).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
