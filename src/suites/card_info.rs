// SPDX-License-Identifier: MIT OR Apache-2.0
//! What coprocessors answer to queries, and how every card refuses a message that is not for it. AP reference 7.1, 7.4,
//! 7.9 and 7.11.

use super::rsa as rsa_suite;
use crate::ap::cca::{self, Answered};
use crate::ap::exchange;
use crate::ap::guest::Guest;
use crate::ap::instructions::Ap;
use crate::ap::master_keys;
use crate::ap::queue::Queue;
use crate::ap::request;
use crate::ap::rsa::{self, Vector};
use crate::case::outcome::{Outcome, Stop, failed, require, skipped};
use crate::case::report;
use crate::case::suite::cases;
use alloc::vec;
use alloc::vec::Vec;
use ap_arch::message::ep11::{self, Ep11Cprb, QueryType};
use ap_arch::message::{ErrorCode, Reply, cca as cca_message, parse_reply};
use ap_arch::{CardMode, Gr0, HwInfo, QueueStatus, ResponseCode};

cases!("card-info" for Guest:
    cca_static_a,
    cca_static_b,
    /// A query that does not exist is refused, by a return code or by an error reply. AP reference 7.9 and 7.10.
    cca_unknown_rule: |guest| unsupported(guest, &|queue| master_keys::query(queue, *b"NOSUCHQY")),
    cca_unknown_function,
    ep11_module,
    ep11_domain,
    ep11_function_not_supported,
    type_of_another_mode_refused,
    unknown_type_refused,
    agent_of_another_mode_refused,
    special_command_needs_its_facility,
    same_serial_number_in_every_domain,
);

const UNSUPPORTED: (u16, u16) = (8, 66);

fn of_mode(guest: &Guest, mode: CardMode) -> Result<(Ap, Vec<Queue>), Stop> {
    Ok((guest.ap()?, guest.queues_of(mode)?))
}

fn answered<'a>(queue: &Queue, reply: &'a [u8]) -> Result<Answered<'a>, Stop> {
    cca::answered(reply).map_err(|reason| failed!("{}: {reason}", queue.apqn))
}

/// The first characters of rule elements, which are the states of master keys.
fn states(rules: &[u8], elements: [usize; 3]) -> [u8; 3] {
    elements.map(|element| rules.get(8 * element).copied().unwrap_or(0))
}

/// New: empty, partial or full; current and old: valid or not.
fn require_states(queue: &Queue, what: &str, [new, current, old]: [u8; 3]) -> Outcome {
    let known = (b'1'..=b'3').contains(&new) && (b'1'..=b'2').contains(&current) && (b'1'..=b'2').contains(&old);
    require!(known, "{}: states {new:02x} {current:02x} {old:02x} of the {what} master keys", queue.apqn);
    Ok(())
}

/// FQ with STATICSA: a serial number, states of the asymmetric and the AES master keys, their patterns. AP reference
/// 7.9.
fn cca_static_a(guest: &Guest) -> Outcome {
    let (ap, queues) = of_mode(guest, CardMode::Cca)?;
    for queue in &queues {
        let reply = exchange::ask(&ap, queue.apqn, &master_keys::query(queue, *b"STATICSA"))?;
        let Answered { codes, parameters, .. } = answered(queue, &reply)?;
        let (rules, data) = (parameters.rules, parameters.vud);
        require!(codes == (0, 0), "{}: return code {} with reason {}", queue.apqn, codes.0, codes.1);
        require!(parameters.function == *b"FQ", "{}: the reply is of another function", queue.apqn);
        require!(rules.len() >= 80 && data.len() >= 204, "{}: {} and {} bytes", queue.apqn, rules.len(), data.len());
        require_states(queue, "asymmetric", states(rules, [4, 5, 6]))?;
        require_states(queue, "AES", states(rules, [7, 8, 9]))?;
        let serial = core::str::from_utf8(&rules[..8]).unwrap_or("");
        require!(!serial.trim().is_empty(), "{}: no serial number", queue.apqn);
    }
    Ok(())
}

/// FQ with STATICSB: the states of the APKA master keys and their patterns. AP reference 7.9.
fn cca_static_b(guest: &Guest) -> Outcome {
    let (ap, queues) = of_mode(guest, CardMode::Cca)?;
    for queue in &queues {
        let reply = exchange::ask(&ap, queue.apqn, &master_keys::query(queue, *b"STATICSB"))?;
        let Answered { codes, parameters, .. } = answered(queue, &reply)?;
        let (rules, data) = (parameters.rules, parameters.vud);
        require!(codes == (0, 0), "{}: return code {} with reason {}", queue.apqn, codes.0, codes.1);
        require!(rules.len() >= 104 && data.len() >= 240, "{}: {} and {} bytes", queue.apqn, rules.len(), data.len());
        require_states(queue, "APKA", states(rules, [10, 11, 12]))?;
    }
    Ok(())
}

