// SPDX-License-Identifier: MIT OR Apache-2.0
//! RSA on an accelerator queue: requests with answers that were computed elsewhere. AP reference 7.2.

use crate::ap::{Answer, Ap};
use crate::errand;
use crate::exchange::{self, Failure};
use crate::machine::progress;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use ap_arch::message::{Reply, parse_reply, type50};
use ap_arch::{Apqn, CardMode, ResponseCode};

/// Bytes of a request for 1024 bits.
const REQUEST_LEN: usize = 400;

/// A 1024-bit key with a message and its cipher, both ways computed by Python's `pow`, which knows nothing of this project:
///
/// ```python
/// def stream(label, n):                       # n bytes
///     blocks = (hashlib.sha256(b"%s %d" % (label, i)).digest() for i in itertools.count())
///     return int.from_bytes(b"".join(itertools.islice(blocks, n // 32 + 1))[:n], "big")
/// def prime(label):                           # 512 bits, the two highest set, the next prime for e = 65537
///     c = stream(label, 64) | 3 << 510 | 1
///     while not is_prime(c) or (c - 1) % 65537 == 0: c += 2
///     return c
/// p, q = prime(b"kaput p"), prime(b"kaput q")
/// modulus, private_exponent = p * q, pow(65537, -1, (p - 1) * (q - 1))
/// plain = stream(b"kaput message", 127)
/// cipher = pow(plain, 65537, modulus)
/// assert pow(cipher, private_exponent, modulus) == plain
/// ```
mod known {
    pub(super) const PUBLIC_EXPONENT: &[u8] = &[1, 0, 1];
    pub(super) const MODULUS: [u8; 128] = super::hex(concat!(
        "c7ba97eee618d922973fc04343c70b5343819936eb1dc4f3f5324a5c2178a33a1b350c24a58d15c57169e24ec7c0bbbd",
        "04ccfc71b39985ae06314464cbfb6ba99cef5c05c190546c442adce453ce648aaea1024d65aa5aaa49dcf14c2b0cdcd7",
        "ed97ee548ca27f07ccedd2fbf8a4f02a4e25702cc29acd5d393499ace4e758e5",
    ));
    pub(super) const PRIVATE_EXPONENT: [u8; 128] = super::hex(concat!(
        "6416a3d0ba4a3575da29be6576efa643418f0e82b0ec2828c0f544c24a9bb3e08885dae1fa7c6b2e98992129ad7c6e18",
        "58f188884a2263154451281f0301a97f613e3a8bbf1dff02ab698a398facc638a7ca0910a407b51a62c904ff9744843a",
        "157f300a6955599595fc846546c62b13282719b3a7438c27e2e29c3444634839",
    ));
    pub(super) const PLAIN: [u8; 128] = super::hex(concat!(
        "009817269b756959c3fb52b2ed23372986d652f96eb2032b12e5bc80e300d0b42ea3826ac3af4db3e7f1cf01b7dfc758",
        "59e2a373ba04de2b8559bf855d7155ee5cc5f332d70e400031252d2c1da4833d1a53a767f55eb1f13895827bfb4e99fd",
        "ddb577d2e32bd318bdc86af907a9240a1b821e9a02bb40c1a9f9d7355a188a31",
    ));
    pub(super) const CIPHER: [u8; 128] = super::hex(concat!(
        "72b1761d29abb291c94ec2234b0c1f6be28b850f1aef3992e5e004ac048be6c95df8e8752420a88a983f1d5a5e825818",
        "bb680da6ecbd828833d169f032f5a7edabba27839fed6bda18cf648ca294585ad514b677931eadf7cd77cda86dd5cf63",
        "74b0eeb19c10216fbca2c31e7e5f8a0ff730b3e3bf3e004fab7ad5bc8719dac6",
    ));
}

/// One modular exponentiation with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vector {
    /// With the private exponent, 1024 bits of it.
    Private,
    /// With the public exponent 65537, which is much faster.
    Public,
}

impl Vector {
    fn exponent_input_answer(self) -> (&'static [u8], &'static [u8], &'static [u8]) {
        match self {
            Self::Private => (&known::PRIVATE_EXPONENT, &known::CIPHER, &known::PLAIN),
            Self::Public => (known::PUBLIC_EXPONENT, &known::PLAIN, &known::CIPHER),
        }
    }
}

/// Those of the queues that are operational and belong to an accelerator.
pub(crate) fn accelerators(queues: &[(Apqn, Answer)]) -> Vec<Apqn> {
    let usable = |answer: &Answer| {
        answer.status.response() == ResponseCode::NORMAL && answer.info.mode() == Some(CardMode::Accelerator)
    };
    queues.iter().filter(|(_, answer)| usable(answer)).map(|(apqn, _)| *apqn).collect()
}

/// The request to compute the vector.
pub(crate) fn request(vector: Vector) -> Vec<u8> {
    let (exponent, input, _) = vector.exponent_input_answer();
    let mut message = vec![0; REQUEST_LEN];
    // All operands have 1024 bits at most, and the buffer is as long as the request for these.
    let length = type50::mex(&mut message, &known::MODULUS, exponent, input).unwrap_or(0);
    message.truncate(length);
    message
}

/// Whether this is the right reply to the request; if not, what it is.
pub(crate) fn judge(vector: Vector, reply: &[u8]) -> Result<(), String> {
    let (_, _, answer) = vector.exponent_input_answer();
    match parse_reply(reply) {
        Ok(Reply::Rsa(result)) if right_justified(result, answer) => Ok(()),
        Ok(Reply::Rsa(_)) => Err("wrong result".into()),
        Ok(other) => Err(errand::unexpected(&other)),
        Err(error) => Err(format!("malformed reply: {error}")),
    }
}

/// Has the queue compute the vector, and counts a right answer as progress.
pub(crate) fn compute(ap: &Ap, apqn: Apqn, vector: Vector) -> Result<(), Failure> {
    let psmid = exchange::next_psmid();
    exchange::send(ap, apqn, psmid, &request(vector))?;
    let mut buffer = [0; 1024];
    let reply = exchange::receive(ap, apqn, psmid, &mut buffer)?;
    judge(vector, reply).map_err(|reason| Failure::Wrong(format!("{apqn}: {reason}")))?;
    progress::step();
    Ok(())
}

fn right_justified(result: &[u8], answer: &[u8]) -> bool {
    result.strip_suffix(answer).is_some_and(|padding| padding.iter().all(|byte| *byte == 0))
}

/// Bytes from their hex digits, at compile time.
const fn hex<const N: usize>(digits: &str) -> [u8; N] {
    const fn value(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            _ => digit - b'a' + 10,
        }
    }
    let digits = digits.as_bytes();
    assert!(digits.len() == 2 * N);
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = value(digits[2 * i]) << 4 | value(digits[2 * i + 1]);
        i += 1;
    }
    bytes
}
