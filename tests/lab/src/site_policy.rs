//! The lab's policy file: ordinary settings, shortened, with a pool for each story, so that what one story did says nothing
//! about another one's nodes; and what a story changes in it while it is played.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The label by which a story's nodes are a pool.
pub const STORY: &str = "lab.example/story";

/// The pools of earlier stories that stay: what their nodes still do is theirs.
const POOLS: usize = 4;

#[derive(Debug)]
pub struct SitePolicy {
    file: PathBuf,
    /// Without pools.
    base: Value,
    pools: Vec<Value>,
    /// The file is of an earlier story.
    stale: bool,
}

impl SitePolicy {
    /// `base` is YAML without pools.
    pub fn write(file: PathBuf, base: &str) -> Result<Self> {
        let base = serde_saphyr::from_str(base).context("reading the lab's policy")?;
        // The remediator wants one pool at least; this one has no nodes.
        let mut policy = Self { file, base, pools: vec![pool("nobody")], stale: true };
        policy.settle()?;
        Ok(policy)
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A pool for the nodes of a story. The file has it when it is settled or changed.
    pub fn begin(&mut self, story: &str) {
        self.pools.retain(|known| known["name"] != story);
        self.pools.push(pool(story));
        let surplus = self.pools.len().saturating_sub(POOLS);
        self.pools.drain(..surplus);
        self.stale = true;
    }

    /// A story that changes nothing has the policy of every story.
    pub fn settle(&mut self) -> Result<()> {
        if self.stale { self.put(&json!({})) } else { Ok(()) }
    }

    /// Merges what a story changes into the policy: its key `pool` into the pool of the story that was begun last.
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
        // Who reads it looks for another text: the same one would be waited for in vain.
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
    fn a_story_changes_its_own_pool_and_nothing_of_another() {
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
