//! (to come)
pub mod choice;
pub mod near;
pub mod place;
pub mod properties;
pub mod value;
