//! Parsers of values in flags and files. Pure: no I/O. An error states a valid form.

use crate::parse::ToolName;
use crate::verdict::Check;
use std::time::Duration;

/// Parses a duration above zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_zero(text) {
        Ok(Duration::ZERO) => Err("it must be longer than 0".to_string()),
        other => other,
    }
}

/// A longer duration is probably a wrong unit.
const LONGEST_DURATION: Duration = Duration::from_secs(7 * 24 * 3600);

/// Parses a duration.
pub fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|signed| Duration::try_from(signed).ok());
    match parsed {
        Some(duration) if duration <= LONGEST_DURATION => Ok(duration),
        Some(_) => Err("it must be at most 7 days".to_string()),
        None => Err("write a number and a unit, such as 500ms, 30s or 5m".to_string()),
    }
}

/// Parses a port or a range of ports.
pub fn ports(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok((first, last)),
        _ => Err("write one port such as 5201, or a range such as 5201-5210".to_string()),
    }
}

/// Parses a host name or an address.
pub fn host(text: &str) -> Result<String, String> {
    // The tool would read a leading dash as an option.
    if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_whitespace) {
        return Err("write a host name or an address".to_string());
    }
    Ok(text.to_string())
}

/// Parses a number, zero or more.
pub fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("write a number, zero or more".to_string()),
    }
}

/// Parses a share, 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("write a share between 0 and 1, such as 0.05".to_string()),
    }
}

/// Parses the path of a page.
pub fn url_path(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    match text.starts_with('/') && text.len() > 1 && text.chars().all(good) {
        true => Ok(text.to_string()),
        false => Err("write a path such as /metrics".to_string()),
    }
}

/// Parses a number of bytes in the notation of iperf3.
pub fn volume(text: &str) -> Result<String, String> {
    let digits = text.strip_suffix(['K', 'M', 'G']).unwrap_or(text);
    match digits.parse::<u32>() {
        Ok(number) if number > 0 => Ok(text.to_string()),
        _ => Err("write a number of bytes such as 8M".to_string()),
    }
}

/// Parses the name of a tool that tests the network.
pub fn network_tool(text: &str) -> Result<ToolName, String> {
    let tool = ToolName::from_name(text).filter(|tool| tool.check() == Check::Network);
    tool.ok_or_else(|| format!("write {}", ToolName::names(|tool| tool.check() == Check::Network)))
}
