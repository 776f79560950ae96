//! As much of the Postgres protocol as it takes to know what a transaction did and whether its COMMIT was confirmed. It
//! only looks; it never changes a byte.

use std::collections::HashMap;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// Cuts a stream into messages, however they arrive.
#[derive(Default)]
struct Cutter {
    pending: Vec<u8>,
}

impl Cutter {
    fn take(&mut self, tagged: bool) -> Option<(u8, Vec<u8>)> {
        let start = usize::from(tagged);
        let length = self.pending.get(start..start + 4)?;
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize + start;
        if self.pending.len() < length {
            return None;
        }
        let message: Vec<u8> = self.pending.drain(..length).collect();
        Some((if tagged { message[0] } else { 0 }, message[start + 4..].to_vec()))
    }
}

/// Whether a client's first bytes ask for encryption, which these tests do without.
pub fn asks_for_encryption(first: &[u8]) -> bool {
    let code = first.get(4..8).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
    first.len() == 8 && matches!(code, Some(SSL_REQUEST | GSS_REQUEST))
}

/// What a client says.
#[derive(Default)]
pub struct Asking {
    cutter: Cutter,
    started: bool,
    prepared: HashMap<String, String>,
    /// The statements since the transaction began.
    ran: Vec<String>,
}

impl Asking {
    /// Reads what the client sent; the statements of the transaction, if it asks for its COMMIT here.
    pub fn read(&mut self, bytes: &[u8]) -> Option<Vec<String>> {
        self.cutter.pending.extend_from_slice(bytes);
        let mut committing = None;
        while let Some((tag, body)) = self.cutter.take(self.started) {
            self.started = true;
            match tag {
                b'Q' if text(&body).0.eq_ignore_ascii_case("commit") => {
                    committing = Some(std::mem::take(&mut self.ran));
                }
                b'Q' if text(&body).0.to_ascii_lowercase().starts_with("begin") => self.ran.clear(),
                b'Q' => self.ran.push(text(&body).0.to_owned()),
                b'P' => {
                    let (name, rest) = text(&body);
                    self.prepared.insert(name.to_owned(), text(rest).0.to_owned());
                }
                b'B' => {
                    let (_portal, rest) = text(&body);
                    self.ran.extend(self.prepared.get(text(rest).0).cloned());
                }
                _ => {}
            }
        }
        committing
    }
}

/// What the server says.
#[derive(Default)]
pub struct Answering {
    cutter: Cutter,
}

impl Answering {
    /// Reads what the server sent; whether it confirms a COMMIT here.
    pub fn read(&mut self, bytes: &[u8]) -> bool {
        self.cutter.pending.extend_from_slice(bytes);
        let mut confirmed = false;
        while let Some((tag, body)) = self.cutter.take(true) {
            confirmed |= tag == b'C' && body == b"COMMIT\0";
        }
        confirmed
    }
}

/// A text up to its zero byte, and what follows.
fn text(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (std::str::from_utf8(&bytes[..end]).unwrap_or_default(), bytes.get(end + 1..).unwrap_or_default())
}
