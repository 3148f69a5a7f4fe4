//! A text that must not be seen: passwords.
//!
//! It can be compared and used; it cannot be printed by accident. Zeroing the memory is left out: the text
//! has been in files, an environment and library buffers before, where nobody zeroes it.

use std::fmt;

/// A text whose `Debug` and `Display` say only that there is one.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    pub fn new(text: String) -> Self {
        Secret(text)
    }

    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True when there is no text (an account without a password).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(******)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn neither_debug_nor_display_prints_the_text_or_its_length() {
        let secret = Secret::new("u7i8o9p0".to_string());
        assert_eq!(format!("{secret:?} {secret:#?} {secret}"), "Secret(******) Secret(******) ******");
        assert_eq!(format!("{:?}", Secret::default()), "Secret(******)");
        assert_eq!(secret.reveal(), "u7i8o9p0");
        assert!(!secret.is_empty());
    }
}
