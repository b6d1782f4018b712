//! Tests of the client over real HTTP: correct answers, and every kind of failure.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::controller::services::provisioning::*;

/// A service that works, or misbehaves in one way.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Serves,
    /// It has lost the reimage.
    Forgets,
    Says(&'static str),
    Refuses(u16),
    /// It refuses a PUT, and answers a GET.
    RefusesToBegin(u16),
    /// It begins, but does not answer the PUT.
    BeginsInSilence,
    Hangs,
}

#[derive(Clone)]
struct Site {
    way: Way,
    /// The requests in order.
    asked: Arc<Mutex<Vec<Method>>>,
    has: Arc<Mutex<bool>>,
}

async fn answer(State(site): State<Site>, method: Method, headers: axum::http::HeaderMap) -> Response {
    site.asked.lock().unwrap().push(method.clone());
    assert_eq!(headers[header::AUTHORIZATION], "Bearer s3cret");
    let begins = method == Method::PUT;
    let status = |number| StatusCode::from_u16(number).unwrap();
    match site.way {
        Way::Refuses(number) => return (status(number), r#"{"message": "because"}"#).into_response(),
        Way::RefusesToBegin(number) if begins => return (status(number), r#"{"message": "because"}"#).into_response(),
        Way::Says(text) => return text.to_owned().into_response(),
        Way::Hangs => tokio::time::sleep(Duration::from_secs(30)).await,
        _ => {}
    }
    *site.has.lock().unwrap() |= begins;
    if begins && site.way == Way::BeginsInSilence {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    if *site.has.lock().unwrap() && site.way != Way::Forgets {
        return r#"{"state": "running", "message": "42 %"}"#.into_response();
    }
    StatusCode::NOT_FOUND.into_response()
}

const REQUEST: Request<'static> =
    Request { node: "gpu-1", boot_id: "b", addresses: Vec::new(), reason: "r", deadline: None };

struct Met {
    service: Service,
    site: Site,
    token_file: std::path::PathBuf,
}

impl Drop for Met {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.token_file);
    }
}

impl Met {
    async fn with(way: Way) -> Self {
        let site = Site { way, asked: Arc::default(), has: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/reimages/{{node}}/{{id}}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(answer).with_state(site.clone());
        tokio::spawn(axum::serve(listener, routes).into_future());
        let token_file = std::env::temp_dir().join(format!("ossci-token-{}", uuid::Uuid::new_v4()));
        std::fs::write(&token_file, "s3cret\n").unwrap();
        let file = ServiceFile { url, token_file: Some(token_file.clone()), ca_file: None, poll_seconds: 1 };
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { service: Service::waiting(&file, Duration::from_secs(2)).unwrap(), site, token_file }
    }

    /// In the reconcile that recorded the reimage.
    async fn starts(&self) -> Outcome {
        self.service.start("1-reimage-1-7", &REQUEST, Duration::from_secs(2)).await
    }

    /// In a later reconcile.
    async fn starts_again(&self, may: bool) -> Outcome {
        self.service.start_again("1-reimage-1-7", &REQUEST, async || may).await
    }

    async fn looks(&self, state: ProvisioningState) -> Outcome {
        self.service.look("gpu-1", "1-reimage-1-7", state).await
    }

    fn puts(&self) -> usize {
        self.site.asked.lock().unwrap().iter().filter(|method| **method == Method::PUT).count()
    }
}

use ProvisioningState::{Asked, Done, Failed, Pending, Running};

#[tokio::test]
async fn a_repeated_request_begins_only_one_reimage() {
    let met = Met::with(Way::Serves).await;
    assert_eq!(met.starts().await.0, Running);
    assert_eq!(met.starts_again(true).await, (Running, "the provisioning service reports: 42 %".to_owned()));
    assert_eq!(met.puts(), 1);
}

#[tokio::test]
async fn a_request_with_a_lost_answer_is_not_repeated() {
    let met = Met::with(Way::BeginsInSilence).await;
    assert_eq!(met.starts().await.0, Asked);
    assert_eq!(met.looks(Asked).await.0, Running);
    assert_eq!(met.starts_again(true).await.0, Running);
    assert_eq!(met.puts(), 1);
}

#[tokio::test]
async fn a_lost_request_is_repeated_unless_something_objects() {
    let met = Met::with(Way::Serves).await;
    assert_eq!((met.starts_again(false).await.0, met.puts()), (Asked, 0));
    assert_eq!((met.starts_again(true).await.0, met.puts()), (Running, 1));
}

#[tokio::test]
async fn without_a_usable_answer_no_second_start_is_sent() {
    for way in [Way::Hangs, Way::Refuses(500), Way::Refuses(401), Way::Refuses(302), Way::Says("<html>"), Way::Says("")]
    {
        let met = Met::with(way).await;
        let (state, message) = met.starts_again(true).await;
        assert_eq!((state, met.puts()), (Asked, 0), "{message}");
        assert!(message.starts_with("no usable answer from the provisioning service: "), "{message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
}

#[tokio::test]
async fn the_status_of_a_refusal_decides_the_state() {
    for (number, expected) in [(422, Failed), (401, Failed), (429, Pending), (503, Asked), (502, Asked), (302, Failed)]
    {
        let met = Met::with(Way::RefusesToBegin(number)).await;
        let (state, message) = met.starts().await;
        assert_eq!((state, met.puts()), (expected, 1), "{number}: {message}");
        assert!(message.ends_with(": because"), "{message}");
    }
}

#[tokio::test]
async fn an_earlier_request_may_still_be_in_flight() {
    let met = Met::with(Way::RefusesToBegin(429)).await;
    assert_eq!((met.starts_again(true).await.0, met.puts()), (Asked, 1));
}

#[tokio::test]
async fn a_reimage_keeps_running_until_the_service_reports_its_end() {
    for (way, expected) in [
        (Way::Hangs, Running),
        (Way::Refuses(503), Running),
        (Way::Says("{}"), Running),
        (Way::Says(r#"{"state": "paused"}"#), Running),
        (Way::Says(r#"{"state": "done"}"#), Done),
        (Way::Says(r#"{"state": "failed", "message": "no such image"}"#), Failed),
        // Another program may answer in its place, so a 404 changes nothing.
        (Way::Forgets, Running),
    ] {
        let (state, message) = Met::with(way).await.looks(Running).await;
        assert_eq!(state, expected, "{message}");
        assert!(!message.is_empty());
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_the_end() {
    let long: &'static str = Box::leak(format!(r#"{{"state": "done", "message": "{}"}}"#, "x".repeat(BODY)).into());
    let (state, message) = Met::with(Way::Says(long)).await.looks(Running).await;
    assert_eq!((state, message.len() < 1_000), (Running, true));
}

#[tokio::test]
async fn an_unreachable_address_is_no_refusal() {
    let file =
        ServiceFile { url: "http://127.0.0.1:1/{node}/{id}".into(), token_file: None, ca_file: None, poll_seconds: 1 };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let service = Service::waiting(&file, Duration::from_secs(2)).unwrap();
    let (state, message) = service.look("gpu-1", "1", Running).await;
    assert_eq!(state, Running);
    assert!(message.contains("refused"), "{message}");
    assert_eq!(service.start("1", &REQUEST, Duration::from_secs(2)).await.0, Pending);
}
