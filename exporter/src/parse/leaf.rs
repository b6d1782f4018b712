//! Conversion of single values of a tool's output to words, numbers and base units. A missing value
//! is `None`, never zero. Pure: no I/O.

use super::text::quote;
use serde_json::Value;
use std::borrow::Cow;
use std::ops::RangeInclusive;

// Plausible ranges: a value outside is a sensor error and is dropped.
pub const CELSIUS: RangeInclusive<f64> = -20.0..=150.0;
pub const WATTS: RangeInclusive<f64> = 0.0..=2000.0;
pub const PERCENT: RangeInclusive<f64> = 0.0..=100.0;
pub const BYTES: RangeInclusive<f64> = 0.0..=1e15;
pub const COUNT: RangeInclusive<f64> = 0.0..=1e15;
pub const HERTZ: RangeInclusive<f64> = 0.0..=1e10;
pub const JOULES: RangeInclusive<f64> = 0.0..=1e15;
pub const LANES: RangeInclusive<f64> = 0.0..=32.0;
/// Per second and lane.
pub const TRANSFERS: RangeInclusive<f64> = 0.0..=1e12;

/// A counter that a driver does not fill shows the largest number of its width.
const SENTINELS: [f64; 3] = [65_535.0, 4_294_967_295.0, 18_446_744_073_709_551_615.0];

/// Spellings of "no value".
const NO_VALUE: [&str; 10] =
    ["", "n/a", "n/a (secondary die)", "none", "unknown", "unsupported", "not supported", "null", "nan", "0x"];

/// Units as the tools write them, and their factors to base units.
const UNITS: [(&str, f64); 18] = [
    ("%", 1.0),
    ("°C", 1.0),
    ("_C", 1.0),
    ("C", 1.0),
    ("c", 1.0),
    ("W", 1.0),
    ("MHz", 1e6),
    ("Mhz", 1e6),
    ("GT/s", 1e9),
    ("mV", 1e-3),
    ("GB", 1_073_741_824.0),
    ("MB", 1_048_576.0),
    ("KB", 1024.0),
    ("B", 1.0),
    ("Mbit/s", 1e6),
    ("Mbps", 1e6),
    ("ms", 1e-3),
    ("J", 1.0),
];

/// Returns a leaf as text; `None` if it is a spelling of no value, or no leaf.
pub fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => word(text).map(Cow::Borrowed),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        _ => None,
    }
}

/// Returns a cell as text, with the same exceptions.
pub fn word(text: &str) -> Option<&str> {
    let text = text.trim();
    (!NO_VALUE.iter().any(|none| none.eq_ignore_ascii_case(text))).then_some(text)
}

/// Returns a leaf as a number in base units: `Ok(None)` for no value, `Err` with the text if it
/// cannot be parsed. Leaves are bare numbers, texts with or without a unit, and objects with a
/// value and a unit.
pub fn number(value: &Value) -> Result<Option<f64>, String> {
    match value {
        Value::Number(number) => Ok(number.as_f64()),
        Value::String(text) => quantity(text),
        Value::Object(fields) => {
            let Some(inner @ (Value::Number(_) | Value::String(_))) = fields.get("value") else {
                return Err(value.to_string());
            };
            let unit = fields.get("unit").and_then(Value::as_str).unwrap_or("").trim();
            let factor = if unit.is_empty() { Some(1.0) } else { factor(unit) };
            match (number(inner)?, factor) {
                (Some(number), Some(factor)) => Ok(Some(number * factor)),
                (None, _) => Ok(None),
                (Some(_), None) => Err(value.to_string()),
            }
        }
        Value::Array(_) => Err(value.to_string()),
        Value::Null | Value::Bool(_) => Ok(None),
    }
}

/// Returns a count of errors. Negative values are differences of unreadable totals; the largest
/// number of a width means no value.
pub fn count(value: &Value) -> Option<f64> {
    number(value).ok().flatten().filter(|count| COUNT.contains(count) && !is_sentinel(*count))
}

