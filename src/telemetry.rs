//! Logs: one line per event on standard error, for people or as JSON. Whatever came from outside, a line stays one line
//! and shows what it holds: control, bidi and line-separating characters are written as escapes (S-47). Panics become
//! one event each.
//!
//! It must never be handed a secret; types that hold one print `[redacted]`.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// The log filter cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "`log` (COUNTERSIGN_LOG) must be a level such as info, or directives such as info,countersign::watcher=debug: {0}"
)]
pub struct BadFilter(String);

/// Starts logging for the whole process.
///
/// # Errors
/// The filter cannot be read, or logging was started before.
pub fn start(filter: &str, format: LogFormat) -> Result<(), BadFilter> {
    let filter = EnvFilter::try_new(filter).map_err(|error| BadFilter(error.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(OneLine(io::stderr));
    match format {
        LogFormat::Human => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| BadFilter(error.to_string()))?;
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("(no message)");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(message = "a task panicked", panic = message, place);
    }));
    Ok(())
}

/// Makes writers that keep an event on its line.
#[derive(Debug, Clone)]
struct OneLine<M>(M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for OneLine<M> {
    type Writer = Escaping<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Escaping(self.0.make_writer())
    }
}

/// Writes each event, which arrives in one piece and ends with a line break, with everything else escaped.
#[derive(Debug)]
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(escaped(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// One line. The escapes are JSON's, so that they fit both formats.
fn escaped(event: &str) -> String {
    let (body, end) = event.strip_suffix('\n').map_or((event, ""), |body| (body, "\n"));
    let mut out = String::with_capacity(event.len());
    for c in body.chars() {
        if c.is_control() || is_misleading(c) {
            out.push_str(&format!("\\u{:04x}", c as u32));
        } else {
            out.push(c);
        }
    }
    out.push_str(end);
    out
}

/// Line separators, and characters that change the direction or order of what is read (CVE-2021-42574).
fn is_misleading(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    const HOSTILE: &str = "a\r\nINFO forged line\u{1b}[31m\u{202e}evil\u{2028}\u{85}\u{0}\u{7f}";

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let builder = tracing_subscriber::fmt().with_ansi(false).with_writer(OneLine(move || writer.clone()));
        let log = || {
            let _span = tracing::info_span!("request", id = %HOSTILE).entered();
            tracing::info!(field = HOSTILE, shown = %HOSTILE, debug = ?HOSTILE, "{HOSTILE}");
        };
        if json {
            tracing::subscriber::with_default(builder.json().flatten_event(true).finish(), log);
        } else {
            tracing::subscriber::with_default(builder.finish(), log);
        }
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn hostile_text_stays_on_its_line_in_both_formats() {
        for json in [false, true] {
            let text = logged(json);
            assert_eq!(text.lines().count(), 1, "{text:?}");
            assert!(text.ends_with('\n'));
            let body = text.trim_end_matches('\n');
            assert!(!body.chars().any(|c| c.is_control() || is_misleading(c)), "{body:?}");
        }
    }

    #[test]
    fn a_json_line_is_json_and_keeps_what_was_said() {
        let value: serde_json::Value = serde_json::from_str(&logged(true)).unwrap();
        assert_eq!(value["shown"], HOSTILE);
        assert_eq!(value["level"], "INFO");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_explained() {
        let said = start("countersign=loud", LogFormat::Human).unwrap_err().to_string();
        assert!(said.contains("COUNTERSIGN_LOG"), "{said}");
    }
}
