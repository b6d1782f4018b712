//! What the tests share: one lab in which all stories are played, and a clock for the slowest parts.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ossci_tests::clock::Stopwatch;
use ossci_tests::facts::Facts;
use ossci_tests::process::{self, Program};
use ossci_tests::setup::Tools;
use ossci_tests::{environment, wait};

/// All stories together, on a slow machine.
const STORIES: Duration = Duration::from_secs(2100);

/// A lab in a process of its own, which goes away with the handle or with this process.
pub struct TestLab {
    pub dir: PathBuf,
    pub child: std::process::Child,
    log: PathBuf,
}

impl TestLab {
    /// Starts a lab that plays these stories, then a sample of cuts of those, and stays.
    pub fn start(name: &str, stories: &[PathBuf], cuts: &[PathBuf]) -> Self {
        // The first test that comes here installs it for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unique = format!("ossci-lab-test-{name}-{}", std::process::id());
        let dir = environment::temp_dir().join(&unique);
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{name}.log"));
        let child = Program::new("the lab", env!("CARGO_BIN_EXE_ossci-lab"))
            // Tests look at the nodes of the demo when it has ended.
            .args(["story", "--stay", "--nodes-stay=demo", "--state-dir"])
            .arg(&dir)
            .args(stories)
            .args(if cuts.is_empty() { None } else { Some("--cuts") })
            .args(cuts)
            .env("OSSCI_LAB_ROPE", "1")
            .hold(&log)
            .unwrap();
        Self { dir, child, log }
    }

    /// The lab's own output so far.
    pub fn said(&self) -> String {
        process::tail(&self.log, 60)
    }

    /// Waits until it is up.
    pub async fn facts(&self) -> Facts {
        let up = wait::until("the lab is up", Duration::from_secs(180), || async {
            self.check_alive()?;
            Facts::read(&self.dir)
        });
        up.await.unwrap_or_else(|error| panic!("{error:#}\n{}", self.said()))
    }

    /// Waits for what came of one story.
    pub async fn result(&self, story: &str) -> String {
        let file = self.dir.join("stories").join(format!("{story}.result"));
        let file = &file;
        let told = wait::until(format!("story {story} is told"), STORIES, || async move {
            if let Ok(text) = fs::read_to_string(file) {
                return Ok(text);
            }
            self.check_alive()?;
            anyhow::bail!("not yet")
        });
        told.await.unwrap_or_else(|error| panic!("{error:#}\n{}", self.said()))
    }

    fn check_alive(&self) -> anyhow::Result<()> {
        if !Path::new(&format!("/proc/{}/root", self.child.id())).exists() {
            panic!("the lab has ended:\n{}", self.said());
        }
        Ok(())
    }
}

impl Drop for TestLab {
    /// The rope is let go, and the lab has time to leave nothing behind.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The lab in which the stories of repairs, of the way of an alert and of each phase are played. It lives as long as a test holds it.
pub fn lab() -> Arc<TestLab> {
    static LAB: Mutex<Weak<TestLab>> = Mutex::new(Weak::new());
    let stories: Vec<PathBuf> = ["alerts", "repairs", "phases"]
        .iter()
        .flat_map(|folder| files(&format!("tests/stories/{folder}"), ".story"))
        .collect();
    shared(&LAB, || TestLab::start("all", &stories, &[]))
}

static TROUBLED: Mutex<Weak<TestLab>> = Mutex::new(Weak::new());

/// The lab of the stories in which something keeps a repair from going its way, and of the cuts.
pub fn troubled_lab() -> Arc<TestLab> {
    let cuts = files("tests/stories/cuts", ".story");
    shared(&TROUBLED, || TestLab::start("trouble", &files("tests/stories/trouble", ".story"), &cuts))
}

/// The lab in which strangers and nonsense come to the webhook; nothing is played in it. It comes after the stories: three labs
/// at a time are too much for two cores.
pub async fn bare_lab() -> Arc<TestLab> {
    static LAB: Mutex<Weak<TestLab>> = Mutex::new(Weak::new());
    let troubled = TROUBLED.lock().unwrap().upgrade();
    if let Some(troubled) = troubled {
        troubled.result("cuts").await;
    }
    shared(&LAB, || TestLab::start("bare", &["/dev/null".into()], &[]))
}

fn shared(lab: &Mutex<Weak<TestLab>>, start: impl FnOnce() -> TestLab) -> Arc<TestLab> {
    let mut known = lab.lock().unwrap();
    known.upgrade().unwrap_or_else(|| {
        let lab = Arc::new(start());
        *known = Arc::downgrade(&lab);
        lab
    })
}

/// Files of one folder of the repository whose name ends so, by name. A missing folder fails the test.
pub fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = environment::repository().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort_by_key(|file| file.file_stem().map(|stem| stem.to_owned()));
    files
}

/// A pinned tool, or how to get it.
pub fn tool(name: &str) -> PathBuf {
    Tools::find().and_then(|tools| tools.get(name)).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Runs a program in the repository and fails the test with what it said.
pub async fn run(name: &str, program: &Path, args: &[&str]) -> String {
    let program = Program::new(name, program).args(args).dir(environment::repository());
    program.output(Duration::from_secs(900)).await.unwrap_or_else(|error| panic!("{error:#}"))
}

/// Measures a part of the test run: at the end the ten slowest are told.
pub struct Part {
    name: &'static str,
    watch: Stopwatch,
}

pub fn part(name: &'static str) -> Part {
    Part { name, watch: Stopwatch::start() }
}

impl Drop for Part {
    fn drop(&mut self) {
        note(self.watch.elapsed().as_secs_f64(), self.name);
    }
}

/// Notes how long a part took that measured itself.
pub fn note(seconds: f64, name: &str) {
    let Some(file) = environment::variable("OSSCI_PARTS") else { return };
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(file) {
        let _ = writeln!(file, "{seconds:>8.1} s  {name}");
    }
}
