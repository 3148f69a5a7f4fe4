//! MariaDB's UUID, INET4 and INET6: the text that `SELECT` prints.
//!
//! All three are logged as BINARY, so that only the definition tells them apart from it, and as BINARY they
//! lose their trailing zero bytes in the log. UUIDs are logged in the order of their text, although the
//! tables of most versions store their parts turned around (`plugin/type_uuid/sql_type_uuid.h`, `pack`).

use crate::column::error::ColumnError;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A value that lost its trailing zero bytes, with them.
pub fn padded<const N: usize>(type_name: &'static str, logged: &[u8]) -> Result<[u8; N], ColumnError> {
    let mut value = [0; N];
    match value.get_mut(..logged.len()) {
        Some(place) => place.copy_from_slice(logged),
        None => return Err(ColumnError::impossible(type_name, "length", logged.len() as i64)),
    }
    Ok(value)
}

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`
pub fn write_uuid(out: &mut Vec<u8>, uuid: &[u8; 16]) {
    for (place, byte) in uuid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(hex_digit(byte >> 4));
        out.push(hex_digit(byte & 0xf));
    }
}

/// `a.b.c.d`
pub fn write_inet4(out: &mut Vec<u8>, address: &[u8; 4]) {
    for (place, byte) in address.iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(itoa::Buffer::new().format(*byte).as_bytes());
    }
}

/// MariaDB's text of an IPv6 address (`plugin/type_inet/sql_type_inet.cc`, `Inet6::to_string`): hexadecimal
/// without leading zeros, the first of the longest runs of zero words as `::` (a single zero word too, unlike
/// RFC 5952), and the last four bytes in decimal when five zero words and ffff, or just six zero words, stand
/// before them.
pub fn write_inet6(out: &mut Vec<u8>, address: &[u8; 16]) {
    let (pairs, _) = address.as_chunks::<2>();
    let (gap, gap_length) = longest_zero_run(pairs);
    let mapped = matches!(pairs, [_, _, _, _, _, [0xff, 0xff], _, _]) && gap_length == 5;
    let [.., a, b, c, d] = *address;
    let mut place = 0;
    while let Some(&[high, low]) = pairs.get(place) {
        if gap_length > 0 && place == gap {
            // The word before wrote one colon already.
            out.extend_from_slice(if place == 0 { b"::" } else { b":" });
            place += gap_length;
            continue;
        }
        if place == 6 && gap == 0 && (gap_length == 6 || mapped) {
            return write_inet4(out, &[a, b, c, d]);
        }
        write_word(out, high, low);
        if place < 7 {
            out.push(b':');
        }
        place += 1;
    }
}

fn longest_zero_run(words: &[[u8; 2]]) -> (usize, usize) {
    let (mut best, mut best_length, mut length) = (0, 0, 0);
    for (place, word) in words.iter().enumerate() {
        length = if *word == [0, 0] { length + 1 } else { 0 };
        if length > best_length {
            (best, best_length) = (place + 1 - length, length);
        }
    }
    (best, best_length)
}

fn write_word(out: &mut Vec<u8>, high: u8, low: u8) {
    let digits = [high >> 4, high & 0xf, low >> 4, low & 0xf];
    let zeros = digits.iter().take(3).take_while(|digit| **digit == 0).count();
    out.extend(digits.iter().skip(zeros).map(|digit| hex_digit(*digit)));
}

fn hex_digit(value: u8) -> u8 {
    HEX.get(usize::from(value)).copied().unwrap_or(b'?')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet6(address: &str) -> String {
        let address: std::net::Ipv6Addr = address.parse().unwrap();
        let mut out = Vec::new();
        write_inet6(&mut out, &address.octets());
        String::from_utf8(out).unwrap()
    }

    /// Left what went in, right what `SELECT` on MariaDB 10.11 printed.
    #[test]
    fn inet6_as_mariadb_prints_it() {
        for (address, text) in INET6 {
            assert_eq!(&inet6(address), text);
        }
    }

    const INET6: &[(&str, &str)] = &[
        ("::", "::"),
        ("::1", "::1"),
        ("1::", "1::"),
        ("::1.2.3.4", "::1.2.3.4"),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
        ("::ffff:0:0", "::ffff:0.0.0.0"),
        ("::2:3", "::0.2.0.3"),
        ("1:0:2:3:4:5:6:7", "1::2:3:4:5:6:7"),
        ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
        ("1:0:0:2:3:0:0:4", "1::2:3:0:0:4"),
        ("0:1:0:1:0:1:0:1", "::1:0:1:0:1:0:1"),
        ("2001:db8::8a2e:370:7334", "2001:db8::8a2e:370:7334"),
        ("0:0:0:0:0:1:2:3", "::1:2:3"),
        ("0:0:0:0:1:ffff:1:2", "::1:ffff:1:2"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7::"),
        ("0:2:3:4:5:6:7:8", "::2:3:4:5:6:7:8"),
        ("abcd:ef01:0010:0100:1000:0001:0a0b:00ff", "abcd:ef01:10:100:1000:1:a0b:ff"),
        ("1:0:0:0:0:ffff:1:2", "1::ffff:1:2"),
        ("::ffff:ffff:1:2", "::ffff:ffff:1:2"),
        ("::1:0:0", "::1:0:0"),
        ("1:2:0:0:5:6:0:0", "1:2::5:6:0:0"),
    ];

    #[test]
    fn uuid_and_inet4() {
        let mut out = Vec::new();
        write_uuid(&mut out, &padded("UUID", &[0x12, 0x3e, 0x45, 0x67, 0xe8]).unwrap());
        assert_eq!(out, b"123e4567-e800-0000-0000-000000000000");
        out.clear();
        write_inet4(&mut out, &padded("INET4", &[10, 0, 255]).unwrap());
        assert_eq!(out, b"10.0.255.0");
        assert!(padded::<4>("INET4", &[1; 5]).is_err());
    }
}
