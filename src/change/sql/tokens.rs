//! Words, names, strings and punctuation of a SQL text; comments left out, version comments looked into.

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A bare word: a keyword or an unquoted name, as written.
    Word(String),
    /// A name in backticks, or under ANSI_QUOTES in double quotes, quotes undone.
    Quoted(String),
    /// A string; its text is of no interest here.
    Text,
    /// Any other character.
    Mark(char),
}

impl Token {
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(text) if text.eq_ignore_ascii_case(word))
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Token::Word(text) if text.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// What of a session's `sql_mode` decides where a token ends. The server logs it with each statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quoting {
    /// Double quotes enclose names, not strings.
    pub ansi_quotes: bool,
    /// A backslash in a string stands for itself.
    pub plain_backslash: bool,
}

impl Quoting {
    /// From the bits that a query event carries (`MODE_ANSI_QUOTES` and `MODE_NO_BACKSLASH_ESCAPES` of both servers).
    pub fn of_sql_mode(sql_mode: u64) -> Self {
        Self { ansi_quotes: sql_mode & 4 != 0, plain_backslash: sql_mode & (1 << 20) != 0 }
    }
}

/// The tokens of a statement, read once from front to back with one token of look-ahead.
#[derive(Clone)]
pub struct Tokens<'a> {
    rest: &'a str,
    quoting: Quoting,
    ahead: Option<Token>,
}

impl<'a> Tokens<'a> {
    pub fn new(sql: &'a str, quoting: Quoting) -> Self {
        Self { rest: sql, quoting, ahead: None }
    }

    pub fn next(&mut self) -> Option<Token> {
        self.ahead.take().or_else(|| self.read())
    }

    pub fn peek(&mut self) -> Option<&Token> {
        if self.ahead.is_none() {
            self.ahead = self.read();
        }
        self.ahead.as_ref()
    }

    /// The word that a statement begins with, in capitals; brackets and semicolons before it are passed over.
    pub fn verb(&mut self) -> Option<String> {
        while self.accept("(") || self.accept(";") {}
        match self.next()? {
            Token::Word(word) => Some(word.to_ascii_uppercase()),
            Token::Quoted(_) | Token::Text | Token::Mark(_) => None,
        }
    }

    /// The next bare word in capitals; anything else before it is passed over.
    pub fn keyword(&mut self) -> Option<String> {
        loop {
            if let Token::Word(word) = self.next()? {
                return Some(word.to_ascii_uppercase());
            }
        }
    }

    /// Consumes the next token if it is this word or mark.
    pub fn accept(&mut self, wanted: &str) -> bool {
        let matches = match self.peek() {
            Some(Token::Mark(mark)) => wanted.chars().eq([*mark]),
            Some(token) => token.is_word(wanted),
            None => false,
        };
        if matches {
            self.ahead = None;
        }
        matches
    }

    /// Consumes the next token if it is one of these words or marks.
    pub fn accept_any(&mut self, wanted: &[&str]) -> bool {
        wanted.iter().any(|wanted| self.accept(wanted))
    }

    /// Consumes a name, quoted or not.
    pub fn name(&mut self) -> Option<String> {
        match self.peek()? {
            Token::Word(name) | Token::Quoted(name) => {
                let name = name.clone();
                self.ahead = None;
                Some(name)
            }
            Token::Text | Token::Mark(_) => None,
        }
    }

    fn read(&mut self) -> Option<Token> {
        self.skip_blanks_and_comments();
        let first = self.rest.chars().next()?;
        match first {
            '`' => Some(Token::Quoted(self.quoted(first, true))),
            '"' if self.quoting.ansi_quotes => Some(Token::Quoted(self.quoted(first, true))),
            '\'' | '"' => {
                self.quoted(first, self.quoting.plain_backslash);
                Some(Token::Text)
            }
            _ if is_word_character(first) => {
                let end = self.rest.find(|c| !is_word_character(c)).unwrap_or(self.rest.len());
                Some(Token::Word(self.advance(end).to_owned()))
            }
            _ => {
                self.advance(first.len_utf8());
                Some(Token::Mark(first))
            }
        }
    }

    fn advance(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(is_blank);
            if self.rest.starts_with("/*") {
                let length = match version_opening(self.rest) {
                    Some(length) => length,
                    None => self.rest.find("*/").map_or(self.rest.len(), |end| end + 2),
                };
                self.advance(length);
            } else if self.rest.starts_with("*/") {
                self.advance(2);
            } else if self.rest.starts_with('#') || begins_dash_comment(self.rest) {
                let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
                self.advance(end);
            } else {
                return;
            }
        }
    }

    /// Reads a quoted token; the quote doubled stands for itself, and unless `plain_backslash` a backslash takes the next
    /// character.
    fn quoted(&mut self, quote: char, plain_backslash: bool) -> String {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1).peekable();
        let mut end = self.rest.len();
        while let Some((at, character)) = characters.next() {
            if character == quote {
                if characters.peek().is_some_and(|(_, next)| *next == quote) {
                    characters.next();
                    text.push(quote);
                    continue;
                }
                end = at + quote.len_utf8();
                break;
            }
            if !plain_backslash && character == '\\' {
                characters.next();
                continue;
            }
            text.push(character);
        }
        self.advance(end);
        text
    }
}

/// The server runs what stands in `/*!50001 … */` and `/*M!100100 … */`: the length of the opening and its number only.
fn version_opening(text: &str) -> Option<usize> {
    let after = text.strip_prefix("/*!").or_else(|| text.strip_prefix("/*M!"))?;
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    Some(text.len() - after.len() + digits)
}

/// Two dashes begin a comment when a blank, a control character or the end follows (manual, "Comments").
fn begins_dash_comment(text: &str) -> bool {
    text.strip_prefix("--").is_some_and(|rest| rest.chars().next().is_none_or(is_blank))
}

fn is_blank(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

fn is_word_character(character: char) -> bool {
    // Unquoted identifiers: manual, "Schema Object Names": [0-9a-zA-Z$_] and U+0080 .. U+FFFF.
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || character >= '\u{80}'
}
