//! (to come)
pub mod choice;
pub mod keys;
pub mod near;
pub mod place;
pub mod problem;
pub mod properties;
pub mod value;
