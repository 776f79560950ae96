//! Rows in PostgreSQL's binary COPY format: what makes millions of them a matter of minutes.

use uuid::Uuid;

/// Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01.
const EPOCH: i64 = 946_684_800_000_000;

/// Rows of one table on their way.
#[derive(Debug)]
pub struct Rows(Vec<u8>);

impl Default for Rows {
    fn default() -> Self {
        let mut header = b"PGCOPY\n\xff\r\n\0".to_vec();
        header.extend_from_slice(&[0; 8]);
        Self(header)
    }
}

impl Rows {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes what was written so far.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// Begins a row of so many columns.
    pub fn row(&mut self, columns: i16) -> &mut Self {
        self.0.extend_from_slice(&columns.to_be_bytes());
        self
    }

    /// Says that there are no more rows.
    pub fn end(&mut self) {
        self.row(-1);
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        let length = i32::try_from(value.len()).expect("a column is shorter than 2 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }

    pub fn null(&mut self) -> &mut Self {
        self.0.extend_from_slice(&(-1_i32).to_be_bytes());
        self
    }

    pub fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    pub fn maybe_text(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    pub fn json(&mut self, value: &str) -> &mut Self {
        let mut versioned = vec![1];
        versioned.extend_from_slice(value.as_bytes());
        self.bytes(&versioned)
    }

    pub fn maybe_uuid(&mut self, value: Option<Uuid>) -> &mut Self {
        match value {
            Some(id) => self.bytes(id.as_bytes()),
            None => self.null(),
        }
    }

    pub fn bigint(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub fn int(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.bytes(&[u8::from(value)])
    }

    /// A time in microseconds of the Unix epoch.
    pub fn at(&mut self, micros: i64) -> &mut Self {
        self.bigint(micros - EPOCH)
    }

    pub fn maybe_at(&mut self, micros: Option<i64>) -> &mut Self {
        match micros {
            Some(at) => self.at(at),
            None => self.null(),
        }
    }
}
