//! A mail server, as far as a client can tell: it greets, takes logins and mail, and misbehaves when told to.

mod letter;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub use letter::Mail;

/// Longer than anything here takes on a busy machine: what comes later never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where in the conversation something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Greeting,
    Login,
    Sender,
    Recipient,
    /// After the whole mail has come.
    Mail,
}

/// How the server behaves from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mood {
    Kind,
    /// Says this instead of yes.
    Says(Stage, &'static str),
    /// Says nothing any more.
    Hangs(Stage),
    /// Closes the connection. After [`Stage::Mail`] the mail has been taken all the same.
    Drops(Stage),
}

/// A running mail server.
pub struct Sink {
    pub address: SocketAddr,
    inner: Arc<Inner>,
    _task: JoinSet<()>,
}

struct Inner {
    mood: Mutex<Mood>,
    /// The only login, where one is needed.
    login: Option<(String, String)>,
    taken: Mutex<Vec<Mail>>,
    arrived: Notify,
    conversations: Mutex<Vec<String>>,
}

impl Sink {
    pub async fn start() -> Self {
        Self::start_for(None).await
    }

    /// One that takes mail from this user alone.
    pub async fn with_login(user: &str, password: &str) -> Self {
        Self::start_for(Some((user.to_owned(), password.to_owned()))).await
    }

    async fn start_for(login: Option<(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (taken, arrived, conversations) = (Mutex::default(), Notify::new(), Mutex::default());
        let inner = Arc::new(Inner { mood: Mutex::new(Mood::Kind), login, taken, arrived, conversations });
        let mut task = JoinSet::new();
        let serving = Arc::clone(&inner);
        task.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&serving);
                clients.spawn(async move { Client::new(stream, inner).serve().await });
            }
        });
        Self { address, inner, _task: task }
    }

    /// An address at which nobody listens.
    pub async fn nowhere() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    pub fn is(&self, mood: Mood) {
        *self.inner.mood.lock().unwrap() = mood;
    }

    /// What has been taken so far.
    pub fn taken(&self) -> Vec<Mail> {
        self.inner.taken.lock().unwrap().clone()
    }

    /// What has been taken for this address.
    pub fn taken_for(&self, address: &str) -> Vec<Mail> {
        self.taken().into_iter().filter(|mail| mail.to == [address]).collect()
    }

    /// The newest mail for this address.
    #[track_caller]
    pub fn newest_for(&self, address: &str) -> Mail {
        self.taken_for(address).pop().unwrap_or_else(|| panic!("nothing came for {address}"))
    }

    /// The newest link to a page below `prefix` that was sent to this address.
    #[track_caller]
    pub fn link_for(&self, address: &str, prefix: &str) -> String {
        let newest = self.taken_for(address).into_iter().rfind(|mail| mail.text().contains(prefix));
        newest.unwrap_or_else(|| panic!("no link to {prefix} came for {address}")).link(prefix)
    }

    /// Waits for a mail for this address from somebody who sends by themselves.
    pub async fn arrives_for(&self, address: &str) -> Mail {
        let arrives = async {
            loop {
                let mut next = std::pin::pin!(self.inner.arrived.notified());
                next.as_mut().enable();
                if let Some(mail) = self.taken_for(address).pop() {
                    return mail;
                }
                next.await;
            }
        };
        let mail = tokio::time::timeout(PATIENCE, arrives).await;
        mail.unwrap_or_else(|_| panic!("nothing came for {address} within {PATIENCE:?}"))
    }

    /// Every line that clients said, logins too.
    pub fn heard(&self) -> String {
        self.inner.conversations.lock().unwrap().join("\n")
    }

    /// As `[mail]` in a configuration.
    pub fn config(&self) -> String {
        config_at(self.address)
    }
}

/// `[mail]` for a server at this address.
pub fn config_at(address: SocketAddr) -> String {
    format!("[mail]\nsmtp_url = \"smtp://{address}\"\nfrom = \"Countersign <approvals@example.com>\"\n")
}

struct Client<S> {
    stream: BufReader<S>,
    inner: Arc<Inner>,
    from: String,
    to: Vec<String>,
    is_in: bool,
}

