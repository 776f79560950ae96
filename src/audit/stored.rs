//! Records as they come from the live table: one query, answered in PostgreSQL's binary COPY format, read by hand. Ten
//! million rows through the driver's typed rows cost most of the time a verification takes; here a row is one slice of
//! bytes until the judging thread takes it apart.
//!
//! Everything is as untrusted as any row: what cannot be read is a fault of that row, never a panic.

use std::borrow::Cow;

use jiff::Timestamp;
use uuid::Uuid;

use super::chain::{Row, StoredPayload};

/// Every record with its payload, in order of numbers. [`read`] knows its columns by their order.
pub(super) const EVERY_ROW: &str = "copy (
    select r.seq, case when r.at between '0001-01-01' and '9999-12-31' then r.at end, r.prev, r.kind, r.actor,
        r.payload_hash, r.hash, p.payload, p.kind, p.source, p.pipeline, p.stage, p.action, p.execution, p.approval,
        p.decision, p.person, p.verdict, p.outcome
    from audit.record r left join audit.payload p on p.seq = r.seq
    order by r.seq) to stdout (format binary)";

const COLUMNS: i16 = 19;
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01.
const EPOCH: i64 = 946_684_800_000_000;

/// One message of the answer: a row, or the end.
///
/// # Errors
/// Bytes that are no row of [`EVERY_ROW`].
pub(super) fn read(message: &[u8]) -> Result<Option<Row<'_>>, Unreadable> {
    let mut bytes = Bytes(message);
    if message.starts_with(SIGNATURE) {
        // The header comes before the first row: signature, flags, and an extension that says how long it is.
        bytes.take(SIGNATURE.len() + 4)?;
        let extension = bytes.length()?.unwrap_or_default();
        bytes.take(extension)?;
    }
    match bytes.number()? {
        -1 => Ok(None),
        COLUMNS => bytes.row().map(Some),
        _ => Err(Unreadable),
    }
}

/// The database sent what is no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database answered with what is no record")]
pub(super) struct Unreadable;

impl From<Unreadable> for sqlx::Error {
    fn from(error: Unreadable) -> Self {
        Self::Decode(Box::new(error))
    }
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<i16, Unreadable> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into().map_err(|_| Unreadable)?))
    }

    /// The length of what follows; None for NULL.
    fn length(&mut self) -> Result<Option<usize>, Unreadable> {
        let length = i32::from_be_bytes(self.take(4)?.try_into().map_err(|_| Unreadable)?);
        Ok(usize::try_from(length).ok())
    }

    fn column(&mut self) -> Result<Option<&'a [u8]>, Unreadable> {
        match self.length()? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    fn bigint(&mut self) -> Result<Option<i64>, Unreadable> {
        let column = self.column()?.map(|bytes| bytes.try_into().map(i64::from_be_bytes));
        column.transpose().map_err(|_| Unreadable)
    }

    /// NULL, where no row of ours has one, reads as nothing: it has not the hash it should have.
    fn binary(&mut self) -> Result<Cow<'a, [u8]>, Unreadable> {
        Ok(Cow::Borrowed(self.column()?.unwrap_or_default()))
    }

    fn text(&mut self) -> Result<Option<Cow<'a, str>>, Unreadable> {
        let text = |bytes| str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
        Ok(self.column()?.map(text))
    }

    fn uuid(&mut self) -> Result<Option<Uuid>, Unreadable> {
        self.column()?.map(Uuid::from_slice).transpose().map_err(|_| Unreadable)
    }

    fn row(&mut self) -> Result<Row<'a>, Unreadable> {
        Ok(Row {
            seq: self.bigint()?.ok_or(Unreadable)?,
            at: self.bigint()?.and_then(|at| Timestamp::from_microsecond(at.checked_add(EPOCH)?).ok()),
            prev: self.binary()?,
            kind: self.text()?.unwrap_or_default(),
            actor: self.text()?.unwrap_or_default(),
            payload_hash: self.binary()?,
            hash: self.binary()?,
            payload: self.payload()?,
        })
    }

    fn payload(&mut self) -> Result<Option<StoredPayload<'a>>, Unreadable> {
        let bytes = self.column()?;
        let stored = StoredPayload {
            bytes: Cow::Borrowed(bytes.unwrap_or_default()),
            kind: self.text()?.unwrap_or_default(),
            source: self.text()?,
            pipeline: self.text()?,
            stage: self.text()?,
            action: self.text()?,
            execution: self.text()?,
            approval: self.uuid()?,
            decision: self.uuid()?,
            person: self.uuid()?,
            verdict: self.text()?,
            outcome: self.text()?,
        };
        Ok(bytes.map(|_| stored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_row_is_said_and_never_a_panic() {
        let mut header = SIGNATURE.to_vec();
        header.extend_from_slice(&[0; 8]);
        header.extend_from_slice(&COLUMNS.to_be_bytes());
        for end in 0..header.len() {
            assert_eq!(read(&header[..end]), Err(Unreadable), "{end}");
        }
        assert_eq!(read(&(-1_i16).to_be_bytes()), Ok(None));
        assert_eq!(read(&3_i16.to_be_bytes()), Err(Unreadable));
        let mut long = COLUMNS.to_be_bytes().to_vec();
        long.extend_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(read(&long), Err(Unreadable));
    }
}
