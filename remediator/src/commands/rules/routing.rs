//! The routing of `alerts/alertmanager.yml` as AlertmanagerConfig objects of the Prometheus
//! operator (monitoring.coreos.com/v1alpha1). Pure.
//!
//! Every field of the shipped file is parsed: an unknown one is refused, never left out.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

/// Files of the shipped configuration, with the Secret and key that hold the same content for the
/// operator.
const SECRETS: [(&str, &str, &str); 2] =
    [("ossci/token", "ossci-webhook-token", "token"), ("ossci/ca.crt", "ossci-webhook-tls", "ca.crt")];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shipped {
    route: Root,
    inhibit_rules: Vec<Inhibition>,
    receivers: Vec<Receiver>,
}

/// The site's root route: its receiver gets the alerts that match no route of ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    #[serde(rename = "receiver")]
    _receiver: String,
    routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    matchers: Vec<String>,
    receiver: String,
    #[serde(default)]
    r#continue: bool,
    #[serde(default)]
    group_by: Vec<String>,
    group_wait: Option<String>,
    group_interval: Option<String>,
    repeat_interval: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inhibition {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    equal: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Receiver {
    name: String,
    #[serde(default)]
    webhook_configs: Vec<Webhook>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhook {
    url: String,
    send_resolved: bool,
    http_config: Http,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    authorization: Authorization,
    tls_config: Tls,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorization {
    r#type: String,
    credentials_file: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    ca_file: String,
}

/// Returns one object per route of ours, because an object has one root. The inhibition is in the
/// first.
pub fn render(shipped: &str) -> anyhow::Result<String> {
    let shipped: Shipped = serde_saphyr::from_str(shipped)?;
    let receivers: BTreeMap<&str, &Receiver> =
        shipped.receivers.iter().map(|receiver| (receiver.name.as_str(), receiver)).collect();
    let mut text = String::from(
        "# Rendered from alerts/alertmanager.yml; `make alerts` renders it again.\n\
         # The operator lets an AlertmanagerConfig route the alerts of its own namespace only. The chart gives ours the label.\n\
         # With other rules the Alertmanager needs `alertmanagerConfigMatcherStrategy: {type: None}`.\n",
    );
    let mut inhibitions = shipped.inhibit_rules.iter().map(inhibition).collect::<anyhow::Result<Vec<_>>>()?;
    for (at, route) in shipped.route.routes.iter().enumerate() {
        let receiver = receivers.get(route.receiver.as_str());
        let receiver = receiver.with_context(|| format!("there is no receiver {}", route.receiver))?;
        let name = match route.receiver.strip_prefix("ossci-") {
            Some(_) => route.receiver.clone(),
            None => format!("ossci-{}", route.receiver),
        };
        let mut spec = json!({ "route": operator_route(route)?, "receivers": [operator_receiver(receiver)?] });
        if at == 0 {
            spec["inhibitRules"] = json!(std::mem::take(&mut inhibitions));
        }
        let object = json!({
            "apiVersion": "monitoring.coreos.com/v1alpha1",
            "kind": "AlertmanagerConfig",
            "metadata": {
                "name": name, "namespace": "ossci", "labels": { "app.kubernetes.io/part-of": "ossci-ops" },
            },
            "spec": spec,
        });
        text.push_str(&format!("---\n{}", serde_saphyr::to_string(&object)?));
    }
    Ok(text)
}

fn operator_route(route: &Route) -> anyhow::Result<Value> {
    let mut object = json!({ "receiver": route.receiver, "matchers": matchers(&route.matchers)? });
    if route.r#continue {
        object["continue"] = json!(true);
    }
    if !route.group_by.is_empty() {
        object["groupBy"] = json!(route.group_by);
    }
    let times = [
        ("groupWait", &route.group_wait),
        ("groupInterval", &route.group_interval),
        ("repeatInterval", &route.repeat_interval),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            object[name] = json!(time);
        }
    }
    Ok(object)
}

fn inhibition(rule: &Inhibition) -> anyhow::Result<Value> {
    Ok(json!({
        "sourceMatch": matchers(&rule.source_matchers)?,
        "targetMatch": matchers(&rule.target_matchers)?,
        "equal": rule.equal,
    }))
}

fn operator_receiver(receiver: &Receiver) -> anyhow::Result<Value> {
    let mut object = json!({ "name": receiver.name });
    if !receiver.webhook_configs.is_empty() {
        let webhooks = receiver.webhook_configs.iter().map(webhook).collect::<anyhow::Result<Vec<_>>>()?;
        object["webhookConfigs"] = json!(webhooks);
    }
    Ok(object)
}

fn webhook(webhook: &Webhook) -> anyhow::Result<Value> {
    let Http { authorization, tls_config } = &webhook.http_config;
    Ok(json!({
        "url": webhook.url,
        "sendResolved": webhook.send_resolved,
        "httpConfig": {
            "authorization": { "type": authorization.r#type, "credentials": secret(&authorization.credentials_file)? },
            "tlsConfig": { "ca": { "secret": secret(&tls_config.ca_file)? } },
        },
    }))
}

fn secret(file: &str) -> anyhow::Result<Value> {
    let known = SECRETS.iter().find(|(path, ..)| *path == file);
    let (_, name, key) = known.with_context(|| format!("no Secret is known for the file {file}"))?;
    Ok(json!({ "name": name, "key": key }))
}

/// Returns the matchers `name="value"`, `name!="value"`, `name=~"value"` and `name!~"value"` in the
/// operator's form.
fn matchers(matchers: &[String]) -> anyhow::Result<Vec<Value>> {
    let one = |matcher: &String| {
        let operator = ["=~", "!~", "!=", "="].into_iter().filter_map(|kind| Some((matcher.find(kind)?, kind)));
        // If two operators begin at the same position, the longer one is meant.
        let Some((at, kind)) = operator.min_by_key(|(at, kind)| (*at, std::cmp::Reverse(kind.len()))) else {
            bail!("{matcher} is not a matcher");
        };
        let value = matcher[at + kind.len()..].trim().strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = value.with_context(|| format!("the value of the matcher {matcher} is not quoted"))?;
        ensure!(!value.contains('\\'), "the matcher {matcher} contains an escape, which is not supported");
        Ok(json!({ "name": matcher[..at].trim(), "matchType": kind, "value": value }))
    };
    matchers.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../../alerts/alertmanager.yml");

    #[test]
    fn a_matcher_is_parsed_as_alertmanager_does() {
        let parse = |text: &str| matchers(&[text.to_owned()]).map(|all| all[0].to_string());
        assert_eq!(parse(r#"a=~".+""#).unwrap(), r#"{"name":"a","matchType":"=~","value":".+"}"#);
        assert_eq!(parse(r#"a!="b=c""#).unwrap(), r#"{"name":"a","matchType":"!=","value":"b=c"}"#);
        assert_eq!(parse(r#"a="""#).unwrap(), r#"{"name":"a","matchType":"=","value":""}"#);
        for wrong in ["a", "a=b", r#"a="\"""#] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_line() {
        let error = |from: &str, to: &str| {
            assert!(SHIPPED.contains(from), "{from}");
            format!("{:#}", render(&SHIPPED.replacen(from, to, 1)).unwrap_err())
        };
        let unknown = error("    group_wait: 10s", "    group_wait: 10s\n    mute_time_intervals: [night]");
        assert!(unknown.contains("mute_time_intervals") && unknown.contains("line"), "{unknown}");
        assert!(error("ossci/ca.crt", "other/ca.crt").contains("no Secret is known for the file other/ca.crt"));
        assert!(error("receiver: ossci-remediator", "receiver: nowhere").contains("no receiver nowhere"));
    }
}
