//! A browser, as far as a server can tell: cookies, what it says about where a request was made, one address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use countersign::config::Config;
use reqwest::{Method, RequestBuilder, Response, header};

use crate::support::page::Page;

pub struct Browser {
    http: reqwest::Client,
    base: String,
    host: String,
    pub origin: String,
    /// Comes in front of the portal like a proxy would tell it.
    pub address: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    pub fn new(portal: SocketAddr, config: &Config, number: u8) -> Self {
        let url = config.public_url();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Self {
            http: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap(),
            base: format!("http://{portal}"),
            host: format!("{}{port}", url.host_str().unwrap()),
            origin: config.public_origin(),
            address: format!("198.51.100.{number}"),
            cookies: Mutex::default(),
        }
    }

    /// Types an address, or follows a link within the portal.
    pub async fn open(&self, path: &str) -> Page {
        self.send(path, self.request(Method::GET, path).header("sec-fetch-dest", "document")).await
    }

    /// What a page's script fetches.
    pub async fn fetch(&self, path: &str) -> Page {
        self.send(path, self.request(Method::GET, path).header("sec-fetch-dest", "empty")).await
    }

    /// Goes where the answer leads.
    pub async fn follow(&self, page: &Page) -> Page {
        let path = page.location().unwrap_or_else(|| panic!("{} {} leads nowhere", page.status, page.path));
        self.open(path).await
    }

    /// Fills in the form of `page` that goes to `action`, and sends it with its hidden fields.
    pub async fn submit(&self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let mut all = page.hidden_fields(action);
        for (name, value) in fields {
            all.insert((*name).to_owned(), (*value).to_owned());
        }
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(action, &all).await
    }

    /// Sends exactly these fields, as a page of the portal would.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send(path, self.post_request(path).form(fields)).await
    }

    /// A POST from a page of the portal, without a body yet.
    pub fn post_request(&self, path: &str) -> RequestBuilder {
        let request = self.request(Method::POST, path).header(header::ORIGIN, &self.origin);
        request.header("sec-fetch-site", "same-origin").header("sec-fetch-dest", "document")
    }

    /// A request with our cookies and nothing said about where it was made.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies = self.cookies.lock().unwrap();
        let line: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.request(method, format!("{}{path}", self.base)).header(header::HOST, &self.host);
        let request = request.header("x-forwarded-for", &self.address);
        if line.is_empty() { request } else { request.header(header::COOKIE, line.join("; ")) }
    }

    /// Sends a request and keeps the cookies of the answer.
    pub async fn send(&self, path: &str, request: RequestBuilder) -> Page {
        let response = request.send().await.unwrap();
        self.keep_cookies(&response);
        Page::read(path, response).await
    }

    /// The value of a cookie, by what its name ends with.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(name).cloned()
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    /// Another window with the same cookies.
    pub fn copy(&self) -> Self {
        Self {
            http: self.http.clone(),
            base: self.base.clone(),
            host: self.host.clone(),
            origin: self.origin.clone(),
            address: self.address.clone(),
            cookies: Mutex::new(self.cookies.lock().unwrap().clone()),
        }
    }

    /// The same browser, at another replica of the portal.
    pub fn at(&self, portal: SocketAddr) -> Self {
        Self { base: format!("http://{portal}"), ..self.copy() }
    }

    /// The same browser, carried to another network.
    pub fn moved_to(&self, address: &str) -> Self {
        Self { address: address.to_owned(), ..self.copy() }
    }

    fn keep_cookies(&self, response: &Response) {
        let mut cookies = self.cookies.lock().unwrap();
        for line in response.headers().get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
