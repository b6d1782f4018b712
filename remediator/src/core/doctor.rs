//! What can silently be wrong with an installation: one finding for each thing, and what to do.
//! Pure; `ossci-remediator doctor` collects the facts.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::site_warnings::Warning;
use ossci_base::closed_words;
use ossci_base::words::ClosedWord;

closed_words! {
    /// How a finding counts; the worst last.
    pub enum Level ("level") {
        Ok = "ok",
        /// It works; something is missing that most sites want.
        Warn = "warn",
        /// It could not be looked at.
        Unknown = "unknown",
        Fail = "fail",
    }
}

/// One line of the doctor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    /// What was looked at: `agents`.
    pub of: &'static str,
    /// What is so, in one sentence.
    pub says: String,
    /// What to do about it; empty if it is well.
    pub todo: String,
}

/// The CRD in the cluster, beside the program's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definition {
    Missing,
    /// Fields that this program writes and the cluster does not know.
    Lacks(Vec<String>),
    Current,
}

/// One Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub name: String,
    /// Its label `ossci.amd.com/pool`.
    pub labelled: bool,
    /// A pool of the policy selects it, or names it by the label.
    pub pooled: bool,
    pub ready: bool,
}

/// One pod of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its label `app.kubernetes.io/name`.
    pub name: String,
    pub node: String,
    pub ready: bool,
    /// It stays on a node with any taint.
    pub tolerates: bool,
}

/// The series of one controller: name and labels as exposed, and the value.
pub type Series = BTreeMap<String, f64>;

/// A fact, or one sentence why it is not known.
pub type Known<T> = Result<T, String>;

/// What the doctor knows.
#[derive(Debug)]
pub struct Facts {
    pub now: Timestamp,
    /// The digest of the policy file.
    pub policy: Known<String>,
    /// The API server's version, such as 1.36.
    pub kubernetes: Known<(u32, u32)>,
    pub definition: Known<Definition>,
    pub machines: Known<Vec<Machine>>,
    pub programs: Known<Vec<Program>>,
    /// By address.
    pub controllers: BTreeMap<String, Known<Series>>,
    /// By address of an Alertmanager: whether our heartbeat fires there.
    pub alertmanagers: BTreeMap<String, Known<bool>>,
    /// What Prometheus says; `None`: its address is not known.
    pub prometheus: Option<Known<Scraped>>,
}

/// What Prometheus knows of us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scraped {
    /// Exporters that it scrapes, with the label `node`.
    pub nodes: BTreeSet<String>,
    /// Series of exporters without the label `node`.
    pub nameless: usize,
    /// Exporters that measure the network.
    pub networked: usize,
    /// Our alerts that it evaluates.
    pub alerts: BTreeSet<String>,
}

/// The oldest API server with stable ValidatingAdmissionPolicies.
const OLDEST: (u32, u32) = (1, 30);
/// An alert of each of our rule files that loads alerts.
const ALERTS: [&str; 3] = ["GPUCheckFailing", "ExporterSilent", "OssciHeartbeat"];
/// The heartbeat comes every ten minutes at most.
const HEARTBEAT: SignedDuration = SignedDuration::from_mins(25);
/// A mail that was not accepted for longer than this is late.
const LATE: SignedDuration = SignedDuration::from_mins(10);
/// Names in one sentence.
const NAMED: usize = 5;

/// Returns one finding for each thing, in the order in which a person mends them.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![policy(facts), kubernetes(facts), definition(facts), pools(facts)];
    all.extend(programs(facts));
    all.extend(controllers(facts));
    all.push(silences(facts));
    all.extend(scraped(facts));
    all
}

/// Returns the worst level.
pub fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

/// Returns the series of a page in Prometheus's text format. Comments and what is no number are
/// left out.
pub fn series(page: &str) -> Series {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.into(), value.parse().ok()?)))
        .collect()
}

fn ok(of: &'static str, says: impl Into<String>) -> Finding {
    Finding { level: Level::Ok, of, says: says.into(), todo: String::new() }
}

fn not(level: Level, of: &'static str, says: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { level, of, says: says.into(), todo: todo.into() }
}

fn unknown(of: &'static str, error: &str) -> Finding {
    not(Level::Unknown, of, error, "the account that runs this needs the permissions of ossci-remediator")
}

