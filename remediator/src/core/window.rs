//! Maintenance windows: the weekdays, times and time zone in which something disruptive may start.

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

/// One weekly window. If it ends before it begins, it ends on the next day; if both are equal, it
/// lasts a whole day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins.
    pub days: Vec<Weekday>,
    pub from: Time,
    pub to: Time,
    pub zone: TimeZone,
}

impl Window {
    pub fn is_open(&self, now: Timestamp) -> bool {
        let local = now.to_zoned(self.zone.clone());
        let (day, time) = (local.weekday(), local.time());
        let begins_on = |day: Weekday| self.days.contains(&day);
        if self.from < self.to {
            return begins_on(day) && self.from <= time && time < self.to;
        }
        (begins_on(day) && self.from <= time) || (begins_on(day.previous()) && time < self.to)
    }
}

/// Whether a window is open. Without windows this is always true.
pub fn open(windows: &[Window], now: Timestamp) -> bool {
    windows.is_empty() || windows.iter().any(|window| window.is_open(now))
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let days: Vec<_> = self.days.iter().map(|day| day_name(*day)).collect();
        let zone = self.zone.iana_name().unwrap_or("local time");
        write!(f, "{} {}-{} {zone}", days.join(","), clock(self.from), clock(self.to))
    }
}

fn clock(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

/// The days by the names that the policy file uses.
pub const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

fn day_name(day: Weekday) -> &'static str {
    DAYS.iter().find(|(_, known)| *known == day).map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[Weekday], from: i8, to: i8, zone: &str) -> Window {
        let hour = |hour| Time::new(hour, 0, 0, 0).unwrap();
        Window { days: days.to_vec(), from: hour(from), to: hour(to), zone: TimeZone::get(zone).unwrap() }
    }

    fn open_at(window: &Window, time: &str) -> bool {
        window.is_open(time.parse().unwrap())
    }

    #[test]
    fn a_window_includes_its_first_minute_but_not_its_end() {
        // 2026-11-23 is a Monday; Berlin is an hour ahead of UTC.
        let window = window(&[Weekday::Monday], 22, 23, "Europe/Berlin");
        let at = |time: &str| open_at(&window, &format!("2026-11-23T{time}Z"));
        assert_eq!([at("20:59:59"), at("21:00:00"), at("21:59:59"), at("22:00:00")], [false, true, true, false]);
        assert!(!open_at(&window, "2026-11-24T21:30:00Z"));
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins_on() {
        let window = window(&[Weekday::Friday], 22, 6, "UTC");
        let at = |time: &str| open_at(&window, time);
        assert!(at("2026-11-27T23:00:00Z") && at("2026-11-28T05:59:00Z"));
        assert!(!at("2026-11-28T06:00:00Z") && !at("2026-11-28T23:00:00Z") && !at("2026-11-27T05:00:00Z"));
    }

    #[test]
    fn a_window_follows_daylight_saving_time() {
        let window = window(&[Weekday::Wednesday], 8, 9, "Europe/Berlin");
        assert!(open_at(&window, "2026-07-01T06:30:00Z") && open_at(&window, "2026-12-02T07:30:00Z"));
    }

    #[test]
    fn without_windows_it_is_always_open() {
        assert!(open(&[], Timestamp::UNIX_EPOCH));
        assert!(!open(&[window(&[], 0, 0, "UTC")], Timestamp::UNIX_EPOCH));
    }
}
