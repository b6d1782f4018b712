//! Closed lists of words: one spelling for the record, the log field, the metric label, the Event
//! reason and the mail.

/// A value of a closed list, with its one spelling.
pub trait ClosedWord: Copy + Eq + std::fmt::Debug + Sized + 'static {
    /// Name of the list, for error messages and the schema.
    const WHAT: &'static str;
    /// All values, in the order of their definition.
    const ALL: &'static [Self];
    /// Returns the word, as it is written everywhere.
    fn as_str(self) -> &'static str;
    /// Returns the value of a word; `None` if it is not in the list.
    fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.as_str() == word)
    }
}

/// Formats the error for a word that is not in the list.
#[doc(hidden)]
pub fn unknown<T: ClosedWord>(word: &str) -> String {
    let known: Vec<_> = T::ALL.iter().map(|value| value.as_str()).collect();
    format!("{word:?} is not a {}: use one of {}", T::WHAT, known.join(", "))
}

/// Defines an enum whose variants each have one spelling, also in JSON.
#[macro_export]
macro_rules! closed_words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident ($what:literal) { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $($(#[$vmeta])* $variant),+ }

        impl $crate::words::ClosedWord for $name {
            const WHAT: &'static str = $what;
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad($crate::words::ClosedWord::as_str(*self))
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::words::ClosedWord::as_str(*self))
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str> as $crate::serde::Deserialize>::deserialize(deserializer)?;
                $crate::words::ClosedWord::parse(&word)
                    .ok_or_else(|| $crate::serde::de::Error::custom($crate::words::unknown::<Self>(&word)))
            }
        }

        $crate::word_schema! { $name }
    };
}

/// JSON Schema of a closed list: a string enum of its words.
#[cfg(feature = "schema")]
#[doc(hidden)]
#[macro_export]
macro_rules! word_schema {
    ($name:ident) => {
        impl $crate::schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <Self as $crate::words::ClosedWord>::WHAT.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut $crate::schemars::SchemaGenerator) -> $crate::schemars::Schema {
                let all = <Self as $crate::words::ClosedWord>::ALL;
                let words: Vec<_> = all.iter().map(|word| $crate::words::ClosedWord::as_str(*word)).collect();
                $crate::schemars::json_schema!({ "type": "string", "enum": words })
            }
        }
    };
}

/// Without the feature `schema`, the macro expands to nothing.
#[cfg(not(feature = "schema"))]
#[doc(hidden)]
#[macro_export]
macro_rules! word_schema {
    ($name:ident) => {};
}

#[cfg(test)]
mod tests {
    closed_words! { enum Colour ("colour") { Red = "red", Green = "green" } }

    #[test]
    fn a_word_is_read_as_it_is_written() {
        assert_eq!(serde_json::to_string(&Colour::Red).unwrap(), "\"red\"");
        assert_eq!(serde_json::from_str::<Colour>("\"green\"").unwrap(), Colour::Green);
        assert_eq!(format!("{:>5}", Colour::Red), "  red");
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_list() {
        let error = serde_json::from_str::<Colour>("\"blue\"").unwrap_err().to_string();
        assert!(error.starts_with("\"blue\" is not a colour: use one of red, green"), "{error}");
    }
}
