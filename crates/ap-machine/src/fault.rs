// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults planted in the machine, to see whether a guest's tests notice: the topology's key `faults` names them, and
//! each stands in [`FAULTS`] with the case of the guest image that must fail for it.
//!
//! A fault acts from outside, around the sound machine: on the operands before an instruction, on its storage accesses,
//! on its outcome, on notifications. So the sound machine has no trace of them but one question at its door.

use crate::interrupt::{Notification, Notifications};

macro_rules! faults {
    ($($variant:ident $name:literal $case:literal $what:literal;)+) => {
        /// A fault that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault { $(#[doc = $what] $variant),+ }

        /// All faults that can be planted.
        pub const FAULTS: &[PlantedFault] = &[$(
            PlantedFault { fault: Fault::$variant, name: $name, case: $case, what: $what }
        ),+];
    };
}

/// A fault by its name, with the case that notices it.
#[derive(Clone, Copy, Debug)]
pub struct PlantedFault {
    fault: Fault,
    /// What the topology calls it.
    pub name: &'static str,
    /// The case of the guest image that fails for it, as `suite/case`. The machine needs all three facilities, one
    /// accelerator and one CCA coprocessor with two domains each, and the guest an `expect=`; a suite `migration-*`
    /// needs a migration besides.
    pub case: &'static str,
    /// What is wrong then.
    pub what: &'static str,
}

