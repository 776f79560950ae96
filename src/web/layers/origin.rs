//! Where an unsafe request was made (S-37). Browsers say so themselves; other sites cannot make them say otherwise.
//! Stricter than common rules: a request that says nothing is refused, because cookies are for browsers only.

use axum::http::{HeaderMap, header};

use crate::web::error::Failure;
use crate::web::routes::Kind;

/// Refuses a request that was not made by a page of ours.
///
/// # Errors
/// 403.
pub fn check(headers: &HeaderMap, public_origin: &str, kind: Kind) -> Result<(), Failure> {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let ours = match (sites.next(), sites.next()) {
        (Some(site), None) => site == "same-origin" || (site == "none" && kind != Kind::Decision),
        (Some(_), Some(_)) => false,
        (None, _) => {
            let mut origins = headers.get_all(header::ORIGIN).iter();
            matches!((origins.next(), origins.next()), (Some(origin), None) if origin == public_origin)
        }
    };
    if ours {
        return Ok(());
    }
    Err(Failure::forbidden(
        "This request was not made by a page of this portal, so nothing was done. Open the portal and use its own \
         buttons. If you did, check that you are at the portal's public address.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const US: &str = "https://sign.example";

    fn passes(kind: Kind, lines: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        check(&headers, US, kind).is_ok()
    }

    #[test]
    fn our_own_pages_pass() {
        assert!(passes(Kind::Decision, &[("sec-fetch-site", "same-origin")]));
        assert!(passes(Kind::Page, &[("sec-fetch-site", "none")]));
        assert!(passes(Kind::Decision, &[("origin", US)]));
    }

    #[test]
    fn everybody_else_is_refused() {
        let refused: &[&[(&str, &str)]] = &[
            &[],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), ("origin", US)],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[("origin", "null")],
            &[("origin", "http://sign.example")],
            &[("origin", "https://sign.example:8443")],
            &[("origin", "https://sign.example.evil.example")],
            &[("origin", US), ("origin", "https://evil.example")],
        ];
        for lines in refused {
            assert!(!passes(Kind::Page, lines), "{lines:?}");
        }
        assert!(!passes(Kind::Decision, &[("sec-fetch-site", "none")]), "an address bar never decides");
    }
}
