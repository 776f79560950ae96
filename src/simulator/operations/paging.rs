//! Pages and their tokens. A token says where the next page begins, of which list and with which filter; any other use
//! of it is refused as AWS does. Callers cannot read it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::Request;
use crate::simulator::wire::ApiError;

/// One page of a list.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl Request<'_> {
    /// Cuts the requested page out of `items`, which must be in a stable order with a distinct `key` each. What is
    /// added in front of a page between two calls does not shift the next one.
    pub fn page<T>(&self, list: &str, items: Vec<T>, key: impl Fn(&T) -> String) -> Result<Page<T>, ApiError> {
        let about = [self.text("pipelineName"), self.text("resourceArn")].concat();
        let scope = format!("{list}|{about}|{}", self.body.get("filter").unwrap_or(&Value::Null));
        let given = self.body.get("maxResults").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let size = given.unwrap_or(if list == "ListPipelines" { self.default_page } else { 100 });
        let start = match self.body.get("nextToken").and_then(Value::as_str) {
            None => 0,
            Some(token) => {
                let last = read_token(token, &scope).ok_or_else(invalid)?;
                match items.iter().position(|item| key(item) == last) {
                    Some(found) => found + 1,
                    // The pipeline named last was deleted meanwhile; the list is sorted, so the place is still known.
                    None if list == "ListPipelines" => {
                        items.iter().position(|item| key(item) > last).unwrap_or(items.len())
                    }
                    None => return Err(invalid()),
                }
            }
        };
        let more = items.len() > start + size;
        let items: Vec<T> = items.into_iter().skip(start).take(size).collect();
        let next = items.last().filter(|_| more).map(|last| make_token(&key(last), &scope));
        Ok(Page { items, next })
    }
}

fn invalid() -> ApiError {
    ApiError::new("InvalidNextTokenException", "The next token was specified in an invalid format.")
}

/// Not a secret, only opaque: base64 of the place, the list it belongs to, and a check sum.
fn make_token(last: &str, scope: &str) -> String {
    let plain = format!("{last}\n{scope}");
    URL_SAFE_NO_PAD.encode(format!("{:08x}{last}", check_sum(&plain)))
}

fn read_token(token: &str, scope: &str) -> Option<String> {
    let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (sum, last) = plain.split_at_checked(8)?;
    let right = format!("{:08x}", check_sum(&format!("{last}\n{scope}")));
    (sum == right).then(|| last.to_owned())
}

fn check_sum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
