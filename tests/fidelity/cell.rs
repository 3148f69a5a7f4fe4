//! One way to set up a server and fountain: what the rounds of a test go through.

/// `binlog_row_image`
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Image {
    Full,
    Minimal,
    NoBlob,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// Fountain runs beside the statements. Without full metadata it is waited for before each DDL: a definition of now
    /// counts for what was logged before only if no DDL lies between.
    Beside,
    /// Fountain reads when all is done; full metadata only.
    Afterwards,
}

#[derive(Debug, Clone, Copy)]
pub struct Cell {
    /// What is special about it.
    pub name: &'static str,
    /// Run on the source first, by a session that ends.
    pub globals: &'static [&'static str],
    /// Run by the session that writes.
    pub session: &'static [&'static str],
    pub sql_mode: &'static str,
    /// Keys of fountain.
    pub keys: &'static [&'static str],
    pub image: Image,
    pub full_metadata: bool,
    pub reading: Reading,
    /// JSON documents may be logged in part.
    pub partial_json: bool,
}

impl Cell {
    pub const PLAIN: Cell = Cell {
        name: "plain",
        globals: &[],
        session: &[],
        sql_mode: "",
        keys: &[],
        image: Image::Full,
        full_metadata: false,
        reading: Reading::Beside,
        partial_json: false,
    };
}