/// `a, b and 3 more`.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.collect();
    let shown: Vec<&str> = names.iter().copied().take(NAMED).collect();
    match names.len().saturating_sub(NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn policy(facts: &Facts) -> Finding {
    match &facts.policy {
        Ok(_) => ok("policy", "the policy is valid"),
        Err(error) => {
            not(Level::Fail, "policy", error.as_str(), "mend it: ossci-remediator config check FILE names the line")
        }
    }
}

fn kubernetes(facts: &Facts) -> Finding {
    match &facts.kubernetes {
        Err(error) => unknown("kubernetes", error),
        Ok((major, minor)) if (*major, *minor) < OLDEST => not(
            Level::Fail,
            "kubernetes",
            format!("the API server is {major}.{minor}, and has no stable admission policies"),
            format!(
                "update it to {}.{} or newer: without the policies any agent may write any record",
                OLDEST.0, OLDEST.1
            ),
        ),
        Ok((major, minor)) => ok("kubernetes", format!("the API server is {major}.{minor}")),
    }
}

fn definition(facts: &Facts) -> Finding {
    let apply = "helm upgrade applies it, or: ossci-remediator crd | kubectl apply --server-side -f -";
    match &facts.definition {
        Err(error) => unknown("crd", error),
        Ok(Definition::Current) => ok("crd", "the CRD of NodeRepair is this program's"),
        Ok(Definition::Missing) => not(Level::Fail, "crd", "there is no CRD of NodeRepair", apply),
        Ok(Definition::Lacks(fields)) => {
            let fields = named(fields.iter().map(String::as_str));
            not(Level::Fail, "crd", format!("the CRD is older than this program, it lacks {fields}"), apply)
        }
    }
}

fn pools(facts: &Facts) -> Finding {
    let machines = match &facts.machines {
        Ok(machines) => machines,
        Err(error) => return unknown("pools", error),
    };
    let pooled = machines.iter().filter(|machine| machine.pooled);
    let waiting: Vec<&str> =
        pooled.clone().filter(|machine| !machine.labelled).map(|machine| machine.name.as_str()).collect();
    match pooled.count() {
        0 => not(
            Level::Fail,
            "pools",
            format!("none of {} nodes is in a pool", machines.len()),
            "is Node Feature Discovery installed? Or set pools[].nodeSelector, or: kubectl label node NAME ossci.amd.com/pool=POOL",
        ),
        count if waiting.is_empty() => ok("pools", format!("{count} of {} nodes are in a pool", machines.len())),
        _ => not(
            Level::Warn,
            "pools",
            format!("the policy selects {}, which have no label ossci.amd.com/pool", named(waiting.into_iter())),
            "the leader sets it within a minute unless `adopt` is false; a node whose label a person removed keeps none",
        ),
    }
}

/// Exporters and agents on each node of a pool, and where the controllers run.
fn programs(facts: &Facts) -> Vec<Finding> {
    let (programs, machines) = match (&facts.programs, &facts.machines) {
        (Ok(programs), Ok(machines)) => (programs, machines),
        (Err(error), _) | (_, Err(error)) => return vec![unknown("pods", error)],
    };
    let labelled = || machines.iter().filter(|machine| machine.labelled && machine.ready);
    let mut all = Vec::new();
    for (of, name) in [("exporters", "ossci-exporter"), ("agents", "ossci-agent")] {
        let ours = || programs.iter().filter(move |program| program.name == name);
        let ready: BTreeSet<&str> =
            ours().filter(|program| program.ready).map(|program| program.node.as_str()).collect();
        let without: Vec<&str> =
            labelled().map(|machine| machine.name.as_str()).filter(|node| !ready.contains(node)).collect();
        all.push(if ours().any(|program| !program.tolerates) {
            let says = format!("pods of {name} do not tolerate every taint: a repair would end with a person");
            not(Level::Fail, of, says, format!("give DaemonSet {name} the toleration {{operator: Exists}}"))
        } else if without.is_empty() {
            ok(of, format!("{} of {} ready nodes have one that is ready", ready.len(), labelled().count()))
        } else {
            let says = format!("none is ready on {}", named(without.iter().copied()));
            not(Level::Fail, of, says, format!("kubectl get pods -A -o wide -l app.kubernetes.io/name={name}"))
        });
    }
    let controllers: Vec<&Program> = programs.iter().filter(|program| program.name == "ossci-remediator").collect();
    let pooled = |node: &str| machines.iter().any(|machine| machine.name == node && machine.pooled);
    let on_pool: Vec<&str> =
        controllers.iter().map(|program| program.node.as_str()).filter(|node| pooled(node)).collect();
    let ready = controllers.iter().filter(|program| program.ready).count();
    all.push(match (ready, on_pool.as_slice()) {
        (0, _) => not(
            Level::Fail,
            "controllers",
            format!("none of {} pods of ossci-remediator is ready", controllers.len()),
            "kubectl describe pods -A -l app.kubernetes.io/name=ossci-remediator; a cluster of GPU nodes alone needs controller.onPoolNodes",
        ),
        (_, [_, ..]) => not(
            Level::Warn,
            "controllers",
            format!("one runs on {}, a node that it repairs", named(on_pool.iter().copied())),
            "run it elsewhere: a tenant who breaks out of a container there reads its Secrets",
        ),
        (1, _) => not(Level::Warn, "controllers", "one is ready; if its node fails, nothing is repaired", "run two"),
        (ready, _) => ok("controllers", format!("{ready} are ready, none on a node of a pool")),
    });
    all
}

/// What the controllers say of themselves.
fn controllers(facts: &Facts) -> Vec<Finding> {
    let answers: Vec<&Series> = facts.controllers.values().flatten().collect();
    if answers.is_empty() {
        let error = facts
            .controllers
            .iter()
            .find_map(|(address, answer)| Some(format!("{address}: {}", answer.as_ref().err()?)));
        let says = format!("no controller shows its metrics; {}", error.unwrap_or_else(|| "none was found".to_owned()));
        let todo = "the controller's log says why: kubectl -n ossci logs deploy/ossci-remediator";
        return vec![not(Level::Unknown, "leader", says, todo)];
    }
    let most = |name: &str| answers.iter().filter_map(|series| series.get(name)).copied().fold(f64::NAN, f64::max);
    let least = |name: &str| answers.iter().filter_map(|series| series.get(name)).copied().fold(f64::NAN, f64::min);
    let sum = |name: &str| answers.iter().filter_map(|series| series.get(name)).sum::<f64>();
    let leaders = sum("ossci_remediator_leader");
    let mut all = vec![if (leaders - 1.0).abs() < 0.5 {
        ok("leader", "one controller leads")
    } else {
        let says = format!("{leaders} controllers lead");
        not(Level::Fail, "leader", says, "kubectl -n ossci get lease ossci-remediator; look at the controllers' logs")
    }];
    if least("ossci_remediator_policy_last_reload_successful") < 0.5 {
        let says = "a controller runs with an older policy: it could not use the newest";
        all.push(not(
            Level::Fail,
            "policy-in-force",
            says,
            "its log names the line; ossci-remediator config check FILE",
        ));
    }
    all.extend(other_policy(facts));
    all.push(webhook(facts.now, &most, &sum));
    if sum(&format!("ossci_remediator_site_warning{{warning=\"{}\"}}", Warning::NoMail)) < 0.5 {
        all.push(mail(facts.now, &sum, &least));
    }
    for warning in Warning::ALL {
        if sum(&format!("ossci_remediator_site_warning{{warning=\"{warning}\"}}")) > 0.5 {
            all.push(not(Level::Warn, warning.as_str(), warning.sentence(), "docs/install.md"));
        }
    }
    all
}

/// Controllers that run with another policy than the file that was read.
fn other_policy(facts: &Facts) -> Option<Finding> {
    const IN_FORCE: &str = "ossci_remediator_policy_info{digest=\"";
    let digest = facts.policy.as_ref().ok()?;
    let differs = |series: &Series| {
        let mut known = series.keys().filter_map(|key| key.strip_prefix(IN_FORCE)?.strip_suffix("\"}"));
        known.next().is_some_and(|known| known != digest)
    };
    let others = facts.controllers.iter().filter(|(_, answer)| answer.as_ref().is_ok_and(differs));
    let others = named(others.map(|(of, _)| of.as_str()));
    let todo = "a changed ConfigMap arrives within two minutes, but never where it is mounted with subPath; is this the \
                file of this cluster?";
    (!others.is_empty()).then(|| {
        not(Level::Fail, "policy-in-force", format!("{others} runs with another policy than the file read here"), todo)
    })
}

fn webhook(now: Timestamp, most: &dyn Fn(&str) -> f64, sum: &dyn Fn(&str) -> f64) -> Finding {
    let refused = sum("ossci_remediator_webhook_requests_total{code=\"401\"}");
    let taken = sum("ossci_remediator_webhook_requests_total{code=\"200\"}");
    let last = most("ossci_remediator_heartbeat_timestamp_seconds");
    if last > 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 fit")]
        let ago = now.duration_since(Timestamp::from_second(last as i64).unwrap_or(Timestamp::UNIX_EPOCH));
        if ago < HEARTBEAT {
            return ok("webhook", format!("the last heartbeat came {} s ago, through Alertmanager", ago.as_secs()));
        }
        let says = format!("the last heartbeat came {} min ago", ago.as_mins());
        return not(Level::Fail, "webhook", says, "is the alert OssciHeartbeat firing, and does Alertmanager send it?");
    }
    if refused > 0.5 && taken < 0.5 {
        let says = format!("{refused} deliveries were refused: Alertmanager sends another token than the webhook's");
        return not(Level::Fail, "webhook", says, "give Alertmanager the token of Secret ossci-webhook-token");
    }
    let says = "no heartbeat has ever come: no alert of ours would arrive either";
    let todo = "are the rules loaded (alert OssciHeartbeat), and has Alertmanager our route and receiver?";
    not(Level::Fail, "webhook", says, todo)
}

