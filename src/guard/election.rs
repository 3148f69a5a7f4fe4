//! Who leads, from the names of a latch's nodes alone. No clock, no network.
//!
//! A node is called `_c_GUID-latch-SEQUENCE`, as the latch of Curator names them: processes of the original Fountain queue up
//! in the same latch. The server appends the sequence, ten digits of a 32-bit counter that overflows into negative numbers
//! (`%010d` of an int: ZooKeeper's PrepRequestProcessor).

const PREFIX: &str = "_c_";
const LATCH: &str = "-latch-";

/// One node of a latch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The node's name, without the path.
    pub name: String,
    /// What comes before `-latch-`, without Curator's prefix: the guid of the node's maker.
    pub guid: String,
    sequence: i32,
}

/// What a node is to be called; the server appends the sequence.
pub fn name_for(guid: &str) -> String {
    format!("{PREFIX}{guid}{LATCH}")
}

/// The nodes of a latch, who leads first. What is no such node is left out.
pub fn seats<S: AsRef<str>>(children: &[S]) -> Vec<Seat> {
    let mut seats: Vec<Seat> = children.iter().filter_map(|name| seat(name.as_ref())).collect();
    // Living nodes are near each other; the counter may have passed its end between them.
    let origin = seats.first().map_or(0, |seat| seat.sequence);
    seats.sort_by(|a, b| {
        let behind = |seat: &Seat| seat.sequence.wrapping_sub(origin);
        behind(a).cmp(&behind(b)).then_with(|| a.name.cmp(&b.name))
    });
    seats
}

fn seat(name: &str) -> Option<Seat> {
    let (maker, sequence) = name.rsplit_once(LATCH)?;
    let guid = maker.strip_prefix(PREFIX).unwrap_or(maker).to_owned();
    let digits = sequence.strip_prefix('-').unwrap_or(sequence);
    let whole = digits.len() >= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let sequence = sequence.parse().ok().filter(|_| whole)?;
    Some(Seat { name: name.to_owned(), guid, sequence })
}

/// A name that no other process and no other session uses: 128 bits of the hash keys that the standard library draws from the
/// system for each process. Nothing secret depends on it.
pub fn new_guid() -> String {
    use std::hash::BuildHasher;
    use std::hash::Hasher;
    let mut guid = String::with_capacity(32);
    for _ in 0..2 {
        let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        guid += &format!("{:016x}", hasher.finish());
    }
    guid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(children: &[&str]) -> Vec<String> {
        seats(children).into_iter().map(|seat| seat.guid).collect()
    }

    #[test]
    fn the_sequence_decides_and_not_the_guid() {
        let children = ["_c_aa-latch-0000000012", "_c_zz-latch-0000000003", "_c_mm-latch-0000000100"];
        assert_eq!(order(&children), ["zz", "aa", "mm"]);
        let odd =
            ["_nodes", "producer00", "_c_x-latch-", "_c_x-latch-12", "_c_x-latch-00000000ff", "x-latch--"];
        assert_eq!(order(&odd), [""; 0]);
        assert_eq!(order(&["a-latch-b-latch-0000000001"]), ["a-latch-b"]);
        assert_eq!(seats(&["_c_aa-latch-0000000012"])[0].name, "_c_aa-latch-0000000012");
    }

    #[test]
    fn a_counter_that_has_passed_its_end_goes_on_behind_it() {
        let names = |sequences: [i32; 4]| {
            let guid = |at: usize| ["a", "b", "c", "d"][at].to_owned();
            let name = |(at, sequence)| format!("{}{sequence:010}", name_for(&guid(at)));
            let names: Vec<String> = sequences.into_iter().enumerate().map(name).collect();
            seats(&names).into_iter().map(|seat| seat.guid).collect::<Vec<_>>()
        };
        assert_eq!(names([i32::MIN, i32::MAX, i32::MAX - 1, i32::MIN + 5]), ["c", "b", "a", "d"]);
        assert_eq!(names([i32::MAX, i32::MIN, i32::MIN + 1, i32::MAX - 7]), ["d", "a", "b", "c"]);
        assert_eq!(names([-1, 0, -2, 1]), ["c", "a", "b", "d"]);
        assert_eq!(name_for("g"), "_c_g-latch-");
    }

    #[test]
    fn guids_differ() {
        let (one, other) = (new_guid(), new_guid());
        assert!(one != other && one.len() == 32 && !one.contains('-'));
    }
}
