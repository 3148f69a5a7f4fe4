//! Crashes and full disks on order, for tests: in debug builds the n-th file operation of a kind can be made to kill the
//! process, to tear what it writes, or to fail for a while. In release builds nothing of this is there.
//!
//! ```text
//! FOUNTAIN_FAIL_POINT=sink.append:17:kill      SIGKILL in front of the 17th "sink.append"
//!                     any:230:tear             the 230th operation of all writes half of its bytes and is killed
//!                     point.flush:3:ENOSPC:5   from the 3rd on five fail with "No space left on device"; EIO likewise
//! ```
//!
//! Who writes files that a restart depends on calls [`reach`] in front of each operation, and writes through [`write()`].

use std::io;

/// In front of an operation. The error is the one that it is to fail with.
#[inline]
pub fn reach(name: &'static str) -> io::Result<()> {
    write(name, &[], |_| Ok(()))
}

/// Writes bytes by `write`, all of them unless an order says otherwise.
#[cfg(not(debug_assertions))]
#[inline]
pub fn write(
    _name: &'static str,
    bytes: &[u8],
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    write(bytes)
}

#[cfg(debug_assertions)]
pub use ordered::write;

#[cfg(debug_assertions)]
mod ordered {
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;

    const VARIABLE: &str = "FOUNTAIN_FAIL_POINT";

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Action {
        Kill,
        Tear,
        /// Fails that many times with this number of an error.
        Fail {
            errno: i32,
            times: u64,
        },
    }

    #[derive(Debug, PartialEq, Eq)]
    pub struct Order {
        name: String,
        /// From 1.
        nth: u64,
        action: Action,
    }

    impl Order {
        pub fn parse(text: &str) -> Option<Self> {
            let mut parts = text.split(':');
            let (name, nth) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
            let fail = |errno, times: Option<&str>| {
                Some(Action::Fail { errno, times: times.unwrap_or("1").parse().ok()? })
            };
            let action = match parts.next()? {
                "kill" => Action::Kill,
                "tear" => Action::Tear,
                "ENOSPC" => fail(28, parts.next())?,
                "EIO" => fail(5, parts.next())?,
                _ => return None,
            };
            parts.next().is_none().then_some(Self { name, nth, action })
        }

        /// What is to happen to the operation of that number, counted from 1.
        pub fn due(&self, count: u64) -> Option<Action> {
            let due = match self.action {
                Action::Kill | Action::Tear => count == self.nth,
                Action::Fail { times, .. } => (self.nth..self.nth.saturating_add(times)).contains(&count),
            };
            due.then_some(self.action)
        }
    }

    /// Writes bytes by `write`, all of them unless an order says otherwise.
    pub fn write(
        name: &'static str,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match due(name)? {
            None => write(bytes),
            Some(Action::Fail { errno, .. }) => Err(io::Error::from_raw_os_error(errno)),
            Some(Action::Tear) => {
                write(bytes.split_at(bytes.len() / 2).0)?;
                die()
            }
            Some(Action::Kill) => die(),
        }
    }

    fn due(name: &str) -> io::Result<Option<Action>> {
        static ORDER: OnceLock<Option<Result<Order, String>>> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let order = ORDER.get_or_init(|| {
            let text = std::env::var(VARIABLE).ok()?;
            Some(Order::parse(&text).ok_or(text))
        });
        match order {
            None => Ok(None),
            Some(Err(text)) => Err(io::Error::other(format!("{VARIABLE}={text} is not understood"))),
            Some(Ok(order)) if order.name == "any" || order.name == name => {
                Ok(order.due(COUNT.fetch_add(1, Ordering::Relaxed) + 1))
            }
            Some(Ok(_)) => Ok(None),
        }
    }

    fn die() -> io::Result<()> {
        signal_hook::low_level::raise(signal_hook::consts::SIGKILL)?;
        // The signal ends all threads before this one runs on.
        Err(io::Error::other("killed by order"))
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use crate::fail_point::ordered::Action;
    use crate::fail_point::ordered::Order;

    #[test]
    fn orders_are_read_and_fall_due() {
        let kill = Order::parse("sink.append:17:kill").unwrap();
        assert_eq!((kill.due(16), kill.due(17), kill.due(18)), (None, Some(Action::Kill), None));
        let full = Order::parse("any:3:ENOSPC:2").unwrap();
        let failing = Some(Action::Fail { errno: 28, times: 2 });
        assert_eq!([2, 3, 4, 5].map(|count| full.due(count)), [None, failing, failing, None]);
        for text in ["", "x", "x:1", "x:y:kill", "x:1:burn", "x:1:kill:2", "x:1:EIO:z"] {
            assert_eq!(Order::parse(text), None, "{text}");
        }
    }
}
