//! The lab's policy file: ordinary settings with shortened times, a pool for each story, and the
//! changes of the current story. Separate pools keep one story's failures from affecting another
//! one's nodes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The label by which a story's nodes are a pool.
pub const STORY: &str = "lab.example/story";

/// Number of pools that stay: the nodes of earlier stories may still be busy.
const POOLS: usize = 4;

#[derive(Debug)]
pub struct SitePolicy {
    file: PathBuf,
    /// The settings without pools.
    base: Value,
    pools: Vec<Value>,
    /// The file still belongs to an earlier story.
    stale: bool,
}

impl SitePolicy {
    /// `base` is YAML without pools.
    pub fn write(file: PathBuf, base: &str) -> Result<Self> {
        let base = serde_saphyr::from_str(base).context("reading the lab's policy")?;
        // The remediator needs at least one pool; this one has no nodes.
        let mut policy = Self { file, base, pools: vec![pool("empty")], stale: true };
        policy.settle()?;
        Ok(policy)
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Adds a pool for the nodes of a story. It is written to the file by `settle` or `change`.
    pub fn begin(&mut self, story: &str) {
        self.pools.retain(|known| known["name"] != story);
        self.pools.push(pool(story));
        let surplus = self.pools.len().saturating_sub(POOLS);
        self.pools.drain(..surplus);
        self.stale = true;
    }

    /// Writes the file for a story that changes nothing.
    pub fn settle(&mut self) -> Result<()> {
        if self.stale { self.put(&json!({})) } else { Ok(()) }
    }

    /// Merges a story's changes into the policy; its key `pool` goes into the pool of the newest
    /// story.
    pub fn change(&mut self, yaml: &str) -> Result<()> {
        let change = serde_saphyr::from_str(yaml).with_context(|| format!("reading {yaml}"))?;
        self.put(&change)
    }

    fn put(&mut self, change: &Value) -> Result<()> {
        let (mut policy, mut pools, mut change) = (self.base.clone(), self.pools.clone(), change.clone());
        if let (Some(own), Some(pool)) = (change.as_object_mut().and_then(|keys| keys.remove("pool")), pools.last_mut())
        {
            merge(pool, own);
        }
        policy["pools"] = Value::Array(pools);
        merge(&mut policy, change);
        let new = self.file.with_extension("new");
        let text = serde_json::to_string_pretty(&policy).context("writing the policy")?;
        self.stale = false;
        // A waiter expects the text to change: writing the same text would make it wait in vain.
        if fs::read_to_string(&self.file).is_ok_and(|known| known == text) {
            return Ok(());
        }
        fs::write(&new, text).with_context(|| format!("writing {}", new.display()))?;
        fs::rename(&new, &self.file).with_context(|| format!("replacing {}", self.file.display()))
    }
}

fn pool(story: &str) -> Value {
    json!({"name": story, "nodeSelector": {STORY: story}, "mode": "reimage"})
}

fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_changes_only_its_own_pool() {
        let dir = std::env::temp_dir().join(format!("ossci-policy-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        let mut policy =
            SitePolicy::write(dir.join("policy.yaml"), "times: {drainSeconds: 15, bootSeconds: 60}").unwrap();
        policy.begin("one");
        policy.begin("two");
        policy.change("{pool: {mode: taint}, times: {drainSeconds: 1}}").unwrap();
        let file = policy.file().to_owned();
        let read = || serde_json::from_str::<Value>(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(read()["pools"][1]["mode"], "reimage");
        assert_eq!(read()["pools"][2]["mode"], "taint");
        assert_eq!(read()["times"], json!({"drainSeconds": 1, "bootSeconds": 60}));
        policy.change("{}").unwrap();
        assert_eq!(read()["pools"][2]["mode"], "reimage", "a change outlives its story");
        fs::remove_dir_all(&dir).unwrap();
    }
}
