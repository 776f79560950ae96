//! Tables as files (U-09): RFC 4180, everything quoted, and nothing that a spreadsheet would take for a formula.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use csv::{QuoteStyle, Terminator, WriterBuilder};

use super::error::Failure;

/// A file of rows, with its header first.
///
/// # Errors
/// 500 when memory cannot be written to.
pub fn download(
    name: &'static str,
    head: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<Response, Failure> {
    let mut writer =
        WriterBuilder::new().quote_style(QuoteStyle::Always).terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(head).map_err(Failure::internal)?;
    for row in rows {
        writer.write_record(row.iter().map(|field| plain(field))).map_err(Failure::internal)?;
    }
    let bytes = writer.into_inner().map_err(Failure::internal)?;
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let as_file = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).map_err(Failure::internal)?;
    headers.insert(header::CONTENT_DISPOSITION, as_file);
    Ok(response)
}

/// A field that no spreadsheet computes: one that begins like a formula, also behind what a spreadsheet may take for the end
/// of the field before it, gets an apostrophe in front.
fn plain(field: &str) -> String {
    let field = field.replace('\0', "\u{2400}");
    let begins = field.chars().find(|c| !matches!(c, ' ' | ',' | ';' | '"' | '\''));
    match begins {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => format!("'{field}"),
        _ => field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_field_is_computed() {
        for bad in ["=1+1", "+1", "-1", "@A1", "\t=1", "\r1", "＝1", "＠x", "\",=1", ";=1", "  =1"] {
            assert!(plain(bad).starts_with('\''), "{bad:?}");
        }
        for fine in ["ana@example.com", "a=b", "web-*", "*", ""] {
            assert_eq!(plain(fine), fine);
        }
        assert_eq!(plain("\0"), "\u{2400}");
    }
}
