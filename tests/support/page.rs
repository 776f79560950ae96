//! An answer, read as a person reads it.

use std::collections::BTreeMap;

use reqwest::Response;
use reqwest::header::HeaderMap;

#[derive(Debug, Clone)]
pub struct Page {
    pub path: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Page {
    pub async fn read(path: &str, response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        // A stream has no end to wait for.
        let is_stream = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let body = if is_stream { String::new() } else { response.text().await.unwrap() };
        Self { path: path.to_owned(), status, headers, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn location(&self) -> Option<&str> {
        self.header("location")
    }

    /// What is written on the page, without its markup, on one line.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut is_tag = false;
        for c in self.body.chars() {
            match c {
                '<' => is_tag = true,
                '>' if is_tag => {
                    is_tag = false;
                    text.push(' ');
                }
                c if !is_tag => text.push(c),
                _ => {}
            }
        }
        let plain = unescape(&text);
        plain.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Asserts that this is written on the page.
    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(
            self.text().contains(words),
            "{} {} does not say {words:?} but: {}",
            self.status,
            self.path,
            self.text()
        );
        self
    }

    /// The first heading.
    pub fn heading(&self) -> String {
        let inner =
            between(&self.body, "<h1", "</h1>").and_then(|inner| inner.split_once('>')).map_or("", |(_, it)| it);
        unescape(inner).trim().to_owned()
    }

    /// The hidden fields of the form that goes to `action`.
    #[track_caller]
    pub fn hidden_fields(&self, action: &str) -> BTreeMap<String, String> {
        let start = self.body.find(&format!("action=\"{action}\""));
        let start = start.unwrap_or_else(|| panic!("{} {} has no form to {action}", self.status, self.path));
        let form = self.body[start..].split("</form>").next().unwrap();
        let inputs = form.split("<input").skip(1).filter_map(|input| input.split_once('>')).map(|(input, _)| input);
        inputs
            .filter(|input| input.contains("type=\"hidden\""))
            .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default())))
            .collect()
    }

    /// The form token of this page.
    pub fn csrf(&self) -> String {
        let input =
            self.body.split("<input").find(|input| input.contains("name=\"csrf\"")).expect("the page has a form");
        attribute(input, "value").expect("the token has a value")
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    between(tag, &format!(" {name}=\""), "\"").map(unescape)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    let end = text[start..].find(after)?;
    Some(&text[start..start + end])
}

fn unescape(text: &str) -> String {
    let text = text.replace("&#34;", "\"").replace("&quot;", "\"").replace("&#39;", "'").replace("&#x27;", "'");
    let text = text.replace("&#60;", "<").replace("&lt;", "<").replace("&#62;", ">").replace("&gt;", ">");
    text.replace("&nbsp;", " ").replace("&#38;", "&").replace("&amp;", "&")
}
