//! A connection that hangs up on those who ask and do not take the answer (P-11). Nothing else would: a body's own timers
//! do not run while the socket is full, and a peer whose machine lives goes on saying "not yet" for ever.
//!
//! It must never look at what it carries.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long what was answered may wait to be taken.
const PATIENCE: Duration = Duration::from_secs(30);
/// Taking this much within [`PATIENCE`] earns as much time again. No page is longer; a download may be.
const ENOUGH: usize = 256 * 1024;
/// Whoever says nothing is asked whether they are still there.
const ASK_AFTER: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Sets what the operating system does for us: send at once, and give up on a peer that takes nothing or has vanished.
///
/// # Errors
/// The connection is gone already.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Answers are small: waiting to fill a packet only delays them.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(ASK_AFTER).with_interval(ASK_EVERY))?;
    // Frees what the kernel still keeps after we have closed. Elsewhere its own, longer times apply.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(PATIENCE))?;
    Ok(())
}

/// A connection whose writing fails when the other side does not read.
#[derive(Debug)]
pub struct Flow<S> {
    stream: S,
    backlog: Option<(Backlog, Pin<Box<Sleep>>)>,
}

/// Something waits to be taken.
#[derive(Debug)]
struct Backlog {
    due: Instant,
    taken: usize,
}

impl Backlog {
    fn begin(now: Instant) -> Self {
        Self { due: now + PATIENCE, taken: 0 }
    }

    /// Whether it has waited for too long. Begins anew when enough of it was taken.
    fn is_over(&mut self, now: Instant) -> bool {
        if now < self.due {
            return false;
        }
        let over = self.taken < ENOUGH;
        *self = Self::begin(now);
        over
    }
}

impl<S> Flow<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, backlog: None }
    }

    /// Called after every attempt to write: counts what was taken, and fails when that is too little for too long.
    fn judge(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = written {
            if let (Ok(taken), Some((backlog, _))) = (&result, &mut self.backlog) {
                backlog.taken += taken;
            }
            return Poll::Ready(result);
        }
        let (backlog, timer) = self.backlog.get_or_insert_with(|| {
            let backlog = Backlog::begin(Instant::now());
            let timer = Box::pin(sleep_until(backlog.due));
            (backlog, timer)
        });
        while timer.as_mut().poll(cx).is_ready() {
            if backlog.is_over(Instant::now()) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the answer is not taken")));
            }
            timer.as_mut().reset(backlog.due);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Flow<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Flow<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Whoever writes flushes once everything they had is written: then nothing waits any more.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.backlog = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether somebody who takes so much each second is still served after so many seconds.
    fn is_served(bytes_a_second: usize, seconds: u64) -> bool {
        let start = Instant::now();
        let mut backlog = Backlog::begin(start);
        (1..=seconds).all(|second| {
            backlog.taken += bytes_a_second;
            !backlog.is_over(start + Duration::from_secs(second))
        })
    }

    #[test]
    fn who_takes_nothing_or_sips_a_page_is_hung_up_on_after_half_a_minute() {
        for bytes_a_second in [0, 100] {
            assert!(is_served(bytes_a_second, 29));
            assert!(!is_served(bytes_a_second, 30));
        }
    }

    #[test]
    fn a_download_on_a_slow_line_may_take_its_time() {
        assert!(is_served(10_000, 3_600));
    }
}
