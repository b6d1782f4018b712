//! Helpers that the tests share: the labs that play the stories, and the timing of the slowest
//! parts.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ossci_lab::clock::Stopwatch;
use ossci_lab::facts::Facts;
use ossci_lab::process::{self, Program};
use ossci_lab::setup::Tools;
use ossci_lab::{enclosure, environment, wait};

/// Timeout for all stories together, on a slow machine.
const STORIES: Duration = Duration::from_secs(3600);

/// A lab in its own process. It stops when the handle is dropped or when this process exits.
pub struct TestLab {
    pub dir: PathBuf,
    pub child: std::process::Child,
    log: PathBuf,
}

impl TestLab {
    /// Starts a lab that plays these stories, then a sample of cuts of `cuts`, and stays up.
    pub fn start(name: &str, stories: &[PathBuf], cuts: &[PathBuf]) -> Self {
        // The first caller installs the provider for all tests.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = enclosure::new_state_dir();
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{name}.log"));
        let child = Program::new("the lab", environment::our_program("ossci-lab").unwrap())
            // Tests look at the nodes of the demo after it has finished.
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

    /// Returns the last 60 lines of the lab's output.
    pub fn said(&self) -> String {
        process::tail(&self.log, 60)
    }

    /// Waits until the lab is up.
    pub async fn facts(&self) -> Facts {
        let up = wait::until("the lab is up", Duration::from_secs(180), || async {
            self.check_alive()?;
            Facts::read(&self.dir)
        });
        up.await.unwrap_or_else(|error| panic!("{error:#}\n{}", self.said()))
    }

    /// Waits for the result of one story.
    pub async fn result(&self, story: &str) -> String {
        let file = self.dir.join("stories").join(format!("{story}.result"));
        let file = &file;
        let told = wait::until(format!("story {story} has a result"), STORIES, || async move {
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
            panic!("the lab has exited:\n{}", self.said());
        }
        Ok(())
    }
}

impl Drop for TestLab {
    /// Closes the lab's standard input, which stops it, and waits until it has cleaned up.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The lab that plays the stories of repairs, of alerts, of each phase, of people and of machines.
/// It lives as long as a test holds the handle.
pub fn lab() -> Arc<TestLab> {
    static LAB: Mutex<Weak<TestLab>> = Mutex::new(Weak::new());
    let stories: Vec<PathBuf> = ["alerts", "repairs", "phases", "people", "machines"]
        .iter()
        .flat_map(|folder| files(&format!("tests/stories/{folder}"), ".story"))
        .collect();
    shared(&LAB, || TestLab::start("all", &stories, &[]))
}

/// The stories about all nodes at once.
const FLEET: &str = "tests/stories/fleet";

static TROUBLED: Mutex<Weak<TestLab>> = Mutex::new(Weak::new());

/// The lab that plays the stories in which something disturbs a repair, and the cuts.
pub fn troubled_lab() -> Arc<TestLab> {
    let cuts = files("tests/stories/cuts", ".story");
    shared(&TROUBLED, || TestLab::start("trouble", &files("tests/stories/trouble", ".story"), &cuts))
}

/// The lab of the stories about all nodes at once, which no other story may disturb. It starts
/// after the stories, because two cores are too few for three labs at a time.
pub async fn bare_lab() -> Arc<TestLab> {
    static LAB: Mutex<Weak<TestLab>> = Mutex::new(Weak::new());
    let troubled = TROUBLED.lock().unwrap().upgrade();
    if let Some(troubled) = troubled {
        troubled.result("cuts").await;
    }
    shared(&LAB, || TestLab::start("bare", &files(FLEET, ".story"), &[]))
}

/// The same lab once its stories have ended, for tests that flood it with requests and nodes: a
/// node of a story would not come up beside them.
pub async fn lab_to_flood() -> Arc<TestLab> {
    let lab = bare_lab().await;
    for story in files(FLEET, ".story") {
        lab.result(&story.file_stem().unwrap_or_default().to_string_lossy()).await;
    }
    lab
}

fn shared(lab: &Mutex<Weak<TestLab>>, start: impl FnOnce() -> TestLab) -> Arc<TestLab> {
    let mut known = lab.lock().unwrap();
    known.upgrade().unwrap_or_else(|| {
        let lab = Arc::new(start());
        *known = Arc::downgrade(&lab);
        lab
    })
}

/// Files of one folder of the repository with this ending, sorted by name. A missing folder fails
/// the test.
pub fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = environment::repository().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort_by_key(|file| file.file_stem().map(|stem| stem.to_owned()));
    files
}

/// Returns the path of a pinned tool, or panics with how to get it.
pub fn tool(name: &str) -> PathBuf {
    Tools::find().and_then(|tools| tools.get(name)).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Runs a program in the repository. A failure fails the test with the program's output.
pub async fn run(name: &str, program: &Path, args: &[&str]) -> String {
    let program = Program::new(name, program).args(args).dir(environment::repository());
    program.output(Duration::from_secs(900)).await.unwrap_or_else(|error| panic!("{error:#}"))
}

/// Measures one part of the test run; `make test` prints the ten slowest.
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

/// Records the duration of a part that measured itself.
pub fn note(seconds: f64, name: &str) {
    let Some(file) = environment::variable("OSSCI_PARTS") else { return };
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(file) {
        let _ = writeln!(file, "{seconds:>8.1} s  {name}");
    }
}
