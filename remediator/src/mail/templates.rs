//! A site's own subject and text: templates in a folder, usually a mounted ConfigMap, in the
//! language of Jinja. What they do not replace is ours.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use minijinja::value::{Enumerator, Object, Serde};
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Value, json};

use super::compose::{Case, Fact, Letter};
use crate::core::record::Record;

/// The file with the template of the subject, one line.
const SUBJECT: &str = "subject.j2";
/// The file with the template of the text.
const TEXT: &str = "text.j2";
/// A template that never ends is ended after this many steps.
const FUEL: u64 = 1_000_000;

/// The templates of a site.
pub struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    /// Reads the templates of a folder, and renders each once with an example, so that a wrong name
    /// is found now and not at night.
    ///
    /// # Errors
    /// There is none of the two files; or one sentence with file and line.
    pub fn read(folder: &Path, example: &Value) -> anyhow::Result<Self> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        let mut has = |name: &'static str| -> anyhow::Result<bool> {
            let path = folder.join(name);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
            };
            let wrong = |error: minijinja::Error| anyhow::anyhow!("{}: {}", folder.display(), one_line(&error));
            environment.add_template_owned(name, text).map_err(wrong)?;
            environment.get_template(name).and_then(|template| template.render(context(example))).map_err(wrong)?;
            Ok(true)
        };
        let (has_subject, has_text) = (has(SUBJECT)?, has(TEXT)?);
        anyhow::ensure!(
            has_subject || has_text,
            "mail.templates: {} holds neither {SUBJECT} nor {TEXT}",
            folder.display()
        );
        Ok(Self { environment })
    }

    /// Returns the letter with the site's subject and text. What a template cannot render stays
    /// ours: a mail in our words is better than none.
    pub fn apply(&self, letter: Letter, values: &Value) -> Letter {
        let render = |name: &str| {
            // Absent: ours stays.
            let template = self.environment.get_template(name).ok()?;
            let rendered = template.render(context(values));
            let warn = |error: &minijinja::Error| {
                tracing::error!(
                    template = name,
                    error = one_line(error),
                    "mail template failed, the mail is in our words"
                );
            };
            rendered.inspect_err(warn).ok()
        };
        let mut next = letter;
        if let Some(subject) = render(SUBJECT) {
            next.subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        if let Some(text) = render(TEXT) {
            next.html = super::compose::plain_html(&next.subject, &text);
            next.text = text;
        }
        next
    }
}

/// The labels of a node; one that it has not is empty, because nodes differ.
#[derive(Debug)]
struct Labels(BTreeMap<String, String>);

impl Object for Labels {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        let value = key.as_str().and_then(|key| self.0.get(key)).cloned();
        Some(minijinja::Value::from(value.unwrap_or_default()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|key| minijinja::Value::from(key.as_str())).collect())
    }
}

fn context(values: &Value) -> minijinja::Value {
    let labels = serde_json::from_value(values["labels"].clone()).unwrap_or_default();
    let labels = minijinja::Value::from_object(Labels(labels));
    minijinja::context! { labels => labels, ..minijinja::Value::from(Serde(values)) }
}

/// Returns an error of a template in one line, with file and line.
fn one_line(error: &minijinja::Error) -> String {
    let place = error.name().map(|name| format!("{name}:{}: ", error.line().unwrap_or(1))).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{place}{}{detail}", error.kind())
}

/// Returns what a template may name. docs/mail.md lists it.
pub fn values(case: &Case<'_>, fact: &Fact, letter: &Letter, cluster: Option<&str>) -> Value {
    let Record { repair, complaints, .. } = case.record;
    let episode = repair.episode.as_ref();
    let gpu = |address: &String| {
        let card = episode.and_then(|episode| episode.cards.iter().find(|card| card.pci == *address));
        let of = |value: Option<&String>| value.cloned().unwrap_or_default();
        json!({
            "address": address,
            "slot": of(card.and_then(|card| card.slot.as_ref())),
            "model": of(card.and_then(|card| card.model.as_ref())),
            "serial": of(card.and_then(|card| card.serial.as_ref())),
        })
    };
    json!({
        "cluster": cluster.unwrap_or_default(),
        "node": case.node,
        "pool": episode.and_then(|episode| episode.pool.clone()).unwrap_or_default(),
        "fact": fact.words,
        "reason": episode.map(|episode| super::compose::cause(episode).to_string()).unwrap_or_default(),
        "waits": episode.is_some_and(|episode| episode.phase == crate::core::record::Phase::Waiting),
        "gpus": fact.gpus.iter().map(gpu).collect::<Vec<_>>(),
        "labels": case.machine.map(|machine| machine.labels.clone()).unwrap_or_default(),
        "alerts": complaints.iter().map(|complaint| complaint.summary.clone()).collect::<Vec<_>>(),
        "subject": letter.subject,
        "text": letter.text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("ossci-templates-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        folder
    }

    fn example() -> Value {
        json!({ "labels": { "rack": "r17" }, "node": "n1", "fact": "GPU missing", "gpus": [{ "serial": "1" }], "text": "ours" })
    }

    fn letter() -> Letter {
        Letter { subject: "ours".into(), text: "ours".into(), html: "<p>ours</p>".into(), attached: vec![] }
    }

    #[test]
    fn a_template_replaces_what_it_names_and_nothing_else() {
        let templates =
            Templates::read(&folder(&[(SUBJECT, "[infra]\n{{ node }}: {{ fact }}\n")]), &example()).unwrap();
        let said = templates.apply(letter(), &example());
        assert_eq!((said.subject.as_str(), said.text.as_str()), ("[infra] n1: GPU missing", "ours"));
        let labels = "{{ labels.rack }}{{ labels['no/such'] }}!";
        let said = Templates::read(&folder(&[(SUBJECT, labels)]), &example()).unwrap().apply(letter(), &example());
        assert_eq!(said.subject, "r17!", "a label that this node has not is empty");
        let text = "{% for gpu in gpus %}serial {{ gpu.serial }} <b>{% endfor %}\n{{ text }}";
        let said = Templates::read(&folder(&[(TEXT, text)]), &example()).unwrap().apply(letter(), &example());
        assert_eq!((said.subject.as_str(), said.text.as_str()), ("ours", "serial 1 <b>\nours"));
        assert!(said.html.contains("serial 1 &lt;b&gt;"), "{}", said.html);
    }

    #[test]
    fn a_wrong_template_is_refused_when_it_is_read_with_its_line() {
        let refused = |files: &[(&str, &str)]| Templates::read(&folder(files), &example()).err().unwrap().to_string();
        assert!(refused(&[(TEXT, "fine\n{{ nodee }}\n")]).contains("text.j2:2: undefined value"));
        assert!(refused(&[(SUBJECT, "{% if node %}")]).contains("subject.j2:1: syntax error"));
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(refused(&[(TEXT, endless)]).contains("text.j2:1: engine ran out of fuel"));
        assert!(refused(&[]).ends_with("holds neither subject.j2 nor text.j2"));
    }
}
