//! Serves one listener, and bounds what a stranger can hold: idle connections, the size of a request's head, and the time for
//! a TLS handshake and for the head. What a body may cost is the routes' affair.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::tls::Tls;

/// Connections that may be open without a request that is being answered. Prometheus and Alertmanager need one for each
/// replica. When one more comes, the one that has been idle for longest is closed: a client with a request is never kept out
/// by clients without one, and the process never runs out of descriptors or memory for them.
const IDLE: usize = 256;
/// The limit for a TLS handshake, for the head of a request, and on a connection that stays open after an answer for the
/// time until the next request. Prometheus and Alertmanager connect again.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The limit for the head of a request, bytes; a larger one is answered 431. It is also the size of the read buffer, which
/// 256 strangers together can fill.
const HEAD_BYTES: usize = 16 << 10;

/// Serves until the task ends; with TLS when there is a certificate.
pub async fn serve<L: Listener>(mut listener: L, tls: Option<Tls>, routes: Router) -> Infallible {
    let seats = Seats::default();
    loop {
        // Waits and tries again by itself when the process has no descriptor left.
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

/// Answers the requests of one connection. An error concerns the client alone, which sees it.
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

/// The idle connections, the longest idle first, each with the signal that closes it.
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

    /// Adds a connection as the newest; when that is one too many, the longest idle one is closed.
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

/// One connection among the others.
#[derive(Debug)]
struct Seat {
    seats: Seats,
    /// Its number among the idle ones; `None` while a request is being answered.
    number: Mutex<Option<u64>>,
    end: Arc<Notify>,
}

impl Seat {
    /// Idle from now on.
    fn sit(&self) {
        *self.number() = Some(self.seats.seat(&self.end));
    }

    /// Not idle until the guard is dropped.
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
