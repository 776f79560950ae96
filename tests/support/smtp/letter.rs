//! A mail as it arrived, read as a mail program reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[derive(Debug, Clone)]
pub struct Mail {
    /// As the envelope said.
    pub from: String,
    pub to: Vec<String>,
    pub raw: String,
}

impl Mail {
    /// A header, unfolded and decoded. Fails when it occurs twice.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<String> {
        let (headers, _) = self.raw.split_once("\r\n\r\n").unwrap();
        let found = values(headers, name);
        assert!(found.len() <= 1, "{name} occurs {} times in {headers}", found.len());
        found.into_iter().next()
    }

    pub fn subject(&self) -> String {
        self.header("Subject").unwrap()
    }

    pub fn text(&self) -> String {
        self.part("text/plain")
    }

    pub fn html(&self) -> String {
        self.part("text/html")
    }

    /// The path of the link to a page below `prefix`, as the text says it; the HTML says the same.
    #[track_caller]
    pub fn link(&self, prefix: &str) -> String {
        let text = self.text();
        let start = text.find(prefix).unwrap_or_else(|| panic!("no link to {prefix} in {text}"));
        let path: String = text[start..].chars().take_while(|c| !c.is_whitespace()).collect();
        assert!(self.html().contains(&path), "{}", self.html());
        path
    }

    fn part(&self, kind: &str) -> String {
        let (headers, body) = self.raw.split_once("\r\n\r\n").unwrap();
        let content = values(headers, "Content-Type").pop().unwrap();
        let boundary = content.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let line = format!("--{boundary}");
        let parts = body.split(line.as_str());
        let parts = parts.filter_map(|part| part.trim_start_matches("\r\n").split_once("\r\n\r\n"));
        let (headers, body) =
            parts.into_iter().find(|(headers, _)| values(headers, "Content-Type")[0].starts_with(kind)).unwrap();
        let encoding = values(headers, "Content-Transfer-Encoding").pop().unwrap_or_default();
        match encoding.as_str() {
            "quoted-printable" => quoted_printable(body),
            "base64" => utf8(STANDARD.decode(body.replace("\r\n", "")).unwrap()),
            _ => body.replace("\r\n", "\n"),
        }
    }
}

fn values(headers: &str, name: &str) -> Vec<String> {
    let unfolded = headers.replace("\r\n ", " ").replace("\r\n\t", " ");
    let lines = unfolded.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| decoded(value)).collect()
}

/// Undoes encoded words: `=?utf-8?b?R3LDvMOfZQ==?=`.
fn decoded(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value.trim();
    let mut was_word = false;
    while let Some(start) = rest.find("=?") {
        let between = &rest[..start];
        // Blanks between two encoded words belong to neither.
        if !(was_word && between.trim().is_empty()) {
            out.push_str(between);
        }
        let mut parts = rest[start + 2..].splitn(4, '?');
        let (_, how, word) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let text = match how {
            "b" | "B" => utf8(STANDARD.decode(word).unwrap()),
            _ => quoted_printable(&word.replace('_', " ")),
        };
        out.push_str(&text);
        rest = parts.next().unwrap().strip_prefix('=').unwrap();
        was_word = true;
    }
    out + rest
}

fn quoted_printable(text: &str) -> String {
    let text = text.replace("=\r\n", "").replace("\r\n", "\n");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, more)) = rest.split_first() {
        if byte == b'=' && more.len() >= 2 {
            let code = std::str::from_utf8(&more[..2]).unwrap();
            bytes.push(u8::from_str_radix(code, 16).unwrap());
            rest = &more[2..];
        } else {
            bytes.push(byte);
            rest = more;
        }
    }
    utf8(bytes)
}

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}
