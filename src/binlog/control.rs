//! Small events about the log itself: INCIDENT_EVENT (26), and group replication's TRANSACTION_CONTEXT_EVENT
//! (36) and VIEW_CHANGE_EVENT (37).

use crate::codec::CodecError;
use crate::codec::Reader;

/// The server lost events, or may have. In wire order: number 2 · length of the message 1 · message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident<'a> {
    /// 1: LOST_EVENTS, the only one there is.
    pub number: u16,
    pub message: &'a [u8],
}

impl<'a> Incident<'a> {
    pub(super) fn read(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        let number = bytes.u16("incident number")?;
        // An incident without a message may end here (`Incident_log_event::write_data_body`).
        let length = if bytes.is_empty() { 0 } else { bytes.u8("length of the message")? };
        Ok(Self { number, message: bytes.take(length.into(), "message")? })
    }
}

/// In wire order: length of the server UUID's text 1 · thread id 4 · whether the GTID was given by the client
/// 1 · three lengths of 4 · the texts. Stands in relay logs of group replication, not in binlogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionContext<'a> {
    /// Text.
    pub server_uuid: &'a [u8],
    pub thread_id: u32,
    pub gtid_specified: bool,
}

impl<'a> TransactionContext<'a> {
    pub(super) fn read(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        let uuid_length = bytes.u8("length of the server uuid")?;
        let thread_id = bytes.u32("thread id")?;
        let gtid_specified = bytes.u8("gtid specified")? != 0;
        bytes.skip(12, "lengths of the snapshot version and the write and read sets")?;
        let server_uuid = bytes.take(uuid_length.into(), "server uuid")?;
        Ok(Self { server_uuid, thread_id, gtid_specified })
    }
}

/// In wire order: view id 40, padded with zeros · sequence number 8 · certification information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewChange<'a> {
    pub view_id: &'a [u8],
    pub sequence_number: u64,
}

impl<'a> ViewChange<'a> {
    pub(super) fn read(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        let padded = bytes.take(40, "view id")?;
        let view_id = padded.split(|byte| *byte == 0).next().unwrap_or(padded);
        Ok(Self { view_id, sequence_number: bytes.u64("sequence number")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_has_a_number_and_may_have_a_message() {
        let body = [1, 0, 4, b'l', b'o', b's', b't'];
        let incident = Incident::read(&mut Reader::new(&body)).unwrap();
        assert_eq!((incident.number, incident.message), (1, &b"lost"[..]));
        assert_eq!(Incident::read(&mut Reader::new(&[1, 0])).unwrap().message, b"");
        for cut in [0, 1, 3, 4, 5, 6] {
            assert!(Incident::read(&mut Reader::new(&body[..cut])).is_err(), "{cut}");
        }
    }

    #[test]
    fn group_replications_events_are_read() {
        let mut body = vec![2, 9, 0, 0, 0, 1];
        body.extend_from_slice(&[0; 12]);
        body.extend_from_slice(b"id");
        let context = TransactionContext::read(&mut Reader::new(&body)).unwrap();
        assert_eq!(context, TransactionContext { server_uuid: b"id", thread_id: 9, gtid_specified: true });

        let mut body = b"15:1".to_vec();
        body.resize(40, 0);
        body.extend_from_slice(&3u64.to_le_bytes());
        let view = ViewChange::read(&mut Reader::new(&body)).unwrap();
        assert_eq!((view.view_id, view.sequence_number), (&b"15:1"[..], 3));
        assert!(ViewChange::read(&mut Reader::new(&body[..47])).is_err());
    }
}