fn mail(now: Timestamp, sum: &dyn Fn(&str) -> f64, least: &dyn Fn(&str) -> f64) -> Finding {
    let late = least("ossci_remediator_mail_oldest_unaccepted_timestamp_seconds");
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 fit")]
    let since = Timestamp::from_second(late as i64).unwrap_or(now);
    if sum("ossci_remediator_mails_unaccepted") > 0.5 && late > 0.0 && now.duration_since(since) > LATE {
        let says = format!("a mail has waited since {since}: no server accepts it");
        return not(Level::Fail, "mail", says, "ossci-remediator mail test says each step and what fails");
    }
    ok("mail", "a mail server is named, and no mail waits for long; `mail test` sends one")
}

fn silences(facts: &Facts) -> Finding {
    let silent = facts.alertmanagers.iter().find_map(|(url, answer)| Some((url, answer.as_ref().err()?)));
    match silent {
        Some((url, error)) => not(
            Level::Fail,
            "alertmanager",
            format!("{url} does not answer: {error}"),
            "mend alertmanager.urls of the policy; nothing disruptive begins while silences are unknown",
        ),
        None if facts.alertmanagers.is_empty() => {
            not(Level::Warn, "alertmanager", "the policy names none: silences are unknown", "set alertmanager.urls")
        }
        None if facts.alertmanagers.values().any(|fires| *fires == Ok(true)) => {
            ok("alertmanager", format!("{} answer, and our heartbeat fires", facts.alertmanagers.len()))
        }
        None => not(
            Level::Fail,
            "alertmanager",
            "our heartbeat alert does not fire there",
            "are our rules selected by Prometheus (kube-prometheus-stack: monitoring.labels.release)?",
        ),
    }
}

