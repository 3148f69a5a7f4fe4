//! Every event of every fixture: whole, cut, flipped and scrambled.

use crate::binlog::BinlogError;
use crate::binlog::Decoder;
use crate::binlog::Event;
use crate::binlog::PayloadReader;
use crate::binlog::checksum::ChecksumAlgorithm;
use crate::binlog::event_type::*;
use crate::binlog::testing;
use crate::binlog::testing::Random;
use std::collections::BTreeSet;

/// Runs `check` on each event of each fixture, with the decoder as it was before that event.
fn each_event(mut check: impl FnMut(&str, &Decoder, &[u8])) {
    for name in testing::FIXTURES {
        let mut decoder = Decoder::default();
        for (_, bytes) in testing::fixture(name) {
            check(name, &decoder, &bytes);
            decoder.decode(&bytes).unwrap();
        }
    }
}

/// Reads all there is to read in an event; what is lazy is asked for.
fn read_all(decoder: &Decoder, bytes: &[u8]) -> Result<(), BinlogError> {
    match decoder.clone().decode(bytes)?.1 {
        Event::Query(query) => _ = query.status().updated_databases.map(|names| names.names().count()),
        Event::TableMap(map) => _ = map.table_metadata(&map.metadata()?)?,
        Event::Payload(payload) => {
            let mut reader = PayloadReader::new(&payload, 1 << 20)?;
            while let Some(event) = reader.next_event()? {
                decoder.decode_inner(event)?;
            }
        }
        Event::Rows(rows) => _ = rows.after_columns.map(|bits| (bits.count_ones(), bits.iter().count())),
        Event::MariadbGtidList(list) => _ = list.state.position(),
        _ => {}
    }
    Ok(())
}

#[test]
fn all_events_decode_and_all_types_are_known() {
    let mut types = BTreeSet::new();
    each_event(|name, decoder, bytes| {
        let (header, event) = decoder.clone().decode(bytes).unwrap();
        types.insert(header.event_type);
        assert!(!matches!(event, Event::Unknown { .. } | Event::Ignorable { .. }), "{name} {event:?}");
        read_all(decoder, bytes).unwrap();
    });
    let expected =
        [2, 4, 5, 13, 14, 15, 16, 17, 18, 19, 23, 24, 25, 29, 30, 31, 32, 33, 34, 35, 38, 39, 40, 42]
            .into_iter()
            .chain([160, 161, 162, 163, 165, 166, 167, 168]);
    assert_eq!(types, expected.collect());
}

#[test]
fn every_truncation_is_an_error() {
    each_event(|name, decoder, bytes| {
        for cut in 0..bytes.len() {
            let mut event = bytes[..cut].to_vec();
            assert!(decoder.clone().decode(&event).is_err(), "{name} {cut}");
            // And with a header that agrees: the checksum tells, or the fields do not panic.
            if cut >= 19 {
                testing::fix_size(&mut event);
                let read = read_all(decoder, &event);
                // A format description says itself whether it has a checksum, in a byte that is cut off here.
                let checked =
                    decoder.checksum() == ChecksumAlgorithm::Crc32 && event[4] != FORMAT_DESCRIPTION_EVENT;
                assert!(read.is_err() || !checked, "{name} {cut}");
            }
        }
    });
}

#[test]
fn every_flipped_bit_of_an_event_with_a_checksum_is_seen() {
    each_event(|name, decoder, bytes| {
        if decoder.checksum() != ChecksumAlgorithm::Crc32 || bytes[4] == FORMAT_DESCRIPTION_EVENT {
            return;
        }
        for offset in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut event = bytes.to_vec();
                event[offset] ^= flip;
                let error = decoder.clone().decode(&event).map(|_| ()).unwrap_err();
                // The type decides where to look for a checksum, and the size is compared before it.
                let by_other_means = matches!(offset, 4 | 9..13);
                let seen = matches!(error, BinlogError::Checksum { .. }) || by_other_means;
                assert!(seen, "{name} byte {offset}: {error}");
            }
        }
    });
}

#[test]
fn every_flipped_bit_of_a_format_description_with_a_checksum_is_seen() {
    for name in ["mysql56.bin", "mysql97_full.bin", "mysql97_open.bin", "mariadb.bin"] {
        let description = &testing::fixture(name)[0].1;
        for offset in 0..description.len() {
            for bit in 0..8 {
                // The flag of an open file is not covered.
                if (offset, bit) == (17, 0) {
                    continue;
                }
                let mut event = description.clone();
                event[offset] ^= 1 << bit;
                assert!(Decoder::default().decode(&event).is_err(), "{name} byte {offset} bit {bit}");
            }
        }
    }
}