/// The conversation is over.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl Client<TcpStream> {
    fn new(stream: TcpStream, inner: Arc<Inner>) -> Self {
        let is_in = inner.login.is_none();
        Self { stream: BufReader::new(stream), inner, from: String::new(), to: Vec::new(), is_in }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn serve(mut self) {
        let _over = self.talk().await;
    }

    async fn talk(&mut self) -> Result<(), Over> {
        self.answer(Stage::Greeting, "220 sink.example ESMTP").await?;
        loop {
            let line = self.hear().await?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" if self.inner.login.is_some() => {
                    self.say("250-sink.example\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN").await?;
                }
                "EHLO" => self.say("250-sink.example\r\n250 8BITMIME").await?,
                "AUTH" => self.log_in(rest).await?,
                "MAIL" | "RCPT" | "DATA" if !self.is_in => self.say("530 5.7.0 Authentication required").await?,
                "MAIL" => {
                    (self.from, self.to) = (address_in(rest), Vec::new());
                    self.answer(Stage::Sender, "250 2.1.0 ok").await?;
                }
                "RCPT" => {
                    self.to.push(address_in(rest));
                    self.answer(Stage::Recipient, "250 2.1.5 ok").await?;
                }
                "DATA" => self.take_mail().await?,
                "RSET" | "NOOP" => self.say("250 2.0.0 ok").await?,
                "QUIT" => {
                    self.say("221 2.0.0 bye").await?;
                    return Ok(());
                }
                _ => self.say("502 5.5.1 what?").await?,
            }
        }
    }

    async fn log_in(&mut self, rest: &str) -> Result<(), Over> {
        let decoded = |text: &str| String::from_utf8_lossy(&STANDARD.decode(text).unwrap_or_default()).into_owned();
        let (user, password) = match rest.split_once(' ') {
            Some(("PLAIN", initial)) => {
                let parts = decoded(initial);
                let mut parts = parts.split('\0').skip(1).map(str::to_owned);
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
            _ => {
                self.say("334 VXNlcm5hbWU6").await?;
                let user = decoded(&self.hear().await?);
                self.say("334 UGFzc3dvcmQ6").await?;
                (user, decoded(&self.hear().await?))
            }
        };
        self.is_in = self.inner.login == Some((user.clone(), password.clone()));
        if self.is_in {
            return self.answer(Stage::Login, "235 2.7.0 ok").await;
        }
        // Some servers repeat what they were given.
        self.say(&format!("535 5.7.8 {user} with {password} is not known")).await
    }

    async fn take_mail(&mut self) -> Result<(), Over> {
        self.say("354 go on").await?;
        let mut raw = String::new();
        loop {
            let line = self.read_line().await?;
            if line == "." {
                break;
            }
            raw.push_str(line.strip_prefix('.').unwrap_or(&line));
            raw.push_str("\r\n");
        }
        let mail = Mail { from: self.from.clone(), to: self.to.clone(), raw };
        let mood = self.inner.mood.lock().unwrap().clone();
        if matches!(mood, Mood::Kind | Mood::Drops(Stage::Mail)) {
            self.inner.taken.lock().unwrap().push(mail);
            self.inner.arrived.notify_waiters();
        }
        self.answer(Stage::Mail, "250 2.0.0 taken").await
    }

    async fn answer(&mut self, stage: Stage, usual: &str) -> Result<(), Over> {
        let mood = self.inner.mood.lock().unwrap().clone();
        match mood {
            Mood::Says(at, instead) if at == stage => self.say(instead).await,
            Mood::Drops(at) if at == stage => Err(Over),
            Mood::Hangs(at) if at == stage => {
                // Until the client gives up.
                let mut rest = Vec::new();
                self.stream.read_to_end(&mut rest).await?;
                Err(Over)
            }
            _ => self.say(usual).await,
        }
    }

    async fn say(&mut self, line: &str) -> Result<(), Over> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    async fn hear(&mut self) -> Result<String, Over> {
        let line = self.read_line().await?;
        self.inner.conversations.lock().unwrap().push(line.clone());
        Ok(line)
    }

    async fn read_line(&mut self) -> Result<String, Over> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(Over);
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// `FROM:<a@b> BODY=8BITMIME` gives `a@b`.
fn address_in(text: &str) -> String {
    text.split('<').nth(1).and_then(|rest| rest.split('>').next()).unwrap_or_default().to_owned()
}