/// A reply that says by its return code that the request was understood and refused.
fn unsupported(guest: &Guest, request: &dyn Fn(&Queue) -> Vec<u8>) -> Outcome {
    let (ap, queues) = of_mode(guest, CardMode::Cca)?;
    for queue in &queues {
        let reply = exchange::ask(&ap, queue.apqn, &request(queue))?;
        if let Ok(Reply::Error(_)) = parse_reply(&reply) {
            continue;
        }
        let codes = answered(queue, &reply)?.codes;
        require!(codes.0 != 0, "{}: return code 0 to a request that means nothing", queue.apqn);
        if codes != UNSUPPORTED {
            report::info(format_args!("{}: return code {} with reason {}", queue.apqn, codes.0, codes.1));
        }
    }
    Ok(())
}

/// So is a function that does not exist. AP reference 8.6.
fn cca_unknown_function(guest: &Guest) -> Outcome {
    unsupported(guest, &|queue| cca::request(queue.apqn.apqi.0.into(), *b"ZZ", *b"NOSUCHQY", &[], &[], 0))
}

/// The data of an EP11 reply, with the return value that comes before it. AP reference 7.11.
fn ep11_reply<'a>(queue: &Queue, reply: &'a [u8]) -> Result<(u32, u32, &'a [u8]), Stop> {
    let apqn = queue.apqn;
    let header = match parse_reply(reply) {
        Ok(Reply::Coprocessor(header)) if header.reply_code == 0 => header,
        Ok(other) => return Err(failed!("{apqn}: {}", exchange::unexpected(&other))),
        Err(error) => return Err(failed!("{apqn}: malformed reply: {error}")),
    };
    let malformed = || failed!("{apqn}: malformed EP11 reply");
    let (cprb, rest) = header.block(reply, 0).and_then(<[u8]>::split_first_chunk).ok_or_else(malformed)?;
    let cprb = Ep11Cprb::from_bytes(cprb);
    require!(cprb.version == Ep11Cprb::VERSION, "{apqn}: CPRB version {}", cprb.version);
    require!(cprb.return_code == 0, "{apqn}: return code {:#x}", cprb.return_code);
    let (_, content, _) = rest.get(..cprb.payload_len as usize).and_then(ep11::item).ok_or_else(malformed)?;
    let (_, content) = ep11::number(content).ok_or_else(malformed)?;
    let (domain, content) = ep11::number(content).ok_or_else(malformed)?;
    let (value, content) = ep11::number(content).ok_or_else(malformed)?;
    let (_, data, _) = ep11::item(content).ok_or_else(malformed)?;
    Ok((domain, value, data))
}

fn ep11_info(guest: &Guest, query: QueryType, judge: &dyn Fn(&Queue, &[u8]) -> Outcome) -> Outcome {
    let (ap, queues) = of_mode(guest, CardMode::Ep11)?;
    for queue in &queues {
        let own = u32::from(queue.apqn.apqi.0);
        let mut request = vec![0; 512];
        let length = ep11::info_request(&mut request, own, query, 2048).unwrap_or(0);
        let reply = exchange::ask(&ap, queue.apqn, &request[..length])?;
        let (domain, value, data) = ep11_reply(queue, &reply)?;
        require!(domain == own, "{}: the reply is for domain {domain:#x}", queue.apqn);
        require!(value == 0, "{}: return value {value:#x}", queue.apqn);
        judge(queue, data)?;
    }
    Ok(())
}

/// EP11's information about the module has its 196 bytes and a serial number. AP reference 7.11.
fn ep11_module(guest: &Guest) -> Outcome {
    ep11_info(guest, QueryType::MODULE, &|queue, data| {
        let length = data.len();
        require!(length == ep11::MODULE_INFO_LEN, "{}: {length} bytes of module information", queue.apqn);
        require!(data[108..124].iter().any(|byte| *byte != 0), "{}: no serial number", queue.apqn);
        Ok(())
    })
}

/// EP11's information about a domain has its 80 bytes and is about the queue's domain. AP reference 7.11.
fn ep11_domain(guest: &Guest) -> Outcome {
    ep11_info(guest, QueryType::DOMAIN, &|queue, data| {
        let length = data.len();
        require!(length == ep11::DOMAIN_INFO_LEN, "{}: {length} bytes of domain information", queue.apqn);
        let index = u32::from_be_bytes(core::array::from_fn(|at| data[at]));
        require!(index == u32::from(queue.apqn.apqi.0), "{}: about domain {index:#x}", queue.apqn);
        Ok(())
    })
}

/// A function that EP11 does not have is refused by its return value, or by an error reply. AP reference 7.11.
fn ep11_function_not_supported(guest: &Guest) -> Outcome {
    let (ap, queues) = of_mode(guest, CardMode::Ep11)?;
    for queue in &queues {
        let mut request = vec![0; 512];
        let own = queue.apqn.apqi.0.into();
        let length = ep11::info_request(&mut request, own, QueryType::MODULE, 2048).unwrap_or(0);
        // The function stands behind the tag and length of the payload and of itself.
        request[129] = 0xee;
        let reply = exchange::ask(&ap, queue.apqn, &request[..length])?;
        if !matches!(parse_reply(&reply), Ok(Reply::Error(_))) {
            let (_, value, _) = ep11_reply(queue, &reply)?;
            require!(value != 0, "{}: return value 0 to a function that does not exist", queue.apqn);
        }
    }
    Ok(())
}

