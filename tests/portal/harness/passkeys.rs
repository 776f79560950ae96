//! What a page's script does with passkeys, with a key of software in place of the browser's.

use reqwest::Method;
use serde_json::Value;

use super::{Browser, Page};
use crate::support::authenticator::Authenticator;

impl Browser {
    /// What a page's script asks the portal for.
    pub async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> (String, Value) {
        let request = self.request(Method::POST, path).header("origin", &self.origin);
        let request = request.header("sec-fetch-site", "same-origin").header("sec-fetch-dest", "empty").form(fields);
        let page = self.send(path, request).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        let question: Value = serde_json::from_str(&page.body).unwrap();
        (question["ceremony"].as_str().unwrap().to_owned(), question["options"].clone())
    }

    /// Adds a passkey, as the page's script does.
    pub async fn add_passkey(&self, name: &str) -> (Authenticator, Page) {
        let page = self.open("/me/factors").await;
        let (ceremony, options) = self.ask("/me/factors/passkeys/challenge", &[("csrf", &page.csrf())]).await;
        let (key, answer) = Authenticator::make(&self.origin, &options);
        let fields = [("name", name), ("ceremony", ceremony.as_str()), ("credential", answer.as_str())];
        let added = self.submit(&page, "/me/factors/passkeys", &fields).await;
        (key, added)
    }
}