faults! {
    ProblemStateAllowed "problem-state-allowed" "privileged/tapq" "AP instructions execute in the problem state.";
    UndefinedFunctionIsTapq "undefined-function-is-tapq" "pqap-exceptions/undefined-functions"
        "A function code above 8 is taken for TAPQ.";
    TapqReservedBitsIgnored "tapq-reserved-bits-ignored" "pqap-exceptions/tapq-reserved-bits"
        "TAPQ ignores bits 41-47 of GR0.";
    RapqReservedBitsIgnored "rapq-reserved-bits-ignored" "pqap-exceptions/rapq-reserved-bits"
        "RAPQ ignores bits 42-47 of GR0.";
    ZapqReservedBitsIgnored "zapq-reserved-bits-ignored" "pqap-exceptions/zapq-reserved-bits"
        "ZAPQ ignores bits 42-47 of GR0.";
    AqicReservedBitsIgnored "aqic-reserved-bits-ignored" "pqap-exceptions/aqic-reserved-bits"
        "AQIC ignores bits 41-47 of GR0.";
    QciReservedBitsIgnored "qci-reserved-bits-ignored" "pqap-exceptions/qci-reserved-bits"
        "QCI ignores bits 41-47 of GR0.";
    QciAlignmentIgnored "qci-alignment-ignored" "pqap-exceptions/qci-operand-not-aligned"
        "QCI rounds the address of its block down to a doubleword boundary.";
    BestApExecutes "best-ap-executes" "pqap-exceptions/best-ap-operand-not-aligned"
        "Function 6 executes and does nothing.";
    QciStoresBeforeTheCheck "qci-stores-before-the-check" "pqap-exceptions/qci-operand-beyond-storage"
        "QCI stores the beginning of its block before it finds that the rest cannot be stored.";
    UnbindBitRefused "unbind-bit-refused" "reset/unbind-bit-accepted" "RAPQ and ZAPQ refuse bit 41 of GR0.";
    AddressingIsProtection "addressing-is-protection" "nqap-exceptions/message-beyond-storage"
        "What should be an addressing exception is a protection exception.";
    NqapOddIdentifierTaken "nqap-odd-identifier-register-taken" "nqap-exceptions/odd-identifier-register"
        "NQAP takes an odd register for the identifier.";
    NqapOddMessageTaken "nqap-odd-message-register-taken" "nqap-exceptions/odd-message-register"
        "NQAP takes an odd register for the message.";
    NqapBit32Ignored "nqap-bit-32-ignored" "nqap-exceptions/bit-32" "NQAP ignores bit 32 of GR0.";
    NqapBit34Ignored "nqap-bit-34-ignored" "nqap-exceptions/bit-34" "NQAP ignores bit 34 of GR0.";
    NqapBit35Ignored "nqap-bit-35-ignored" "nqap-exceptions/bit-35" "NQAP ignores bit 35 of GR0.";
    NqapBit40Ignored "nqap-bit-40-ignored" "nqap-exceptions/bit-40" "NQAP ignores bit 40 of GR0.";
    NqapLength0Taken "nqap-length-0-taken" "nqap-exceptions/length-0" "NQAP takes a message of no bytes.";
    NqapLengthOf32Bits "nqap-length-of-32-bits" "nqap-exceptions/length-with-high-bits"
        "NQAP looks at the low word of the length only.";
    NqapMaximumIgnored "nqap-maximum-ignored" "nqap-exceptions/length-above-the-maximum"
        "NQAP takes the beginning of a message that is too long.";
    DqapOddBufferTaken "dqap-odd-buffer-register-taken" "dqap-exceptions/odd-buffer-register"
        "DQAP takes an odd register for the buffer.";
    DqapBit33Ignored "dqap-bit-33-ignored" "dqap-exceptions/bit-33" "DQAP ignores bit 33 of GR0.";
    DqapBit41Ignored "dqap-bit-41-ignored" "dqap-exceptions/bit-41" "DQAP ignores bit 41 of GR0.";
    DqapLength0Taken "dqap-length-0-taken" "dqap-exceptions/length-0" "DQAP takes a buffer of no bytes.";
    DqapLengthOf32Bits "dqap-length-of-32-bits" "dqap-exceptions/length-with-high-bits"
        "DQAP looks at the low word of the length only.";
    DqapLosesUnstorableReply "dqap-loses-unstorable-reply" "dqap-exceptions/buffer-beyond-storage"
        "A reply that cannot be stored is gone.";
    QciCc3 "qci-condition-code-3" "config-info/condition-code-0" "QCI stores the block with condition code 3.";
    QciReservedByte "qci-reserved-byte" "config-info/reserved-bytes-are-zero" "Byte 6 of the QCI block is not zero.";
    QciBlockTooLong "qci-block-too-long" "config-info/nothing-stored-beyond-the-block"
        "QCI stores eight bytes more than its block has.";
    QciForgetsControlDomains "qci-forgets-control-domains" "config-info/matrix-as-expected"
        "QCI reports no control domains.";
    QciForeignAdapter "qci-foreign-adapter" "queues/inside-the-matrix-available"
        "QCI reports adapter 00, which is not there.";
    OutsideQueueAvailable "outside-queue-available" "queues/outside-the-matrix-not-available"
        "TAPQ of queue 09.0009, which is not there, answers 00.";
    TapqCc0 "tapq-condition-code-0" "queues/condition-code-follows-the-response-code"
        "TAPQ always sets condition code 0.";
    EmptyBitMissing "empty-bit-missing" "queues/idle-queue-is-empty" "TAPQ never says that a queue is empty.";
    ReservedStatusBit "reserved-status-bit" "queues/reserved-status-bits-are-zero"
        "Bit 63 of the status word is one.";
    TwoModes "two-modes" "queues/one-mode-and-a-known-type" "Every card reports two modes.";
    NoClassification "no-classification" "queues/one-classification" "No card reports its classification.";
    ReservedInformation "reserved-information" "queues/reserved-information-is-zero"
        "A reserved bit of the hardware information is one.";
    DepthByDomain "depth-by-domain" "queues/domains-of-a-card-agree" "Odd domains report another queue depth.";
    FacilitiesWithoutT "facilities-without-t" "queues/no-facilities-without-the-t-bit"
        "TAPQ reports the facilities without the T bit.";
    ResetOutsideAnswers00 "reset-outside-answers-00" "queues/outside-the-matrix-refuses-resets"
        "RAPQ and ZAPQ of queues that are not there answer 00.";
    RapqDoesNothing "rapq-does-nothing" "reset/rapq-discards-replies" "RAPQ answers 00 and does nothing.";
    ZapqDoesNothing "zapq-does-nothing" "reset/zapq-discards-replies" "ZAPQ answers 00 and does nothing.";
    RapqBusy "rapq-busy" "reset/rapq-ends" "RAPQ always answers 05.";
    ResetOfTheWholeCard "reset-of-the-whole-card" "reset/other-queues-keep-their-replies"
        "A reset empties all queues of the card.";
    ResetKeepsInterruption "reset-keeps-interruption" "interrupts/off-after-rapq"
        "After a reset interruption is on as before.";
    IdentifierOf32Bits "identifier-of-32-bits" "messages/identifier-of-64-bits"
        "DQAP delivers the low word of the identifier only.";
    ReplyToAnother "reply-to-another" "messages/every-request-has-its-reply"
        "DQAP delivers an identifier that differs in its last bit.";
    EmptyQueueAnswers00 "empty-queue-answers-00" "messages/empty-queue-has-no-reply"
        "DQAP of an empty queue answers 00.";
    AlwaysEmpty "always-empty" "messages/not-empty-until-the-last-reply" "TAPQ says that every queue is empty.";
    RepliesNeverWait "replies-never-wait" "messages/reply-waiting-is-told" "TAPQ never says that a reply waits.";
    DepthOneLess "depth-one-less" "messages/full-at-its-depth" "A queue takes one message less than TAPQ reports.";
    FullBitMissing "full-bit-missing" "messages/full-at-its-depth" "NQAP never says that a queue is full.";
    QueuesMix "queues-mix" "messages/queues-do-not-mix"
        "A message goes into the first queue of its card, whichever it is for.";
    TruncatedReplyLost "truncated-reply-lost" "messages/truncated-reply-begins-again"
        "What does not fit into the buffer is gone.";
    ResidualWrong "residual-wrong" "messages/reply-longer-than-the-buffer"
        "DQAP reports one byte more to come than there is.";
    ContinuationBeginsAgain "continuation-begins-again" "messages/reply-longer-than-the-buffer"
        "DQAP always begins at the beginning of a reply.";
    NqapOutsideAnswers00 "nqap-outside-answers-00" "messages/nqap-outside-the-matrix"
        "NQAP to a queue that is not there answers 00.";
    DqapOutsideAnswers10 "dqap-outside-answers-10" "messages/dqap-outside-the-matrix"
        "DQAP from a queue that is not there answers 10.";
    ByteAtAddress0Taken "byte-at-address-0-taken" "interrupts/byte-at-address-0-refused"
        "AQIC takes address 0 for the notification byte.";
    ByteBeyondStorageTaken "byte-beyond-storage-taken" "interrupts/byte-beyond-storage-refused"
        "AQIC takes an address without storage for the notification byte.";
    DisableAgainAnswers00 "disable-again-answers-00" "interrupts/disable-while-disabled"
        "Disabling what is disabled answers 00.";
    EnableAgainAnswers00 "enable-again-answers-00" "interrupts/enable-while-enabled"
        "Enabling what is enabled answers 00.";
    EnableAgainReplaces "enable-again-replaces" "interrupts/enable-again-keeps-the-first-registration"
        "Enabling what is enabled answers 07 and replaces the registration.";
    DisableDoesNothing "disable-does-nothing" "interrupts/disable-succeeds" "Disabling answers 00 and does nothing.";
    ByteElsewhere "byte-elsewhere" "interrupts/byte-before-the-interruption"
        "The notification byte is stored eight bytes behind its place.";
    WrongSubclass "wrong-subclass" "interrupts/every-subclass" "Interruptions have another subclass than asked for.";
    InterruptionLost "interruption-lost" "interrupts/reply-interrupts" "Nothing is ever notified.";
    NotificationsRepeat "notifications-repeat" "migration-messages/all-gone-or-all-intact"
        "What was notified once is notified again without end.";
    WrongResult "wrong-result" "rsa/mex-1024" "The last byte of every long reply is wrong.";
    WrongErrorCode "wrong-error-code" "rsa/even-modulus-refused" "Every error reply has code 10.";
    RandomIsZero "random-is-zero" "random/sixty-four-bytes" "Random numbers are zero.";
    ReturnCodeHidden "return-code-hidden" "card-info/cca-unknown-rule" "Every CCA reply has return code 0.";
}