fn each_refuses(guest: &Guest, message: &dyn Fn(&Queue) -> Vec<u8>, codes: &[ErrorCode]) -> Outcome {
    let ap = guest.ap()?;
    guest.one_queue_a_card()?.iter().try_for_each(|queue| rsa_suite::refused(&ap, queue, &message(queue), codes))
}

/// A coprocessor takes no type 50, an accelerator no type 6: an error reply with code 20. AP reference 7.1.
fn type_of_another_mode_refused(guest: &Guest) -> Outcome {
    let other = |queue: &Queue| match queue.mode {
        CardMode::Accelerator => {
            let mut message = vec![0; cca_message::RANDOM_REQUEST_LEN];
            let _ = cca_message::random_request(&mut message, queue.apqn.apqi.0.into(), 16);
            message
        }
        CardMode::Cca | CardMode::Ep11 => rsa::request(Vector::PUBLIC),
    };
    each_refuses(guest, &other, &[ErrorCode::MESSAGE_TYPE])
}

/// A type that does not exist is refused by every card. AP reference 7.1 and 7.4.
fn unknown_type_refused(guest: &Guest) -> Outcome {
    let mut message = vec![0; 64];
    message[1] = 0x33;
    each_refuses(guest, &|_| message.clone(), &[ErrorCode::MESSAGE_TYPE, ErrorCode::MALFORMED_MESSAGE])
}

/// A CCA coprocessor takes nothing for EP11 and the other way round. AP reference 7.1.
fn agent_of_another_mode_refused(guest: &Guest) -> Outcome {
    let ap = guest.ap()?;
    let mut queues = guest.one_queue_a_card()?;
    queues.retain(|queue| queue.mode != CardMode::Accelerator);
    if queues.is_empty() {
        return Err(skipped!("no coprocessor in the matrix"));
    }
    queues.iter().try_for_each(|queue| {
        let domain = queue.apqn.apqi.0;
        let mut message = vec![0; 512];
        let length = match queue.mode {
            CardMode::Cca => ep11::info_request(&mut message, domain.into(), QueryType::MODULE, 2048),
            _ => cca_message::random_request(&mut message, domain.into(), 16),
        };
        let codes = [ErrorCode::MESSAGE_TYPE, ErrorCode::MALFORMED_MESSAGE, ErrorCode::INVALID_DOMAIN];
        rsa_suite::refused(&ap, queue, &message[..length.unwrap_or(0)], &codes)
    })
}

/// NQAP with the special-command bit on a queue without the facility is not taken, or the reply is an
/// error. AP reference 6.1.
fn special_command_needs_its_facility(guest: &Guest) -> Outcome {
    let ap = guest.ap()?;
    let mut queues = guest.one_queue_a_card()?;
    queues.retain(|queue| !queue.info.has(HwInfo::APSC));
    if queues.is_empty() {
        return Err(skipped!("every card has the special-command facility"));
    }
    for queue in &queues {
        let status =
            ap.nqap_with(Gr0::nqap(queue.apqn).with(Gr0::BIT_41), exchange::next_psmid(), &request::message(queue));
        require_refused(&ap, queue, status)?;
    }
    Ok(())
}

fn require_refused(ap: &Ap, queue: &Queue, status: QueueStatus) -> Outcome {
    match status.response() {
        ResponseCode::REQ_FAC_NOT_INST => Ok(()),
        ResponseCode::NORMAL => {
            let mut buffer = vec![0; 4096];
            let (_, length) = exchange::receive_any(ap, queue.apqn, &mut buffer)
                .map_err(|_| failed!("{}: no reply to a special command", queue.apqn))?;
            let error = matches!(parse_reply(&buffer[..length]), Ok(Reply::Error(_)));
            require!(error, "{}: a special command was carried out", queue.apqn);
            Ok(())
        }
        _ => Err(failed!("{} answered {status} to a special command", queue.apqn)),
    }
}

/// All domains of a CCA coprocessor have one serial number. AP reference 7.9.
fn same_serial_number_in_every_domain(guest: &Guest) -> Outcome {
    let (ap, queues) = of_mode(guest, CardMode::Cca)?;
    let mut first: Option<(Queue, Vec<u8>)> = None;
    for queue in queues {
        let reply = exchange::ask(&ap, queue.apqn, &master_keys::query(&queue, *b"STATICSA"))?;
        let serial = Vec::from(answered(&queue, &reply)?.parameters.rules.get(..8).unwrap_or_default());
        match &first {
            Some((of, known)) if of.apqn.apid == queue.apqn.apid => {
                require!(*known == serial, "{} and {} have different serial numbers", of.apqn, queue.apqn);
            }
            _ => first = Some((queue, serial)),
        }
    }
    Ok(())
}