/// Decoders that believe there are no checksums, so that scrambled fields are reached.
fn unchecked_decoders() -> Vec<Decoder> {
    ["mysql56_gtid.bin", "mysql97_anonymous.bin", "mariadb_xa.bin"]
        .iter()
        .map(|name| {
            let mut decoder = Decoder::default();
            decoder.decode(&testing::fixture(name)[0].1).unwrap();
            decoder
        })
        .collect()
}

#[test]
fn scrambled_events_never_panic() {
    let decoders = unchecked_decoders();
    let mut random = Random::new(1);
    each_event(|_, _, bytes| {
        for round in 0..150 {
            let mut event = bytes.to_vec();
            for _ in 0..=random.below(4) {
                let offset = random.below(event.len() as u64) as usize;
                event[offset] = random.next() as u8;
            }
            if random.below(3) == 0 {
                event.truncate(19.max(random.below(event.len() as u64) as usize));
            }
            if random.below(4) == 0 {
                event[4] = random.next() as u8;
            }
            testing::fix_size(&mut event);
            let _ = read_all(&decoders[round % decoders.len()], &event);
        }
    });
}

#[test]
fn what_no_server_of_ours_writes_is_told_apart() {
    let mut decoder = unchecked_decoders().remove(1);
    let mut decode = |event_type, flags, body: &[u8]| {
        let event = testing::event_with(event_type, 0, flags, body);
        decoder.decode(&event).map(|(_, event)| format!("{event:?}")).map_err(|error| error.to_string())
    };
    assert_eq!(decode(99, 0, b"x").unwrap(), "Unknown { event_type: 99, flags: 0 }");
    assert_eq!(decode(99, 0x80, b"x").unwrap(), "Ignorable { event_type: 99 }");
    assert_eq!(decode(LARGE_TRANSACTION_HEADER_EVENT, 0x80, b"x").unwrap(), "Ignorable { event_type: 43 }");
    assert_eq!(decode(IGNORABLE_LOG_EVENT, 0, b"").unwrap(), "Ignorable { event_type: 28 }");
    assert_eq!(decode(0, 0, b"").unwrap(), "Unknown { event_type: 0, flags: 0 }");
    assert_eq!(decode(STOP_EVENT, 0, b"").unwrap(), "Stop");
    assert_eq!(decode(NEW_LOAD_EVENT, 0, b"x").unwrap(), "StatementLoad(Obsolete { event_type: 12 })");
    let error = decode(START_EVENT_V3, 0, &[1, 0]).unwrap_err();
    assert!(error.starts_with("binlog version 1 cannot be read"), "{error}");
    // Four bytes more than a transaction's end has: a checksum that the format description does not announce.
    let error = decode(XID_EVENT, 0, &[0; 12]).unwrap_err();
    assert_eq!(error, "XID_EVENT: xid: 4 bytes left over at offset 27");
}

#[test]
fn events_before_the_format_description_are_refused() {
    let error = Decoder::default().decode(&testing::event(QUERY_EVENT, &[0; 14])).unwrap_err();
    assert_eq!(error.to_string(), "QUERY_EVENT before any FORMAT_DESCRIPTION_EVENT");
}

#[test]
fn payloads_hold_no_payloads() {
    let decoder = unchecked_decoders().remove(1);
    for event_type in [TRANSACTION_PAYLOAD_EVENT, FORMAT_DESCRIPTION_EVENT, ROTATE_EVENT] {
        let error = decoder.decode_inner(&testing::event(event_type, &[0; 20])).unwrap_err();
        assert_eq!(error.code(), crate::code::Code::Decompress);
    }
}

/// Baidu's MySQL ("Ares") has eight bytes more in each header but those of rotates and format descriptions.
#[test]
fn longer_headers_are_passed_over_and_can_be_asked_for() {
    let mut description = testing::fixture("mysql56_gtid.bin")[0].1.clone();
    description[19 + 2 + 50 + 4] = 27;
    let mut decoder = Decoder::default();
    decoder.decode(&description).unwrap();
    let event = testing::event(XID_EVENT, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(decoder.decode(&event).unwrap().1, Event::Xid(9));
    assert_eq!(decoder.extra_header(&event), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(decoder.group_id(), Some(0x0807_0605_0403_0201));
    decoder.decode(&testing::event(XID_EVENT, &[0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0])).unwrap();
    assert_eq!(decoder.group_id(), None, "0 is no id");
    let rotate = testing::event(ROTATE_EVENT, &[4, 0, 0, 0, 0, 0, 0, 0, b'b', b'.', b'1']);
    assert!(matches!(decoder.decode(&rotate).unwrap().1, Event::Rotate(rotate) if rotate.file == "b.1"));
    assert_eq!(decoder.group_id(), None);
}
