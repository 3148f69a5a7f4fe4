//! What the facts mean: pure rules from facts to findings, one file a topic.

pub mod binlog;
pub mod expiry;
pub mod gtid;
pub mod history;
pub mod link;
pub mod replicas;
pub mod rights;
pub mod tables;

/// How many names a line lists.
const MOST_NAMES: usize = 10;

/// The first ten names, and how many more there are.
pub fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(MOST_NAMES).map(AsRef::as_ref).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Seconds as people say them.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes as people say them.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        10_485_760..10_737_418_240 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_and_counted() {
        let names: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        assert_eq!(listed(&names), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
        assert_eq!(listed(&["a"]), "a");
    }

    #[test]
    fn amounts_are_readable() {
        assert_eq!(
            [duration(90), duration(3600), duration(86_400), duration(2_592_000)],
            ["90 s", "60 min", "24 h", "30 days"]
        );
        assert_eq!(
            [size(1), size(65_536), size(1 << 30), size(1 << 40)],
            ["1 bytes", "64 KiB", "1024 MiB", "1024 GiB"]
        );
    }
}