/// The faults of one machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Box<[Fault]>);

impl Faults {
    /// Those with these names; names that nothing has are left out, [`unknown`] finds them.
    pub(crate) fn named(names: &[String]) -> Self {
        let known = names.iter().filter_map(|name| FAULTS.iter().find(|planted| planted.name == name));
        Self(known.map(|planted| planted.fault).collect())
    }

    /// Whether the machine is sound.
    pub(crate) fn none(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    /// What they make of notifications that were taken out of those that wait.
    pub(crate) fn notifications(
        &self,
        mut notifications: Vec<Notification>,
        waiting: &Notifications,
    ) -> Vec<Notification> {
        if self.has(Fault::NotificationsRepeat) {
            notifications.iter().for_each(|notification| waiting.notify(*notification));
        }
        if self.has(Fault::InterruptionLost) {
            notifications.clear();
        }
        for notification in &mut notifications {
            if self.has(Fault::ByteElsewhere) {
                notification.nib = notification.nib.wrapping_add(8);
            }
            if self.has(Fault::WrongSubclass) {
                notification.isc ^= 1;
            }
        }
        notifications
    }
}

/// The first name that no fault has.
pub(crate) fn unknown(names: &[String]) -> Option<&str> {
    names.iter().map(String::as_str).find(|name| FAULTS.iter().all(|planted| planted.name != *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_own_name_and_a_case() {
        for (index, planted) in FAULTS.iter().enumerate() {
            assert!(FAULTS[..index].iter().all(|other| other.name != planted.name), "{}", planted.name);
            assert!(planted.case.split_once('/').is_some(), "{}", planted.name);
        }
        assert!(FAULTS.len() >= 40);
    }

    #[test]
    fn a_name_that_no_fault_has_is_found() {
        let names = ["qci-reserved-byte".to_owned(), "gremlin".to_owned()];
        assert_eq!(unknown(&names), Some("gremlin"));
        assert!(Faults::named(&names).has(Fault::QciReservedByte) && !Faults::named(&names).none());
    }

    #[test]
    fn the_case_of_every_fault_is_one_of_the_guest_image() {
        let suites = concat!(env!("CARGO_MANIFEST_DIR"), "/../../src/suites/");
        for planted in FAULTS {
            let (suite, case) = planted.case.split_once('/').unwrap();
            let path = format!("{suites}{}.rs", suite.replace("migration-", "migration/").replace('-', "_"));
            let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let (_, list) = source.split_once("cases!(").unwrap_or_else(|| panic!("{path}: no list of cases"));
            let (list, _) = list.split_once(");\n").unwrap_or_else(|| panic!("{path}: the list has no end"));
            let name = case.replace('-', "_");
            let listed = |line: &str| line.trim().strip_prefix(&*name).is_some_and(|rest| rest.starts_with([',', ':']));
            assert!(list.lines().any(listed), "{}: {path} has no {case}", planted.name);
        }
    }
}
