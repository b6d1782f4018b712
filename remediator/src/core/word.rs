//! Closed lists of words: one spelling for the record, the log field, the metric label, the Event reason and the mail.

/// A value out of a closed list, with its one spelling.
pub trait ClosedWord: Copy + Eq + std::fmt::Debug + Sized + 'static {
    /// What the list is a list of, for error messages.
    const WHAT: &'static str;
    /// The whole list, in the order of its definition.
    const ALL: &'static [Self];
    /// The word as it is written everywhere.
    fn as_str(self) -> &'static str;
    /// The value of a word; `None` when it is not in the list.
    fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.as_str() == word)
    }
}

/// Defines an enum whose variants each have one spelling.
#[macro_export]
macro_rules! closed_words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident ($what:literal) { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $($(#[$vmeta])* $variant),+ }

        impl $crate::core::word::ClosedWord for $name {
            const WHAT: &'static str = $what;
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad($crate::core::word::ClosedWord::as_str(*self))
            }
        }
    };
}
