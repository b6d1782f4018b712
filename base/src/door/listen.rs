//! HTTP server of one listener. It limits what an unknown client can hold: idle connections, the
//! size of a request's head, and the time for the TLS handshake and the head. Limits on bodies
//! belong to the routes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::serve::{Listener, ListenerExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::tls::Tls;

/// Maximum number of open connections without a request in progress. Prometheus and Alertmanager
/// need one per replica. One connection more closes the one that has been idle longest. So idle
/// clients cannot lock out a client with a request, or exhaust file descriptors or memory.
const IDLE: usize = 256;
/// Timeout for a TLS handshake, for the head of a request, and for the next request on an open
/// connection. Prometheus and Alertmanager reconnect.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Maximum size of a request's head, in bytes; a larger one is answered with 431. It is also the
/// size of the read buffer, which each of 256 idle clients can fill.
const HEAD_BYTES: usize = 16 << 10;

/// A listener whose answers leave at once. Otherwise the last segment of an answer can wait 40 ms
/// for the client's acknowledgement of the one before it: Nagle's algorithm, TCP_NODELAY in tcp(7).
///
/// # Errors
/// The address cannot be bound.
pub async fn bind(address: SocketAddr) -> std::io::Result<impl Listener<Addr = SocketAddr>> {
    let listener = TcpListener::bind(address).await?;
    Ok(listener.tap_io(|stream| drop(stream.set_nodelay(true))))
}

/// Serves connections until the task is dropped; with TLS if there is a certificate.
pub async fn serve<L: Listener>(mut listener: L, tls: Option<Tls>, routes: Router) -> Infallible {
    let seats = Seats::default();
    loop {
        // `accept` retries by itself when the process has no file descriptor left.
        let (stream, _) = listener.accept().await;
        let (acceptor, routes, seat) = (tls.as_ref().map(Tls::acceptor), routes.clone(), seats.take());
        tokio::spawn(async move {
            let seat = &seat;
            let served = async {
                match acceptor {
                    None => converse(stream, routes, seat).await,
                    Some(acceptor) => {
                        if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_WITHIN, acceptor.accept(stream)).await {
                            converse(stream, routes, seat).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = served => {}
                () = seat.sent_away() => {}
            }
        });
    }
}

/// Answers the requests of one connection. An error is ignored: it concerns only the client, which
/// sees it.
async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, routes: Router, seat: &Seat) {
    let routes = TowerToHyperService::new(routes);
    let answer = service_fn(|request: Request<Incoming>| {
        let (routes, answering) = (routes.clone(), seat.rise());
        async move {
            let answer = hyper::service::Service::call(&routes, request).await;
            drop(answering);
            answer.map_err(|never: Infallible| never)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_BYTES);
    let _ = http.serve_connection(TokioIo::new(stream), answer).await;
}

/// The idle connections, longest idle first, each with the signal that closes it.
#[derive(Debug, Clone, Default)]
struct Seats(Arc<Mutex<Idle>>);

#[derive(Debug, Default)]
struct Idle {
    next: u64,
    seated: BTreeMap<u64, Arc<Notify>>,
}

impl Seats {
    fn take(&self) -> Seat {
        let seat = Seat { seats: self.clone(), number: Mutex::default(), end: Arc::default() };
        seat.sit();
        seat
    }

    /// Adds a connection as the newest; closes the longest idle one if there are now too many.
    fn seat(&self, end: &Arc<Notify>) -> u64 {
        let mut idle = self.lock();
        let number = idle.next;
        idle.next += 1;
        idle.seated.insert(number, Arc::clone(end));
        if idle.seated.len() > IDLE
            && let Some((_, longest)) = idle.seated.pop_first()
        {
            longest.notify_one();
        }
        number
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection.
#[derive(Debug)]
struct Seat {
    seats: Seats,
    /// Number among the idle connections; `None` while a request is being answered.
    number: Mutex<Option<u64>>,
    end: Arc<Notify>,
}

impl Seat {
    /// Marks the connection as idle.
    fn sit(&self) {
        *self.number() = Some(self.seats.seat(&self.end));
    }

    /// Marks the connection as busy until the guard is dropped.
    fn rise(&self) -> Answering<'_> {
        self.leave();
        Answering(self)
    }

    fn leave(&self) {
        let number = self.number().take();
        if let Some(number) = number {
            self.seats.lock().seated.remove(&number);
        }
    }

    async fn sent_away(&self) {
        self.end.notified().await;
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

struct Answering<'a>(&'a Seat);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.sit();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn is_sent_away(seat: &Seat) -> bool {
        seat.sent_away().now_or_never().is_some()
    }

    #[test]
    fn one_too_many_closes_the_longest_idle_and_none_in_use() {
        let seats = Seats::default();
        let (answered, longest) = (seats.take(), seats.take());
        let answering = answered.rise();
        let others: Vec<Seat> = (1..IDLE).map(|_| seats.take()).collect();
        assert!(!is_sent_away(&longest));
        let newest = seats.take();
        assert!(is_sent_away(&longest) && !is_sent_away(&answered) && !is_sent_away(&newest));
        drop(longest);
        drop(answering);
        assert!(
            is_sent_away(&others[0]) && !is_sent_away(&others[1]),
            "an answered connection is the newest of the idle"
        );
        drop((answered, newest, others));
        assert!(seats.lock().seated.is_empty());
    }
}
