//! The nearest word to a mistyped one, for "did you mean".

/// The candidate that is closest to `word`, when it is close enough to be a slip of the fingers.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong, never more than four: beyond that a guess misleads.
    let limit = (word.chars().count() / 3).min(4);
    if limit == 0 || word.len() > 200 {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let mut cost = distance(&word.to_lowercase(), &candidate.to_lowercase());
        if cost > limit && word.len() >= 4 && candidate.starts_with(word) {
            // The beginning of a longer word: a good guess, but the worst of them.
            cost = limit + candidate.len() - word.len();
        } else if cost > limit {
            continue;
        }
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `, did you mean "…"?` or nothing: the tail of a message.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default()
}

/// Letters to add, drop, change or swap with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cost = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(before_last[j - 2] + 1);
            }
            row.push(cost);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("", "ab", 2), ("sever", "server", 1), ("urn", "run", 1), ("abc", "xyz", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["run", "cat", "conf", "version"];
        assert_eq!(nearest("rnu", words), Some("run"));
        assert_eq!(nearest("CONF", words), Some("conf"));
        assert_eq!(nearest("verison", words), Some("version"));
        assert_eq!(nearest("vers", words), Some("version"));
        assert_eq!(nearest("snapshot", words), None);
        assert_eq!(hint("config", words), ", did you mean \"conf\"?");
        assert_eq!(hint("x", words), "");
    }
}
