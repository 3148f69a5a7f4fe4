//! Whatever a peer sends, the protocol code answers with a value or an error: every byte of every kind of packet is
//! changed to every value that could mean something, and frames are fed with noise.

use fountain::wire::auth::Authenticator;
use fountain::wire::command::Command;
use fountain::wire::handshake::Greeting;
use fountain::wire::handshake::LoginRequest;
use fountain::wire::handshake::is_ssl_request;
use fountain::wire::packet::FrameBuf;
use fountain::wire::response::ErrPacket;
use fountain::wire::response::OkPacket;
use fountain::wire::response::Progress;
use fountain::wire::response::ResponseReader;
use fountain::wire::response::ResultSet;
use fountain::wire::response::encode_result_set;

const VALUES: [u8; 12] = [0, 1, 2, 3, 0x23, 0x7f, 0x80, 0xfa, 0xfb, 0xfc, 0xfe, 0xff];

/// Calls `check` with `packet` changed at each place, and cut at each place.
fn mangled(packet: &[u8], mut check: impl FnMut(&[u8])) {
    for place in 0..packet.len() {
        check(&packet[..place]);
        for value in VALUES {
            let mut changed = packet.to_vec();
            changed[place] = value;
            check(&changed);
        }
    }
}

#[test]
fn mangled_greetings_and_logins() {
    let greeting = Greeting {
        server_version: "5.5.5-10.11.19-MariaDB".into(),
        nonce: (1..=20).collect(),
        capabilities: u32::MAX,
        auth_plugin: "caching_sha2_password".into(),
        ..Greeting::default()
    };
    let mut good = 0;
    mangled(&greeting.encode(), |bytes| good += usize::from(Greeting::parse(bytes).is_ok()));
    assert!(good > 0);
    let login = LoginRequest {
        capabilities: u32::MAX,
        user: b"repl".to_vec(),
        auth_response: vec![1; 32],
        attributes: vec![("program_name".into(), "fountain".into())],
        ..LoginRequest::default()
    };
    mangled(&login.encode(), |bytes| {
        good += usize::from(LoginRequest::parse(bytes).is_ok()) + usize::from(is_ssl_request(bytes));
    });
}

#[test]
fn mangled_answers_to_a_login() {
    for packet in [
        &b"\xfemysql_native_password\0abcdefghijklmnopqrst\0"[..],
        b"\x01\x04",
        b"\x01\x03",
        b"\xff\x15\x04#28000no",
    ] {
        for secure in [false, true] {
            mangled(packet, |bytes| {
                let mut auth =
                    Authenticator::new(b"pw", "caching_sha2_password", b"abcdefghijklmnopqrst", secure);
                // Twice: what the first one asked for decides how the second is read.
                let outcomes = [auth.on_packet(bytes).is_ok(), auth.on_packet(bytes).is_ok()];
                assert!(!bytes.is_empty() || outcomes == [false, false]);
            });
        }
    }
}

#[test]
fn mangled_answers_to_statements() {
    let result = ResultSet {
        columns: vec!["a".into(), "b".into()],
        rows: vec![vec![Some(b"1".to_vec()), None], vec![Some(vec![b'x'; 300]), Some(vec![])]],
    };
    for deprecate_eof in [false, true] {
        let packets = encode_result_set(&result, deprecate_eof);
        for (number, packet) in packets.iter().enumerate() {
            mangled(packet, |bytes| {
                let mut reader = ResponseReader::new(deprecate_eof, 1 << 16);
                let mut all: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
                all[number] = bytes;
                for packet in all {
                    if !matches!(reader.on_packet(packet), Ok(Progress::More)) {
                        break;
                    }
                }
            });
        }
    }
    mangled(&OkPacket::default().encode(), |bytes| drop(OkPacket::parse(bytes)));
    mangled(&ErrPacket::new(1045, "28000", "no").encode(), |bytes| drop(ErrPacket::parse(bytes)));
}

#[test]
fn mangled_commands() {
    for command in [
        Command::RegisterSlave { server_id: 1, host: b"h", port: 2 },
        Command::BinlogDumpGtid { server_id: 1, file: b"f", pos: 4, gtid_set: &[0; 8] },
    ] {
        mangled(&command.encode(), |bytes| drop(Command::parse(bytes)));
    }
}

#[test]
fn noise_instead_of_frames() {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for round in 0..2000 {
        let mut frames = FrameBuf::new(1 << 16);
        for _ in 0..20 {
            let spare = frames.spare();
            let count = (state as usize >> 7) % 40;
            for byte in &mut spare[..count] {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // Small numbers make plausible lengths and sequences.
                *byte = if state & 3 == 0 { (state >> 8) as u8 } else { (state >> 8) as u8 & 3 };
            }
            frames.filled(count);
            let (seen, sequence) = (frames.has_packet(), frames.sequence());
            match frames.advance() {
                Ok(whole) => assert!(whole || !seen, "round {round}: a packet was seen and did not come"),
                Err(_) => frames.set_sequence(sequence.wrapping_add(1)),
            }
            assert!(frames.packet().len() <= 1 << 16 && frames.partial().len() <= 1 << 16);
        }
    }
}