/// What Prometheus scrapes and evaluates.
fn scraped(facts: &Facts) -> Vec<Finding> {
    let scraped = match &facts.prometheus {
        None => {
            let says = "its address is not known, so scrape and rules were not looked at";
            return vec![not(Level::Warn, "prometheus", says, "ossci-remediator doctor --prometheus URL")];
        }
        Some(Err(error)) => {
            return vec![not(
                Level::Unknown,
                "prometheus",
                format!("it does not answer: {error}"),
                "check --prometheus",
            )];
        }
        Some(Ok(scraped)) => scraped,
    };
    let machines = facts.machines.iter().flatten();
    let labelled: BTreeSet<&str> =
        machines.filter(|machine| machine.labelled && machine.ready).map(|machine| machine.name.as_str()).collect();
    let missing: Vec<&str> = labelled.iter().copied().filter(|node| !scraped.nodes.contains(*node)).collect();
    let nodes: BTreeSet<&str> = facts.machines.iter().flatten().map(|machine| machine.name.as_str()).collect();
    let strange: Vec<&str> = scraped.nodes.iter().map(String::as_str).filter(|node| !nodes.contains(node)).collect();
    let mut all = Vec::new();
    all.push(if scraped.nameless > 0 {
        let says = format!("{} series of exporters have no label node: their alerts name no node", scraped.nameless);
        not(Level::Fail, "scrape", says, "add the relabelling of docs/install.md, \"Plain Prometheus\"")
    } else if missing.is_empty() {
        ok("scrape", format!("the exporters of {} nodes are scraped", labelled.len()))
    } else if !strange.is_empty() {
        let (missing, strange) = (named(missing.into_iter()), named(strange.into_iter()));
        let says =
            format!("no exporter is scraped on {missing}; the label node says {strange}, which no Node is called");
        let todo = "relabel node from the pod's spec.nodeName: docs/install.md, \"Plain Prometheus\"";
        not(Level::Fail, "scrape", says, todo)
    } else {
        let says = format!("no exporter is scraped on {}", named(missing.into_iter()));
        not(Level::Fail, "scrape", says, "is the PodMonitor selected (monitoring.labels), or the scrape job there?")
    });
    let unloaded: Vec<&str> = ALERTS.into_iter().filter(|alert| !scraped.alerts.contains(*alert)).collect();
    all.push(if unloaded.is_empty() {
        ok("rules", format!("{} alerts of ours are evaluated", scraped.alerts.len()))
    } else {
        let says = format!("the rules with {} are not loaded", named(unloaded.into_iter()));
        not(Level::Fail, "rules", says, "is the PrometheusRule selected (monitoring.labels), or the rule file named?")
    });
    all.push(match scraped.networked {
        0 => not(
            Level::Warn,
            "network",
            "no exporter measures the network",
            "set network.servers.enabled or network.targets (docs/install.md, \"Network check\")",
        ),
        count => ok("network", format!("{count} exporters measure the network")),
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-30T12:00:00Z".parse().unwrap()
    }

    fn machine(name: &str) -> Machine {
        Machine { name: name.into(), labelled: true, pooled: true, ready: true }
    }

    fn program(name: &str, node: &str) -> Program {
        Program { name: name.into(), node: node.into(), ready: true, tolerates: true }
    }

    fn well() -> Facts {
        let page = format!(
            "# HELP x\nossci_remediator_leader 1\nossci_remediator_policy_last_reload_successful 1\n\
             ossci_remediator_policy_info{{digest=\"abc\"}} 1\n\
             ossci_remediator_heartbeat_timestamp_seconds {}\nossci_remediator_webhook_requests_total{{code=\"200\"}} 9\n",
            now().as_second() - 60
        );
        let scraped = Scraped {
            nodes: ["g1".to_owned(), "g2".to_owned()].into(),
            alerts: ALERTS.map(str::to_owned).into(),
            networked: 2,
            ..Scraped::default()
        };
        let mut machines = vec![machine("g1"), machine("g2")];
        machines.push(Machine { labelled: false, pooled: false, ..machine("infra1") });
        let ours = |node| [program("ossci-exporter", node), program("ossci-agent", node)];
        let mut programs = [ours("g1"), ours("g2")].concat();
        programs.extend([program("ossci-remediator", "infra1"), program("ossci-remediator", "infra2")]);
        Facts {
            now: now(),
            policy: Ok("abc".into()),
            kubernetes: Ok((1, 36)),
            definition: Ok(Definition::Current),
            machines: Ok(machines),
            programs: Ok(programs),
            controllers: [("a".to_owned(), Ok(series(&page)))].into(),
            alertmanagers: [("http://am".to_owned(), Ok(true))].into(),
            prometheus: Some(Ok(scraped)),
        }
    }

    #[test]
    fn all_is_well_with_a_whole_installation() {
        let found = judge(&well());
        assert!(found.iter().all(|finding| finding.level == Level::Ok && finding.todo.is_empty()), "{found:#?}");
        assert!(worst(&found) == Level::Ok && found.len() > 10);
    }

    /// Each way in which an installation fails without a word is one finding that says what to do.
    #[test]
    fn each_mistake_is_one_finding_and_says_what_to_do() {
        type Mistake = fn(&mut Facts);
        fn one(facts: &mut Facts) -> &mut Series {
            facts.controllers.get_mut("a").unwrap().as_mut().unwrap()
        }
        fn seen(facts: &mut Facts) -> &mut Scraped {
            facts.prometheus.as_mut().unwrap().as_mut().unwrap()
        }
        let mistakes: &[(Mistake, &str, Level, &str)] = &[
            (|f| f.policy = Err("line 3: unknown key".into()), "policy", Level::Fail, "line 3"),
            (|f| f.kubernetes = Ok((1, 29)), "kubernetes", Level::Fail, "1.29"),
            (|f| f.definition = Ok(Definition::Missing), "crd", Level::Fail, "no CRD"),
            (|f| f.definition = Ok(Definition::Lacks(vec!["status.x".into()])), "crd", Level::Fail, "status.x"),
            (|f| f.machines = Ok(vec![]), "pools", Level::Fail, "none of 0 nodes"),
            (|f| f.programs.as_mut().unwrap().retain(|p| p.node != "g2"), "agents", Level::Fail, "g2"),
            (|f| f.programs.as_mut().unwrap()[1].tolerates = false, "agents", Level::Fail, "tolerate"),
            (|f| f.programs.as_mut().unwrap()[4].node = "g1".into(), "controllers", Level::Warn, "g1"),
            (
                |f| {
                    one(f).insert("ossci_remediator_leader".into(), 0.0);
                },
                "leader",
                Level::Fail,
                "0 controllers",
            ),
            (
                |f| {
                    one(f).remove("ossci_remediator_heartbeat_timestamp_seconds");
                },
                "webhook",
                Level::Fail,
                "no heartbeat",
            ),
            (
                |f| {
                    *one(f) =
                        series("ossci_remediator_leader 1\nossci_remediator_webhook_requests_total{code=\"401\"} 3");
                },
                "webhook",
                Level::Fail,
                "another token",
            ),
            (
                |f| {
                    one(f).insert("ossci_remediator_site_warning{warning=\"no-mail\"}".into(), 1.0);
                },
                "no-mail",
                Level::Warn,
                "no mail",
            ),
            (|f| f.alertmanagers = [].into(), "alertmanager", Level::Warn, "names none"),
            (
                |f| f.alertmanagers = [("x".into(), Err("refused".into()))].into(),
                "alertmanager",
                Level::Fail,
                "refused",
            ),
            (|f| f.alertmanagers = [("x".into(), Ok(false))].into(), "alertmanager", Level::Fail, "does not fire"),
            (
                |f| {
                    seen(f).nodes.remove("g1");
                },
                "scrape",
                Level::Fail,
                "g1",
            ),
            (
                |f| seen(f).nodes = ["g1.site.example".to_owned(), "g2".to_owned()].into(),
                "scrape",
                Level::Fail,
                "says g1.site.example, which no Node",
            ),
            (|f| f.policy = Ok("other".into()), "policy-in-force", Level::Fail, "a runs with another policy"),
            (|f| seen(f).nameless = 3, "scrape", Level::Fail, "no label node"),
            (
                |f| {
                    seen(f).alerts.remove("GPUCheckFailing");
                },
                "rules",
                Level::Fail,
                "GPUCheckFailing",
            ),
            (|f| seen(f).networked = 0, "network", Level::Warn, "no exporter measures"),
            (|f| f.prometheus = None, "prometheus", Level::Warn, "not known"),
            (|f| f.controllers = [("a".into(), Err("timed out".into()))].into(), "leader", Level::Unknown, "timed out"),
        ];
        for (mistake, of, level, told) in mistakes {
            let mut facts = well();
            mistake(&mut facts);
            let found = judge(&facts);
            let bad: Vec<&Finding> = found.iter().filter(|finding| finding.level != Level::Ok).collect();
            let hit = bad.iter().find(|finding| finding.of == *of).unwrap_or_else(|| panic!("{of}: {found:#?}"));
            assert!(hit.level == *level && hit.says.contains(told) && !hit.todo.is_empty(), "{hit:#?}");
        }
    }
}
