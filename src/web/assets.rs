//! Static files, embedded in the program and served under the hash of their content, so that browsers keep them for
//! ever and never mix two versions.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;
use serde_json::json;

use super::error::Failure;
use super::extract::Segment;
use crate::domain::ids::sha256;

#[derive(RustEmbed)]
#[folder = "static/"]
#[include = "*.css"]
#[include = "*.js"]
#[include = "*.svg"]
#[include = "*.png"]
struct Files;

/// File name to the hash in its address.
static HASHES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    Files::iter()
        .filter_map(|name| {
            let file = Files::get(&name)?;
            Some((name.to_string(), hex::encode(&sha256(&file.data)[..8])))
        })
        .collect()
});

/// Where `file` is served.
///
/// # Panics
/// When there is no such file: templates name files by literals, and a test renders them all.
#[must_use]
pub fn address(file: &str) -> String {
    let hash = HASHES.get(file).expect("templates name files that exist in static/");
    format!("/static/{hash}/{file}")
}

/// A file's content.
#[must_use]
pub fn find(file: &str) -> Option<Vec<u8>> {
    Files::get(file).map(|file| file.data.into_owned())
}

/// `GET /manifest.webmanifest`: what makes the portal a page that can be installed.
pub async fn manifest() -> Response {
    let icon = |file: &str, size: &str, purpose: &str| json!({ "src": address(file), "sizes": size, "type": "image/png", "purpose": purpose });
    let manifest = json!({
        "id": "/", "name": "Countersign", "short_name": "Countersign",
        "description": "What waits for a decision",
        "start_url": "/", "scope": "/", "display": "standalone", "lang": "en",
        // As the sheet of pages and their paper; each page tells the colours of the dark (base.html).
        "theme_color": "#ffffff", "background_color": "#fbfbf9",
        "icons": [
            icon("icon-192.png", "192x192", "any"), icon("icon-512.png", "512x512", "any"),
            icon("icon-maskable-512.png", "512x512", "maskable"),
        ],
    });
    ([(header::CONTENT_TYPE, "application/manifest+json")], manifest.to_string()).into_response()
}

/// `GET /static/{hash}/{file}`.
///
/// # Errors
/// 404 for a file we do not have, and for a hash that is not the file's: an old page must not get new script.
pub async fn show(Segment((hash, file)): Segment<(String, String)>) -> Result<Response, Failure> {
    let known = HASHES.get(&file).is_some_and(|right| *right == hash);
    let content = Files::get(&file).filter(|_| known).ok_or_else(Failure::not_found)?;
    let mut response = content.data.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(&file)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Ok(response)
}

fn content_type(file: &str) -> &'static str {
    match file.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}
