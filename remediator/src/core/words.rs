//! Times and durations as a reader wants them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Returns `2026-11-28 22:04:57 UTC`.
pub fn when(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Returns `22:04:57`, with the date if it is another day than that of `from`.
pub fn clock(at: Timestamp, from: Timestamp) -> String {
    let (at, from) = (at.to_zoned(TimeZone::UTC), from.to_zoned(TimeZone::UTC));
    let form = if at.date() == from.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    at.strftime(form).to_string()
}

/// Returns `45 s`, `12 min 5 s`, `3 h 4 min` or `2 d 3 h`.
pub fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / (24 * 3600));
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Returns the first line of a text, at most this many characters.
pub fn first_line(text: &str, most: usize) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if line.chars().count() <= most {
        return line.to_owned();
    }
    let cut: String = line.chars().take(most.saturating_sub(3)).collect();
    format!("{}...", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn times_and_durations_are_short_and_name_their_zone() {
        assert_eq!(when(at(1_795_000_000)), "2026-11-18 11:06:40 UTC");
        assert_eq!(clock(at(1_795_000_000), at(1_795_000_100)), "11:06:40");
        assert_eq!(clock(at(1_795_100_000), at(1_795_000_000)), "2026-11-19 14:53:20");
        let of = |seconds| span(at(0), at(seconds));
        assert_eq!([of(45), of(725), of(11_040), of(183_600)], ["45 s", "12 min 5 s", "3 h 4 min", "2 d 3 h"]);
        assert_eq!(span(at(10), at(0)), "0 s", "a clock that was set back");
    }

    #[test]
    fn a_long_text_is_cut_to_one_line() {
        assert_eq!(first_line("\n a \n b", 10), "a");
        assert_eq!(first_line("abcdefghijklmnop", 10), "abcdefg...");
    }
}