/// Returns a cell as a number, with the same exceptions.
pub fn quantity(text: &str) -> Result<Option<f64>, String> {
    let Some(text) = word(text) else { return Ok(None) };
    let end = text.find(|c: char| !(c.is_ascii_digit() || ".+-eE".contains(c))).unwrap_or(text.len());
    let (digits, unit) = (text[..end].trim(), text[end..].trim());
    if digits.is_empty() && factor(unit.trim_start_matches("N/A").trim()).is_some() {
        return Ok(None);
    }
    let factor = if unit.is_empty() { Some(1.0) } else { factor(unit) };
    match (digits.parse::<f64>(), factor) {
        (Ok(number), Some(factor)) if (number * factor).is_finite() => Ok(Some(number * factor)),
        _ => Err(text.to_string()),
    }
}

fn factor(unit: &str) -> Option<f64> {
    UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

/// Returns a value within its range; other values are reported in `odd`.
pub fn within(
    name: &str,
    value: Result<Option<f64>, String>,
    range: &RangeInclusive<f64>,
    odd: &mut Vec<String>,
) -> Option<f64> {
    match value {
        Ok(Some(number)) if SENTINELS.contains(&number) && !range.contains(&(number / 2.0)) => None,
        Ok(Some(number)) if range.contains(&number) => Some(number),
        Ok(Some(number)) => {
            odd.push(format!("{name} is {number}"));
            None
        }
        Ok(None) => None,
        Err(other) => {
            odd.push(format!("{name} is {}", quote(&other)));
            None
        }
    }
}

/// Returns whether a counter shows the largest number of its width, which means no value.
fn is_sentinel(number: f64) -> bool {
    SENTINELS.contains(&number)
}

/// Returns whether a text is `domain:bus:device.function`.
pub fn is_bus_address(text: &str) -> bool {
    let Some((rest, function)) = text.rsplit_once('.') else { return false };
    let parts: Vec<&str> = rest.split(':').collect();
    let hex = |part: &str, width: RangeInclusive<usize>| {
        width.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let [domain, bus, device] = parts.as_slice() else { return false };
    hex(domain, 4..=8) && hex(bus, 2..=2) && hex(device, 2..=2) && matches!(function.as_bytes(), [b'0'..=b'7'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_value_is_not_zero_and_odd_values_are_reported() {
        assert_eq!(number(&json!("N/A (Secondary die)")), Ok(None));
        assert_eq!(number(&json!("41.0")), Ok(Some(41.0)));
        assert_eq!(number(&json!(7)), Ok(Some(7.0)));
        assert_eq!(number(&json!("41.0 parsec")), Err("41.0 parsec".to_string()));
        assert_eq!(number(&json!("inf")), Err("inf".to_string()));
        assert_eq!(number(&json!("1e999")), Err("1e999".to_string()));
    }

    #[test]
    fn units_become_base_units() {
        for (text, wanted) in [
            ("41.0°C", 41.0),
            ("32.0_C", 32.0),
            ("33.0c", 33.0),
            ("133.0W", 133.0),
            ("92.165 W", 92.165),
            ("132Mhz", 132e6),
            ("196592 MB", 196_592.0 * 1_048_576.0),
            ("14.51%", 14.51),
        ] {
            assert_eq!(quantity(text), Ok(Some(wanted)), "{text}");
        }
        assert_eq!(quantity("N/A mV"), Ok(None));
        assert_eq!(number(&json!({"value": 42, "unit": "W"})), Ok(Some(42.0)));
        assert_eq!(number(&json!({"value": "N/A", "unit": "W"})), Ok(None));
        assert!(number(&json!({"value": {}})).is_err());
    }

    #[test]
    fn an_unfilled_counter_is_no_value_an_absurd_one_is_reported() {
        let mut odd = Vec::new();
        assert_eq!(within("t", Ok(Some(65_535.0)), &CELSIUS, &mut odd), None);
        assert_eq!((odd.len(), within("t", Ok(Some(999.0)), &CELSIUS, &mut odd)), (0, None));
        assert_eq!(odd, ["t is 999"]);
    }

    #[test]
    fn an_invalid_bus_address_is_recognised() {
        for (text, right) in [
            ("0000:05:00.0", true),
            ("10000:E5:00.7", true),
            ("64695f757067:2f:07.1", false),
            ("05:00.0", false),
            ("0000:05:00.8", false),
            ("N/A", false),
        ] {
            assert_eq!(is_bus_address(text), right, "{text}");
        }
    }
}
