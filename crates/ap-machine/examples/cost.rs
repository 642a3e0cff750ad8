// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the machine costs in process: TAPQ, NQAP with DQAP, RSA-2048 CRT against the big-integer crate alone, and a
//! machine of 65,536 queues. Run it in a release build; nine interleaved rounds, a line for each figure of each round,
//! as the guest's suite `bench` prints them: `cargo xtask bench` makes a table of both.

use std::hint::black_box;
use std::time::Instant;

use ap_arch::message::type50::{self, CrtKey};
use ap_arch::{Apqn, FunctionCode, Gr0};
use ap_machine::{Configuration, Instruction, Machine, Operands, Outcome, Topology};
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, ConcatenatingMul, Odd, Resize};

const QUEUE: Apqn = Apqn::new(5, 0x33);
const BUFFER: u64 = 0x1000;

struct Guest {
    configuration: std::sync::Arc<Configuration>,
    /// The message at 0, the buffer behind it.
    storage: Vec<u8>,
}

impl Guest {
    fn new() -> Self {
        let topology: Topology = "05=cex8a/33".parse().expect("a topology");
        let configuration = Configuration::host(&Machine::new(&topology).expect("a machine"));
        Self { configuration, storage: vec![0; 0x4000] }
    }

    fn execute(&mut self, insn: Instruction, operands: &Operands) -> Outcome {
        self.configuration.execute(insn, operands, &mut self.storage)
    }

    fn tapq(&mut self) {
        let gr0 = Gr0::pqap(FunctionCode::TAPQ, QUEUE).0;
        black_box(self.execute(Instruction::Pqap, &Operands { gr0, ..Operands::default() }));
    }

    fn exchange(&mut self, len: u64) {
        let (r1, r2) = (4, 6);
        let send = Operands { gr0: Gr0::nqap(QUEUE).0, r2: [0, len], ..Operands::default() };
        black_box(self.execute(Instruction::Nqap { r1, r2 }, &send));
        let receive = Operands { gr0: Gr0::dqap(QUEUE).0, r2: [BUFFER, 4096], ..Operands::default() };
        black_box(self.execute(Instruction::Dqap { r1, r2 }, &receive));
    }
}

/// Nanoseconds for one of `count` calls.
fn time(count: u32, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| work());
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

/// A key that is none: odd numbers in the place of primes cost the same.
struct Numbers {
    p: Vec<u8>,
    q: Vec<u8>,
    exponent: Vec<u8>,
    input: Vec<u8>,
}

impl Numbers {
    fn new() -> Self {
        Self { p: vec![0xd5; 128], q: vec![0xe7; 128], exponent: vec![0xc3; 128], input: vec![0x42; 256] }
    }

    fn request(&self, out: &mut [u8]) -> u64 {
        let key = CrtKey { p: &self.p, q: &self.q, dp: &self.exponent, dq: &self.exponent, u: &self.exponent };
        type50::crt(out, &key, &self.input).expect("a message") as u64
    }

    /// The crate alone, everything that depends on the key alone prepared.
    fn direct(&self) -> impl Fn() -> BoxedUint {
        let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
        let params =
            |bytes: &[u8]| BoxedMontyParams::new_vartime(Odd::new(number(bytes)).into_option().expect("an odd number"));
        let (p, q, q_value) = (params(&self.p), params(&self.q), number(&self.q));
        let (exponent, input) = (number(&self.exponent), number(&self.input));
        let reduced = |number: &BoxedUint, params: &BoxedMontyParams| {
            let rest = number.rem_vartime(params.modulus().as_nz_ref());
            BoxedMontyForm::new(rest.resize_unchecked(params.bits_precision()), params)
        };
        let u = reduced(&exponent, &p);
        move || {
            let m_p = reduced(&input, &p).pow(&exponent);
            let m_q = reduced(&input, &q).pow(&exponent).retrieve();
            let h = m_p.sub(&reduced(&m_q, &p)).mul(&u).retrieve().concatenating_mul(&q_value);
            let width = h.bits_precision();
            h.wrapping_add(m_q.resize_unchecked(width))
        }
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn main() {
    const ROUNDS: usize = 9;
    let mut guest = Guest::new();
    let numbers = Numbers::new();
    let direct = numbers.direct();
    let mut rsa = Guest::new();
    let len = numbers.request(&mut rsa.storage);
    let [mut tapq, mut short, mut card, mut alone] = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        tapq.push(time(1_000_000, || guest.tapq()));
        short.push(time(200_000, || guest.exchange(64)));
        let (through, without) = (time(40, || rsa.exchange(len)), time(40, || drop(black_box(direct()))));
        card.push(through);
        alone.push(without);
    }
    let nanoseconds = |name: &str, figures: &[f64]| {
        figures.iter().for_each(|each| println!("bench: name={name} ns-each={each:.0}"));
    };
    nanoseconds("tapq-machine", &tapq);
    nanoseconds("nqap-dqap-64-machine", &short);
    nanoseconds("rsa-2048-crt-machine", &card);
    nanoseconds("rsa-2048-crt-crate", &alone);

    let topology: Topology = "00-ff=cex8a/00-ff".parse().expect("a topology");
    let (before, start) = (resident_kib(), Instant::now());
    let machine = Machine::new(&topology).expect("a machine");
    println!("bench: name=queues-build value={:.1} unit=ms", start.elapsed().as_secs_f64() * 1e3);
    println!("bench: name=queues-memory value={} unit=KiB", resident_kib() - before);
    let mut all = Guest { configuration: Configuration::host(&machine), storage: vec![0; 0x4000] };
    for apqn in Apqn::all() {
        let send = Operands { gr0: Gr0::nqap(apqn).0, r2: [0, 64], ..Operands::default() };
        all.execute(Instruction::Nqap { r1: 4, r2: 6 }, &send);
    }
    println!("bench: name=queues-memory-used value={} unit=KiB", resident_kib() - before);
}
