//! A dashboard in Grafana's JSON model, rendered from its source. Pure.
//!
//! Colours are blue, orange and dark red, which people with any form of colour blindness tell
//! apart; a value has its word or its number as well.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::source::{Annotation, Dashboard, Kind, Limits, Panel, Query, Steps, Variable};

/// The version of the JSON model, that of Grafana 11. Later versions migrate it when they load it.
const SCHEMA: u32 = 39;

/// The dashboard that a node's name links to.
const NODE: &str = "ossci-node";

const GOOD: &str = "blue";
const WARN: &str = "orange";
const BAD: &str = "dark-red";

/// Returns the JSON model. `runbooks`: the address of the site's runbooks, if it has one;
/// `selector`: the matchers of the exporters' series.
pub fn render(dashboard: &Dashboard, runbooks: Option<&str>, selector: &str) -> Value {
    let mut panels = Vec::new();
    let (mut id, mut y) = (0, 0);
    let mut next = || {
        id += 1;
        id
    };
    for row in &dashboard.rows {
        let at = json!({"x": 0, "y": y, "w": 24, "h": 1});
        panels.push(json!({
            "id": next(), "type": "row", "title": row.title, "collapsed": false, "gridPos": at, "panels": [],
        }));
        y += 1;
        let (mut x, mut tallest) = (0, 0);
        for panel in &row.panels {
            if x + panel.width > 24 {
                (x, y, tallest) = (0, y + tallest, 0);
            }
            let at = json!({"x": x, "y": y, "w": panel.width, "h": panel.height});
            panels.push(self::panel(panel, next(), at, runbooks));
            (x, tallest) = (x + panel.width, tallest.max(panel.height));
        }
        y += tallest;
    }
    let asked = dashboard.variables.iter().map(|one| variable(*one, selector));
    let variables: Vec<Value> = std::iter::once(datasource_variable()).chain(asked).collect();
    json!({
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["ossci"],
        "timezone": "utc",
        "editable": false,
        "graphTooltip": 1,
        "schemaVersion": SCHEMA,
        "refresh": "30s",
        "time": {"from": dashboard.range, "to": "now"},
        "links": [{
            "type": "dashboards", "title": "OSSCI Ops", "tags": ["ossci"], "asDropdown": false, "icon": "external link",
            "includeVars": true, "keepTime": true, "targetBlank": false, "tooltip": "", "url": "",
        }],
        "templating": {"list": variables},
        "annotations": {"list": dashboard.annotations.iter().map(annotation).collect::<Vec<_>>()},
        "panels": panels,
    })
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn datasource_variable() -> Value {
    json!({"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"})
}

fn variable(variable: Variable, selector: &str) -> Value {
    let (name, label, query, all) = match variable {
        Variable::Cluster => {
            let query = format!("label_values(ossci_check_runs_total{{{selector}}}, cluster)");
            ("cluster", "Cluster", query, true)
        }
        Variable::Node => {
            let series = format!("ossci_check_runs_total{{{selector},cluster=~\"$cluster\"}}");
            ("node", "Node", format!("label_values({series}, node)"), false)
        }
    };
    let mut made = json!({
        "name": name, "type": "query", "label": label, "datasource": source(), "definition": query,
        "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "multi": all, "includeAll": all,
    });
    if all {
        made["allValue"] = json!(".*");
        made["current"] = json!({"text": "All", "value": "$__all"});
    }
    made
}

fn annotation(annotation: &Annotation) -> Value {
    let Annotation { name, expr, title, text, colour } = annotation;
    json!({
        "name": name, "datasource": source(), "enable": true, "hide": false, "iconColor": colour, "expr": expr,
        "titleFormat": title, "textFormat": text, "useValueForTime": false,
    })
}

fn panel(panel: &Panel, id: u32, at: Value, runbooks: Option<&str>) -> Value {
    let mut defaults = json!({"unit": panel.unit, "noValue": panel.none, "thresholds": thresholds(&panel.limits)});
    if !panel.values.is_empty() {
        defaults["mappings"] = mappings(&panel.values);
    }
    let by_limits = !matches!(panel.limits, Limits::None(_));
    let colour = match panel.kind {
        Kind::Stat => "thresholds",
        Kind::Table | Kind::Timeline if by_limits || panel.kind == Kind::Timeline => "thresholds",
        Kind::Series | Kind::Bars | Kind::Table | Kind::Timeline => "palette-classic",
    };
    defaults["color"] = json!({"mode": colour});
    let (kind, options) = match panel.kind {
        Kind::Stat => {
            let reduce = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
            let options = json!({
                "reduceOptions": reduce, "colorMode": "value", "graphMode": "none", "justifyMode": "auto",
                "orientation": "auto", "textMode": "auto", "wideLayout": true, "showPercentChange": false,
                "percentChangeColorMode": "standard",
            });
            ("stat", options)
        }
        Kind::Series | Kind::Bars => {
            defaults["custom"] = drawn(panel.kind, by_limits);
            let legend = json!({
                "displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": ["lastNotNull", "max"],
            });
            ("timeseries", json!({"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}))
        }
        Kind::Timeline => {
            defaults["custom"] = json!({"fillOpacity": 80, "lineWidth": 0});
            let legend = json!({"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []});
            let options = json!({
                "mergeValues": true, "showValue": "auto", "rowHeight": 0.8, "alignValue": "left", "legend": legend,
                "tooltip": {"mode": "single", "sort": "none"},
            });
            ("state-timeline", options)
        }
        Kind::Table => {
            // Narrower than by default, so that every column is seen without scrolling.
            defaults["custom"] =
                json!({"align": "auto", "cellOptions": {"type": "auto"}, "inspect": false, "minWidth": 60});
            let sort: Vec<Value> = panel
                .sort
                .iter()
                .map(|sort| json!({"displayName": sort.trim_start_matches('-'), "desc": !sort.starts_with('-')}))
                .collect();
            ("table", json!({"frameIndex": 0, "showHeader": true, "cellHeight": "sm", "sortBy": sort}))
        }
    };
    let mut made = json!({
        "id": id, "type": kind, "title": panel.title, "description": described(panel), "datasource": source(),
        "gridPos": at, "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options,
        "targets": panel.queries.iter().enumerate().map(|(index, query)| target(panel, index, query)).collect::<Vec<_>>(),
    });
    if let Some(interval) = &panel.interval {
        made["interval"] = json!(interval);
    }
    if panel.kind == Kind::Table {
        made["transformations"] = table(panel);
        made["fieldConfig"]["overrides"] = overrides(panel);
    }
    if let Some(runbooks) = runbooks.filter(|_| !panel.alerts.is_empty()) {
        let link = |alert: &String| {
            let url = format!("{runbooks}/{}", alert.to_lowercase());
            json!({"title": format!("Runbook of {alert}"), "url": url, "targetBlank": true})
        };
        made["links"] = panel.alerts.iter().map(link).collect();
    }
    made
}

/// Returns the text behind the panel's (i): what it shows, its alerts, why it has no threshold.
fn described(panel: &Panel) -> String {
    let mut text = panel.about.clone();
    match panel.alerts.as_slice() {
        [] => {}
        [one] => text.push_str(&format!(" Alert: {one}.")),
        more => text.push_str(&format!(" Alerts: {}.", more.join(", "))),
    }
    if let Limits::None(reason) = &panel.limits {
        text.push_str(&format!(" No threshold: {reason}."));
    }
    text
}

fn drawn(kind: Kind, by_limits: bool) -> Value {
    if kind == Kind::Bars {
        return json!({
            "drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0, "stacking": {"mode": "normal", "group": "A"},
        });
    }
    let style = if by_limits { "line" } else { "off" };
    json!({
        "drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": false,
        "thresholdsStyle": {"mode": style},
    })
}

fn thresholds(limits: &Limits) -> Value {
    let mut steps = Vec::new();
    let mut step = |from: Option<f64>, colour: &str| steps.push(json!({"value": from, "color": colour}));
    match limits {
        Limits::None(_) => step(None, GOOD),
        Limits::Above(Steps { warn, bad }) => {
            step(None, GOOD);
            warn.iter().for_each(|from| step(Some(*from), WARN));
            bad.iter().for_each(|from| step(Some(*from), BAD));
        }
        Limits::Below(Steps { warn, bad }) => {
            step(None, if bad.is_some() { BAD } else { WARN });
            bad.filter(|_| warn.is_some()).iter().for_each(|from| step(Some(*from), WARN));
            warn.or(*bad).iter().for_each(|from| step(Some(*from), GOOD));
        }
    }
    json!({"mode": "absolute", "steps": steps})
}

fn mappings(values: &BTreeMap<String, String>) -> Value {
    let mut options = Map::new();
    for (index, (value, shown)) in values.iter().enumerate() {
        let (word, colour) = shown.split_once(':').unwrap_or((shown, GOOD));
        options.insert(value.clone(), json!({"text": word, "color": colour, "index": index}));
    }
    json!([{"type": "value", "options": options}])
}

/// The letter by which a panel's other parts name a query.
fn letter(index: usize) -> String {
    (b'A'..=b'Z').nth(index).map_or_else(|| index.to_string(), |letter| char::from(letter).to_string())
}

fn target(panel: &Panel, index: usize, query: &Query) -> Value {
    let now = matches!(panel.kind, Kind::Stat | Kind::Table);
    let mut made = json!({
        "refId": letter(index), "datasource": source(), "expr": query.expr, "instant": now, "range": !now,
        "editorMode": "code",
        "format": if panel.kind == Kind::Table { "table" } else { "time_series" },
    });
    if let Some(legend) = &query.legend {
        made["legendFormat"] = json!(legend);
    }
    made
}

/// The name that Grafana gives the column of a query's values.
fn values_of(panel: &Panel, index: usize) -> String {
    if panel.queries.len() == 1 { "Value".to_owned() } else { format!("Value #{}", letter(index)) }
}

fn table(panel: &Panel) -> Value {
    let (mut names, mut order) = (Map::new(), Map::new());
    let mut hidden = Map::from_iter([("Time".to_owned(), json!(true))]);
    for (index, query) in panel.queries.iter().enumerate() {
        let (values, column) = (values_of(panel, index), query.column.as_deref().unwrap_or("value"));
        match panel.columns.iter().position(|name| name == column) {
            Some(at) => {
                order.insert(values.clone(), json!(at));
                names.insert(values, json!(column));
            }
            None => {
                hidden.insert(values, json!(true));
            }
        }
    }
    let measured: Vec<&str> = panel.queries.iter().filter_map(|query| query.column.as_deref()).collect();
    for (at, label) in panel.columns.iter().enumerate().filter(|(_, name)| !measured.contains(&name.as_str())) {
        order.insert(label.clone(), json!(at));
    }
    let organize = json!({"excludeByName": hidden, "indexByName": order, "renameByName": names});
    json!([{"id": "merge", "options": {}}, {"id": "organize", "options": organize}, {"id": "limit", "options": {"limitField": 100}}])
}

/// Returns what holds for single columns of a table: units, words for values, colours, links.
fn overrides(panel: &Panel) -> Value {
    let mut all = Vec::new();
    let measured: Vec<&str> = panel.queries.iter().filter_map(|query| query.column.as_deref()).collect();
    for column in &panel.columns {
        // The panel's own text for no data would stand in each empty cell, and a label that looks
        // like a number would get the panel's unit.
        let mut properties = vec![json!({"id": "noValue", "value": "-"})];
        if !measured.contains(&column.as_str()) {
            properties.push(json!({"id": "unit", "value": "string"}));
        }
        all.push(json!({"matcher": {"id": "byName", "options": column}, "properties": properties}));
    }
    for query in &panel.queries {
        let Some(column) = query.column.as_ref().filter(|column| panel.columns.contains(column)) else { continue };
        let mut properties = Vec::new();
        let mut set = |id: &str, value: Value| properties.push(json!({"id": id, "value": value}));
        if let Some(unit) = &query.unit {
            set("unit", json!(unit));
        }
        if !query.values.is_empty() {
            set("mappings", mappings(&query.values));
            set("custom.align", json!("left"));
        }
        if !matches!(panel.limits, Limits::None(_)) {
            set("custom.cellOptions", json!({"type": "color-text"}));
        }
        if !properties.is_empty() {
            all.push(json!({"matcher": {"id": "byName", "options": column}, "properties": properties}));
        }
    }
    if panel.columns.iter().any(|name| name == "node") {
        let cluster = match panel.columns.iter().any(|name| name == "cluster") {
            true => "&var-cluster=${__data.fields.cluster}",
            false => "",
        };
        let url = format!(
            "/d/{NODE}?var-datasource=${{datasource}}{cluster}&var-node=${{__data.fields.node}}&${{__url_time_range}}"
        );
        let link = json!([{"title": "This node", "url": url}]);
        all.push(json!({
            "matcher": {"id": "byName", "options": "node"}, "properties": [{"id": "links", "value": link}],
        }));
    }
    json!(all)
}
