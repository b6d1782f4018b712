//! Deserializer of the `rocm-smi` JSON document, and of the keys of a device, which text blocks
//! share. Builds no tree of the parts that are not needed. Judges no value.

use super::text::quote;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A document of the tool, deserialized without a tree: most keys of `-a` are not needed.
pub enum Document<'a> {
    Cards(Cards<'a>),
    /// JSON, but not an object.
    Other,
}

/// The devices of a document.
#[derive(Default)]
pub struct Cards<'a> {
    /// Devices with their numbers; `None` if nothing of a device can be read.
    pub cards: Vec<(u32, Option<Fields<'a>>)>,
    /// Whether the object of the whole node, `system`, was present.
    pub system: bool,
    /// Keys that are unknown.
    pub odd: Vec<String>,
}

impl<'de> Deserialize<'de> for Document<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document<'de>, D::Error> {
        struct OfDocument;
        impl<'de> Visitor<'de> for OfDocument {
            type Value = Document<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a document of rocm-smi")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Document<'de>, A::Error> {
                while all.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Document::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
                let mut found = Cards::default();
                while let Some(Text(key)) = map.next_key()? {
                    match key.strip_prefix("card").and_then(|number| number.parse().ok()) {
                        Some(index) => match map.next_value::<Entry<'de>>()?.0 {
                            Some(fields) => found.cards.push((index, Some(fields))),
                            None => {
                                found.cards.push((index, None));
                                found.odd.push(format!("key {}", quote(&key)));
                            }
                        },
                        None => {
                            map.next_value::<IgnoredAny>()?;
                            match &*key {
                                "system" => found.system = true,
                                _ => found.odd.push(format!("key {}", quote(&key))),
                            }
                        }
                    }
                }
                Ok(Document::Cards(found))
            }
        }
        deserializer.deserialize_any(OfDocument)
    }
}

/// The values of one device's known keys, in the order of [`KEYS`].
#[derive(Debug, Default)]
pub struct Fields<'a>([Option<Cow<'a, str>>; KEYS.len()]);

/// Keys in their normalised form: lower case, single blanks, no colon at the end.
const KEYS: [&str; 17] = [
    "pci bus",
    "unique id",
    "serial number",
    "card series",
    "device name",
    "card model",
    "device id",
    "gpu id",
    "temperature (sensor edge) (c)",
    "temperature (sensor junction) (c)",
    "temperature (sensor memory) (c)",
    "current socket graphics package power (w)",
    "average graphics package power (w)",
    "gpu use (%)",
    "gpu memory allocated (vram%)",
    "vram total memory (b)",
    "vram total used memory (b)",
];

impl<'a> Fields<'a> {
    /// Returns the fields of one key of a text block.
    pub fn of_pair(key: &str, value: &'a str) -> Fields<'a> {
        let mut fields = Fields::default();
        if let Some(at) = KEYS.iter().position(|known| is_key(key, known)) {
            fields.0[at] = Some(Cow::Borrowed(value));
        }
        fields
    }

    /// Returns the value of a key in its normalised form.
    pub fn get(&self, name: &str) -> Option<&str> {
        KEYS.iter().position(|known| *known == name).and_then(|at| self.0[at].as_deref())
    }
}

/// The object of a device; `None` if it is empty, or a text, a list or null is in its place.
struct Entry<'a>(Option<Fields<'a>>);

impl<'de> Deserialize<'de> for Entry<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entry<'de>, D::Error> {
        struct OfEntry;
        impl<'de> Visitor<'de> for OfEntry {
            type Value = Entry<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("the object of a device")
            }

            fn visit_borrowed_str<E>(self, _: &'de str) -> Result<Entry<'de>, E> {
                Ok(Entry(None))
            }

            fn visit_str<E>(self, _: &str) -> Result<Entry<'de>, E> {
                Ok(Entry(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Entry<'de>, E> {
                Ok(Entry(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Entry<'de>, E> {
                Ok(Entry(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Entry<'de>, E> {
                Ok(Entry(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Entry<'de>, E> {
                Ok(Entry(None))
            }

            fn visit_unit<E>(self) -> Result<Entry<'de>, E> {
                Ok(Entry(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Entry<'de>, A::Error> {
                while all.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entry(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry<'de>, A::Error> {
                let (mut fields, mut empty) = (Fields::default(), true);
                while let Some(Text(key)) = map.next_key()? {
                    empty = false;
                    match KEYS.iter().position(|known| is_key(&key, known)) {
                        Some(at) => fields.0[at] = map.next_value::<Leaf<'de>>()?.0,
                        None => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Entry((!empty).then_some(fields)))
            }
        }
        deserializer.deserialize_any(OfEntry)
    }
}

/// A key, borrowed from the output if it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'de>, D::Error> {
        Leaf::deserialize(deserializer).map(|leaf| Text(leaf.0.unwrap_or_default()))
    }
}

/// A value as text; `None` for lists, objects and null.
struct Leaf<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Leaf<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Leaf<'de>, D::Error> {
        struct OfLeaf;
        impl<'de> Visitor<'de> for OfLeaf {
            type Value = Leaf<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Leaf<'de>, E> {
                Ok(Leaf(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Leaf<'de>, E> {
                Ok(Leaf(Some(Cow::Owned(text.to_string()))))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Leaf<'de>, E> {
                Ok(Leaf(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Leaf<'de>, E> {
                Ok(Leaf(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Leaf<'de>, E> {
                Ok(Leaf(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Leaf<'de>, E> {
                Ok(Leaf(Some(Cow::Borrowed(if truth { "true" } else { "false" }))))
            }

            fn visit_unit<E>(self) -> Result<Leaf<'de>, E> {
                Ok(Leaf(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Leaf<'de>, A::Error> {
                while all.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Leaf(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Leaf<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Leaf(None))
            }
        }
        deserializer.deserialize_any(OfLeaf)
    }
}

/// Returns whether a printed key equals this one in its normalised form.
fn is_key(printed: &str, known: &str) -> bool {
    let mut known = known.bytes();
    let mut blank = false;
    for byte in printed.trim().trim_end_matches(':').trim_end().bytes() {
        if byte.is_ascii_whitespace() {
            blank = true;
            continue;
        }
        if blank && known.next() != Some(b' ') {
            return false;
        }
        blank = false;
        if known.next() != Some(byte.to_ascii_lowercase()) {
            return false;
        }
    }
    known.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_in_any_case_and_spacing() {
        assert!(is_key(" GPU  use (%):", "gpu use (%)"));
        assert!(!is_key("GPU use", "gpu use (%)") && !is_key("GPU use (%) x", "gpu use (%)"));
    }
}
