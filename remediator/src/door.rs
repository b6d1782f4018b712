//! The door: serves one listener, and bounds what a stranger can hold. So many connections may be idle, so long may a TLS
//! handshake and the head of a request take. What a body may cost is the routes' business.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// So many connections may be open without a request that is being answered. Alertmanager's replicas need one each. When one
/// more comes, the one that has said nothing for longest goes: whoever has something to say is never kept out by those who
/// have not, and the process never runs out of descriptors or memory for them.
const IDLE: usize = 256;
/// A handshake or the head of a request that takes longer comes from nobody we know. Of a connection that is kept open after
/// an answer this is the time until the next request; Alertmanager connects again.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// When no connection can be accepted: somebody has to close a file first.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves for ever; with TLS when there is an acceptor.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, routes: Router) -> anyhow::Result<()> {
    let seats = Seats::default();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let (tls, routes, seat) = (tls.clone(), routes.clone(), seats.take());
        tokio::spawn(async move {
            let seat = &seat;
            let served = async {
                match tls {
                    None => converse(stream, routes, seat).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_WITHIN, tls.accept(stream)).await {
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

/// Answers the requests of one connection. How it ends is the client's to know.
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
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let _ = http.serve_connection(TokioIo::new(stream), answer).await;
}

/// Connections that are idle, the longest idle first, each with what ends it.
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

    /// Seats a connection as the newest; when that is one too many, the longest idle one ends.
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

/// One connection's.
#[derive(Debug)]
struct Seat {
    seats: Seats,
    /// `None`: a request is being answered.
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
    fn one_too_many_sends_the_longest_idle_away_and_nobody_who_is_answered() {
        let seats = Seats::default();
        let (answered, longest) = (seats.take(), seats.take());
        let answering = answered.rise();
        let others: Vec<Seat> = (1..IDLE).map(|_| seats.take()).collect();
        assert!(!is_sent_away(&longest));
        let newest = seats.take();
        assert!(is_sent_away(&longest) && !is_sent_away(&answered) && !is_sent_away(&newest));
        drop(longest);
        drop(answering);
        assert!(is_sent_away(&others[0]) && !is_sent_away(&others[1]), "who was answered is the newest of the idle");
        drop((answered, newest, others));
        assert!(seats.lock().seated.is_empty());
    }
}
