//! Where to go after signing in. `?return=` is input from anywhere, so only a page of ours is accepted (U-10).

use axum::http::Uri;
use url::form_urlencoded;

use super::routes;

/// The sign-in page that leads back to what was asked for.
#[must_use]
pub fn sign_in_for(uri: &Uri) -> String {
    let wanted = uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    match checked(wanted) {
        Some("/") | None => "/sign-in".to_owned(),
        Some(path) => {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("return", path).finish();
            format!("/sign-in?{query}")
        }
    }
}

/// `wanted` if it is the path of one of our pages, else the queue.
#[must_use]
pub fn or_queue(wanted: Option<&str>) -> &str {
    wanted.and_then(checked).unwrap_or("/")
}

/// Pages that lead elsewhere.
const ONLY_ON_THE_WAY: [&str; 6] = ["/sign-in", "/sign-in/second", "/setup", "/step-up", "/me/factors/totp", "/forgot"];

fn checked(wanted: &str) -> Option<&str> {
    let (path, query) = wanted.split_once('?').unwrap_or((wanted, ""));
    let plain = query.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%&=+:".contains(&b));
    let is_way_in = ONLY_ON_THE_WAY.contains(&path)
        || ["/reset/", "/invite/", "/sign-in/", "/l/", "/link/"].iter().any(|it| path.starts_with(it));
    (plain && wanted.len() <= 512 && routes::is_page(path) && !is_way_in).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_ours_are_returned_to_with_their_query() {
        for path in ["/", "/history?pipeline=shop&before=12", "/approvals/0199aa00-0000-7000-8000-000000000000", "/me"]
        {
            assert_eq!(or_queue(Some(path)), path);
        }
        assert_eq!(sign_in_for(&Uri::from_static("/history?q=a%20b")), "/sign-in?return=%2Fhistory%3Fq%3Da%2520b");
    }

    #[test]
    fn everything_else_becomes_the_queue() {
        let hostile = [
            "//evil.example",
            "/\\evil.example",
            "https:evil.example",
            "https://evil.example/",
            "%2f%2fevil.example",
            "/@evil.example",
            "/history\r\nSet-Cookie: a=b",
            "/history?x=\r\n",
            "/%2fevil",
            "/sign-in",
            "/setup",
            "/forgot",
            "/reset/AAAA",
            "/invite/AAAA",
            "/sign-in/sso/corp/back?code=a",
            "/static/aa/app.css",
            "/healthz",
            "/approvals/a/decision",
            "",
            "history",
            "/history#//evil",
            "/.//evil",
        ];
        for path in hostile {
            assert_eq!(or_queue(Some(path)), "/", "{path:?}");
        }
        assert_eq!(or_queue(None), "/");
    }
}
