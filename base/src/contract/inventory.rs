//! Physical GPUs of a node, as learned, expected or seen.

use serde::{Deserialize, Serialize};

/// The GPUs of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    pub gpus: u32,
    /// Bus addresses, `domain:bus:device.function`, as far as the tools name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<String>,
}

/// What names one GPU to its vendor, as far as the tools and the host report it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Card {
    /// `domain:bus:device.function`, lower case.
    pub pci: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// `0x` and 16 hexadecimal digits.
    #[serde(rename = "uniqueID", default, skip_serializing_if = "Option::is_none")]
    pub unique_id: Option<String>,
    /// The slot's name, as the firmware gives it to the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
}

impl Card {
    /// Takes what a newer look at the GPU shows; what it does not show stays. Returns whether
    /// anything changed.
    pub fn hear(&mut self, newer: Card) -> bool {
        let before = self.clone();
        // Another serial number is another GPU: nothing of the old one stays.
        let other = |old: &Option<String>, new: &Option<String>| old.is_some() && new.is_some() && old != new;
        if other(&self.serial, &newer.serial) || other(&self.unique_id, &newer.unique_id) {
            *self = newer;
        } else {
            self.model = newer.model.or(self.model.take());
            self.serial = newer.serial.or(self.serial.take());
            self.unique_id = newer.unique_id.or(self.unique_id.take());
            self.slot = newer.slot.or(self.slot.take());
        }
        *self != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_keeps_what_a_newer_look_does_not_show_unless_it_was_exchanged() {
        let text = |text: &str| Some(text.to_owned());
        let mut card = Card { pci: "a".into(), model: text("MI300X"), serial: text("1"), ..Card::default() };
        assert!(!card.hear(Card { pci: "a".into(), serial: text("1"), ..Card::default() }));
        assert_eq!(card.model, text("MI300X"));
        assert!(card.hear(Card { pci: "a".into(), serial: text("2"), ..Card::default() }));
        assert_eq!(card, Card { pci: "a".into(), serial: text("2"), ..Card::default() });
    }
}
