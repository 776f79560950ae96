//! A person with a browser: opens an approval at one replica, sends its form to another, and says what they were told.
//! Nothing here knows the portal but by its pages.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, header, redirect};

use super::{Deeds, Replica, until};
use crate::support::page::Page;

/// Longer than any page may take.
const PATIENCE: Duration = Duration::from_secs(45);

/// What a person knows after a page, or without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// "Approved at AWS", "Rejected at AWS".
    Done,
    /// Nothing was done, or what was done came to nothing.
    Not(String),
    /// This time nothing was done; the same form sent another time may have done it.
    NotNow(String),
    /// No page, or one that says it is not known.
    Unknown(String),
}

/// A form as it was shown, ready to be sent as often as one likes.
#[derive(Debug, Clone)]
pub struct Form {
    pub approval: String,
    /// What the person writes, and nobody else: the deed can be found again in records and at AWS by it.
    pub words: String,
    pub verdict: &'static str,
    fields: Vec<(String, String)>,
}

pub struct Person {
    pub account: String,
    pub name: String,
    http: reqwest::Client,
    cookie: String,
    deeds: Arc<Deeds>,
}

impl Person {
    /// Comes from an address of their own, because a portal counts what one address does.
    pub fn new((name, account): (&str, &str), address: Ipv4Addr, cookie: String, deeds: Arc<Deeds>) -> Self {
        let http = reqwest::Client::builder().redirect(redirect::Policy::none()).timeout(PATIENCE);
        let http = http.local_address(std::net::IpAddr::from(address)).build().unwrap();
        Self { account: account.to_owned(), name: name.to_owned(), http, cookie, deeds }
    }

    /// Reads an approval's page and fills in its form. `None`: there is no form, or no page.
    pub async fn fill_in(&self, replica: &Replica, approval: &str, verdict: &'static str) -> Option<Form> {
        let page = self.open(replica, &format!("/approvals/{approval}")).await.ok()?;
        let action = format!("/approvals/{approval}/decision");
        if !page.body.contains(&format!("action=\"{action}\"")) {
            return None;
        }
        let mut fields: Vec<(String, String)> = page.hidden_fields(&action).into_iter().collect();
        let words = self.deeds.begin(&self.account, approval, verdict, &field(&fields, "fingerprint"));
        fields.extend([("summary".to_owned(), words.clone()), ("verdict".to_owned(), verdict.to_owned())]);
        Some(Form { approval: approval.to_owned(), words, verdict, fields })
    }

    /// Reads an approval's page, again for as long as the replica is too busy to show it, and fills in its form.
    pub async fn fill_in_when_shown(&self, replica: &Replica, approval: &str, verdict: &'static str) -> Form {
        until("the form is shown", PATIENCE, async || self.fill_in(replica, approval, verdict).await).await
    }

    /// Sends a form and reads what comes of it, as far as anything comes.
    pub async fn send(&self, replica: &Replica, form: &Form) -> Told {
        self.deeds.sent(&form.words);
        let told = match self.post(replica, form).await {
            Err(why) => Told::Unknown(why),
            Ok(page) => match page.location() {
                Some(path) if path.contains("/result/") => {
                    let path = path.to_owned();
                    self.deeds.led_to(&form.words, &path);
                    self.read_result(replica, &path).await
                }
                Some(elsewhere) => Told::Not(format!("was sent to {elsewhere}")),
                None => refusal(&page),
            },
        };
        self.deeds.told(&form.words, told.clone());
        told
    }

    /// Sends a form and does not wait for anything: the connection stays open, and nobody reads from it.
    pub async fn send_and_look_away(&self, replica: &Replica, form: &Form) -> tokio::net::TcpStream {
        use tokio::io::AsyncWriteExt as _;
        self.deeds.sent(&form.words);
        let request = self.form_request(replica, form).build().unwrap();
        let mut text = format!("POST {} HTTP/1.1\r\n", request.url().path());
        for (name, value) in request.headers() {
            text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        let body = request.body().unwrap().as_bytes().unwrap();
        text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut stream = tokio::net::TcpStream::connect(replica.address()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        self.deeds.told(&form.words, Told::Unknown("looked away".into()));
        stream
    }

    /// Looks at a result again and says what it tells now.
    pub async fn look_again(&self, replica: &Replica, words: &str, path: &str) -> Told {
        let told = self.read_result(replica, path).await;
        self.deeds.told(words, told.clone());
        told
    }

    /// Types an address.
    pub async fn open(&self, replica: &Replica, path: &str) -> Result<Page, String> {
        self.ask(path, self.request(replica, Method::GET, path)).await
    }

    async fn post(&self, replica: &Replica, form: &Form) -> Result<Page, String> {
        self.ask(&format!("/approvals/{}/decision", form.approval), self.form_request(replica, form)).await
    }

    fn form_request(&self, replica: &Replica, form: &Form) -> RequestBuilder {
        let request = self.request(replica, Method::POST, &format!("/approvals/{}/decision", form.approval));
        let request = request.header(header::ORIGIN, replica.origin()).header("sec-fetch-site", "same-origin");
        request.form(&form.fields)
    }

    fn request(&self, replica: &Replica, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", replica.origin()));
        let request = request.header(header::HOST, replica.address().to_string());
        request.header(header::COOKIE, format!("countersign={}", self.cookie)).header("sec-fetch-dest", "document")
    }

    async fn ask(&self, path: &str, request: RequestBuilder) -> Result<Page, String> {
        let answer = request.send().await.map_err(|error| format!("no answer: {error}"))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.text().await.map_err(|error| format!("half an answer: {error}"))?;
        Ok(Page { path: path.to_owned(), status, headers, body })
    }

    async fn read_result(&self, replica: &Replica, path: &str) -> Told {
        match self.open(replica, path).await {
            Ok(page) if page.status == 200 => result(&page),
            Ok(page) => Told::Unknown(format!("the result's page: {} {}", page.status, page.heading())),
            Err(why) => Told::Unknown(why),
        }
    }
}

fn field(fields: &[(String, String)], name: &str) -> String {
    fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

/// What the page of a result claims.
fn result(page: &Page) -> Told {
    let headline = page.heading();
    let says = |part: &str| headline.contains(part);
    if says("Approved at AWS") || says("Rejected at AWS") {
        Told::Done
    } else if ["AWS refused", "answer was first", "came too late", "was not sent"].into_iter().any(says) {
        Told::Not(headline)
    } else {
        Told::Unknown(headline)
    }
}

/// What a page that is no result claims. A page that says nothing was done has to be right about it.
fn refusal(page: &Page) -> Told {
    let text = page.text();
    let claims = ["othing was sent", "othing of yours was sent", "othing was done"];
    let told = format!("{} {}", page.status, page.heading());
    if text.contains("his time nothing was sent") || text.contains("this time the decision was not recorded") {
        return Told::NotNow(told);
    }
    if (400..500).contains(&page.status) || claims.into_iter().any(|claim| text.contains(claim)) {
        Told::Not(told)
    } else {
        Told::Unknown(told)
    }
}
