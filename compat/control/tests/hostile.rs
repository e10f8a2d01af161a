//! What arrives from a client that means harm, or from an engine that lost its mind.

use drbd_control::{Context, Errno, FamilyId, Op, ParamError, Received, Refusal, Request, frame};
use drbd_types::Minor;
use proptest::prelude::*;

const FAMILY: FamilyId = FamilyId::ENGINE;

/// A request with these raw attributes.
fn raw(op: u8, flags: frame::MessageFlags, attributes: &[u8]) -> Vec<u8> {
    let outer = frame::Outer {
        kind: FAMILY.0,
        flags,
        seq: 7,
        port: 9,
    };
    let inner = frame::Inner {
        op,
        minor: Some(Minor(0)),
        word: 0,
    };
    frame::build(outer, inner, |out| out.extend_from_slice(attributes))
}

fn refused(bytes: &[u8]) -> Option<Errno> {
    match Request::decode(bytes, FAMILY) {
        Err(Refusal::Error { errno, .. }) => Some(errno),
        other => panic!("{other:?}"),
    }
}

fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 4).unwrap();
    let mut out = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

const REQUEST: frame::MessageFlags = frame::MessageFlags::REQUEST;

/// Spec 30 sections 4.1 and 4.4.
#[test]
fn refusals_carry_the_error_numbers_of_the_kernel() {
    let context = |inner: Vec<u8>| raw(8, REQUEST, &attribute(0x8002, &inner));
    assert_eq!(refused(&raw(99, REQUEST, &[])), Some(Errno::OpNotSupp));
    assert_eq!(
        refused(&raw(1, REQUEST, &[])),
        Some(Errno::OpNotSupp),
        "a notice"
    );
    assert_eq!(
        refused(&raw(30, REQUEST, &[])),
        Some(Errno::OpNotSupp),
        "a list only"
    );
    let list = REQUEST | frame::MessageFlags::DUMP;
    assert_eq!(
        refused(&raw(14, list, &[])),
        Some(Errno::OpNotSupp),
        "never a list"
    );
    assert_eq!(
        refused(&raw(8, REQUEST, &attribute(25, b""))),
        Some(Errno::Inval)
    );
    assert_eq!(refused(&raw(8, REQUEST, &[3, 0, 0, 0])), Some(Errno::Inval));
    let name = [b"x".repeat(128), vec![0]].concat();
    assert_eq!(refused(&context(attribute(2, &name))), Some(Errno::Inval));
    assert_eq!(
        refused(&context(attribute(3, &[0; 129]))),
        Some(Errno::Range)
    );
    assert_eq!(
        refused(&context(attribute(0x4009, b"1234"))),
        Some(Errno::OpNotSupp)
    );
    assert!(Request::decode(&context(attribute(9, b"1234")), FAMILY).is_ok());
    assert!(Request::decode(&raw(8, REQUEST, &attribute(14, b"")), FAMILY).is_ok());
    assert_eq!(
        Request::decode(&[0; 15], FAMILY),
        Err(Refusal::Unanswerable)
    );
}

#[test]
fn a_refusal_is_an_error_message_with_the_number_of_the_request() {
    let refusal = Request::decode(&raw(99, REQUEST, &[]), FAMILY).unwrap_err();
    let bytes = refusal.encode().unwrap();
    assert_eq!(
        Received::decode(&bytes, FAMILY),
        Ok(Received::Error { seq: 7, code: -95 })
    );
}

#[test]
fn parameters_are_refused_with_the_reason_of_the_kernel() {
    let params = |op: Op, nest: u16, inner: &[u8]| {
        let bytes = raw(op.code(), REQUEST, &attribute(nest, inner));
        Request::decode(&bytes, FAMILY).unwrap().params.unwrap()
    };
    let attach = |inner: &[u8]| params(Op::Attach, 0x8003, inner).disk_conf().unwrap_err();
    assert_eq!(attach(b""), ParamError::Missing);
    assert_eq!(
        attach(&attribute(0x4000 | 27, b"1234")),
        ParamError::UnknownMandatory
    );
    assert_eq!(
        attach(&attribute(27, b"1234")),
        ParamError::Missing,
        "ignored"
    );
    assert_eq!(
        attach(&attribute(0x4006, b"12")),
        ParamError::Invalid,
        "half a number"
    );
    assert_eq!(attach(&attribute(1, &[b'x'; 128])), ParamError::Invalid);
    let change = |inner: &[u8]| params(Op::DiskOpts, 0x8003, inner).change();
    assert_eq!(
        change(&attribute(1, b"/dev/sda\0")),
        Err(ParamError::Invariant)
    );
    assert_eq!(change(&attribute(4, &[0; 8])), Err(ParamError::Invariant));
    assert!(change(&attribute(8, &[1, 0, 0, 0])).is_ok());
    let secret = attribute(1, &[b's'; 64]);
    let connect = params(Op::Connect, 0x8005, &secret);
    assert_eq!(
        connect.creation(),
        Err(ParamError::Invalid),
        "64 bytes of 63"
    );
}

#[test]
fn a_set_that_the_operation_does_not_take_is_ignored() {
    let bytes = raw(Op::Secondary.code(), REQUEST, &attribute(0x8005, b""));
    assert_eq!(Request::decode(&bytes, FAMILY).unwrap().params, None);
}

#[test]
fn a_secret_does_not_show_in_debug_output() {
    let secret = attribute(1, b"geheim\0");
    let bytes = raw(Op::Connect.code(), REQUEST, &attribute(0x8005, &secret));
    let request = Request::decode(&bytes, FAMILY).unwrap();
    let settings = request.params.as_ref().unwrap().creation().unwrap();
    assert!(!format!("{request:?} {settings:?}").contains("geheim"));
    assert_eq!(settings.text("shared-secret").as_deref(), Some("geheim"));
    assert!(settings.without_secrets().is_empty());
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Request::decode(&bytes, FAMILY);
        let _ = Received::decode(&bytes, FAMILY);
    }

    #[test]
    fn no_attributes_make_a_decoder_panic(
        op in 0u8..45,
        list in any::<bool>(),
        nests in prop::collection::vec((0u16..26, prop::collection::vec((0u16..40, 0usize..40), 0..6)), 0..5),
    ) {
        let mut attributes = Vec::new();
        for (nest, fields) in nests {
            let inner: Vec<u8> = fields
                .iter()
                .flat_map(|(number, length)| attribute(*number, &vec![0x5a; *length]))
                .collect();
            attributes.extend(attribute(nest, &inner));
        }
        let flags = if list { REQUEST | frame::MessageFlags::DUMP } else { REQUEST };
        let bytes = raw(op, flags, &attributes);
        if let Ok(request) = Request::decode(&bytes, FAMILY) {
            if let Some(params) = &request.params {
                let _ = (params.creation(), params.change(), params.disk_conf());
            }
            prop_assert!(request.reply(drbd_control::RetCode::NoError).encode(FAMILY).len() <= bytes.len() + 32);
        }
        let _ = Received::decode(&bytes, FAMILY);
    }

    #[test]
    fn a_context_survives_the_way_through_bytes(
        volume in any::<Option<u32>>(),
        name in prop::option::of("[a-z0-9_.-]{1,127}"),
    ) {
        let context = Context { volume, resource: name, ..Context::default() };
        let request = Request::new(Op::DelResource).for_context(context.clone());
        let received = Request::decode(&request.encode(FAMILY), FAMILY).unwrap();
        prop_assert_eq!(received.context, Some(context));
    }
}
