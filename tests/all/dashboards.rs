//! Tests of Grafana's dashboards: each query returns data from the lab's Prometheus once all
//! stories have finished.

use std::time::Duration;

use ossci_lab::{parts, wait};
use serde_json::Value;

use crate::support::{files, lab};

#[tokio::test]
async fn every_query_of_every_dashboard_returns_data() {
    let lab = lab();
    for folder in ["alerts", "repairs"] {
        for story in files(&format!("tests/stories/{folder}"), ".story") {
            lab.result(&story.file_stem().unwrap().to_string_lossy()).await;
        }
    }
    let facts = lab.facts().await;
    let http = parts::http().unwrap();
    let mut asked = 0;
    for file in files("grafana", ".json") {
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let mut queries = Vec::new();
        collect(&dashboard, &mut queries);
        for query in queries {
            asked += 1;
            let url = reqwest::Url::parse_with_params(
                &format!("{}/api/v1/query", facts.prometheus),
                [("query", filled_in(&query))],
            )
            .unwrap();
            let (http, url) = (&http, url.as_str());
            let answered = wait::until("the query returns data", Duration::from_secs(10), || async move {
                let answer: Value = serde_json::from_str(&parts::page(http, url).await?)?;
                let series = answer.pointer("/data/result").and_then(Value::as_array).map_or(0, Vec::len);
                anyhow::ensure!(series > 0, "no data");
                Ok(())
            });
            answered.await.unwrap_or_else(|error| panic!("{}: {query}: {error:#}", file.display()));
        }
    }
    assert!(asked > 0, "no dashboard has a query");
}

/// Collects every `expr` of a panel and every query of a variable.
fn collect(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| match value {
            Value::String(text) if key == "expr" => queries.push(text.clone()),
            other => collect(other, queries),
        }),
        Value::Array(list) => list.iter().for_each(|value| collect(value, queries)),
        _ => {}
    }
}

/// Replaces Grafana's own variables, which have values only in Grafana.
fn filled_in(query: &str) -> String {
    let mut query = query.replace("$__rate_interval", "5m").replace("$__interval", "1m").replace("$__range", "1h");
    for variable in
        ["$node", "${node}", "${node:regex}", "$cluster", "${cluster}", "$pool", "${pool}", "$check", "${check}"]
    {
        query = query.replace(variable, ".*");
    }
    query
}
