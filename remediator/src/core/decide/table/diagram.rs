//! The state diagram of docs/operate/ladder.md, drawn from the edges that the enumeration reached.

use super::*;
use crate::core::record::Phase;

const BEGIN: &str = "<!-- the diagram is drawn by the tests of core/decide/table -->\n```mermaid\nstateDiagram-v2\n";
const END: &str = "```\n";

/// Returns the phase of a state such as `reboot Draining (repair-reboot confirmed)`; `None` without
/// an episode.
fn phase(place: &str) -> Option<Phase> {
    Phase::parse(place.split(' ').nth(1)?)
}

fn lines(edges: &Edges, start: &str) -> String {
    let reached = reached(edges, start);
    let mut arrows: BTreeMap<(Option<Phase>, Phase), BTreeSet<&str>> = BTreeMap::new();
    for (from, to, why) in edges.iter().filter(|(from, ..)| reached.contains(from)) {
        let Some(to) = to.as_deref().and_then(phase) else { continue };
        if phase(from) != Some(to) {
            arrows.entry((phase(from), to)).or_default().insert(why);
        }
    }
    let arrow = |((from, to), whys): (&(Option<Phase>, Phase), &BTreeSet<&str>)| {
        let from = from.map_or("[*]".to_owned(), |from| from.to_string());
        let whys: Vec<&str> = whys.iter().copied().collect();
        format!("    {from} --> {to}: {}\n", whys.join(", "))
    };
    let ends = Phase::ALL.iter().filter(|phase| phase.is_over()).map(|phase| format!("    {phase} --> [*]\n"));
    arrows.iter().map(arrow).chain(ends).collect()
}

/// Compares the diagram in docs/operate/ladder.md with the edges.
pub(super) fn in_ladder(edges: &Edges, start: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operate/ladder.md");
    let ladder = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = ladder.split_once(BEGIN).expect("ladder.md has no place for the diagram");
    let (_, after) = rest.split_once(END).expect("the diagram in ladder.md does not end");
    let text = format!("{before}{BEGIN}{}{END}{after}", lines(edges, start));
    ossci_base::golden::check(&path, &text).unwrap_or_else(|error| panic!("{error}"));
}
