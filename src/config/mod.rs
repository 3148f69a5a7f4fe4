//! (to come)
pub mod near;
pub mod properties;
