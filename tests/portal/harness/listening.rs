//! What a page's script hears on `/events`.

use std::time::Duration;

use reqwest::{Method, Response};

use super::Browser;

/// Longer than anything here takes on a busy machine: what comes later never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open event stream.
pub struct Ears {
    response: Response,
    heard: String,
}

impl Browser {
    /// Opens the stream as a page's script does.
    pub async fn listen(&self) -> Ears {
        let request = self.request(Method::GET, "/events").header("sec-fetch-dest", "empty");
        let request = request.header("accept", "text/event-stream").header("accept-encoding", "gzip, br");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        Ears { response, heard: String::new() }
    }
}

impl Ears {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    /// What the next hint is about; `None` when the portal has ended the stream in good order.
    pub async fn next(&mut self) -> Option<String> {
        // Comments go on for ever, so it is not enough that something is said.
        let said = tokio::time::timeout(PATIENCE, self.next_said()).await;
        said.unwrap_or_else(|_| panic!("no hint and no end within {PATIENCE:?}"))
    }

    async fn next_said(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.heard.split_once("\n\n") {
                let topic = event.strip_prefix("event: hint\ndata: ").map(str::to_owned);
                assert!(topic.is_some() || event.starts_with("retry: ") || event == ":", "{event:?}");
                self.heard = rest.to_owned();
                match topic {
                    Some(topic) => return Some(topic),
                    None => continue,
                }
            }
            let chunk = self.response.chunk().await;
            self.heard.push_str(std::str::from_utf8(&chunk.expect("the stream is not cut off")?).unwrap());
        }
    }

    /// Waits for a hint about this, whatever else is said before.
    pub async fn until(&mut self, topic: &str) {
        loop {
            let heard = self.next().await.unwrap_or_else(|| panic!("the stream ended before anything about {topic}"));
            if heard == topic {
                return;
            }
        }
    }

    /// Waits for the end, whatever is said before.
    pub async fn end(mut self) {
        while self.next().await.is_some() {}
    }
}
