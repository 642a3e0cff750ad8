// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a hunt does: steps that are drawn without knowledge of any finding. What can be done at a moment is likelier
//! than what cannot, and each sequence draws from some kinds of calls only, so that what ends most sequences does not
//! end all of them (Groce et al., Swarm Testing, ISSTA 2012).

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vfio_mig::DeviceState;
use vfio_mig::conformance::B;
use vfio_mig::sequence::{Act, Action, Sequence, Step};

use super::play::{EXTRA, ORDER};

/// Steps of a sequence that is played once: fewer meet each other too seldom, more are shrunk too long.
const STEPS: std::ops::RangeInclusive<usize> = 4..=20;
/// Steps of a sequence that is played again and again.
const ROUND: std::ops::RangeInclusive<usize> = 2..=6;
/// How often, where luck may help, and where another allocation fails each time.
const LUCKY_ROUNDS: u32 = 30;
/// Acts that begin at the same moment.
const TOGETHER: std::ops::RangeInclusive<usize> = 2..=4;
/// Bytes beyond which a stream of the hosts here does not go; places and sizes are drawn up to it.
const STREAM: usize = 112;
/// A long copy.
const PAGE: usize = 4096;
/// The most allocations that a call of the driver makes, about.
pub(super) const ALLOCATIONS: u32 = 80;
/// Up to here places of bytes are drawn: structures begin with what matters.
const AREAS: [usize; 4] = [8, 16, 32, STREAM];
/// Adapter 04 and domain 0033 are left, no control domain.
const CONFIG: &str = "0x0800000000000000000000000000000000000000000000000000000000000000,\
                      0x0000000000001000000000000000000000000000000000000000000000000000,\
                      0x0000000000000000000000000000000000000000000000000000000000000000";
const REMOVE: &str = "@/remove";
/// What an administrator writes: value and path.
const WRITES: [(&str, &str); 11] = [
    ("1", REMOVE),
    ("5", "@/unassign_adapter"),
    (CONFIG, "@/ap_config"),
    ("7", "@/assign_adapter"),
    ("0x3a", "@/unassign_domain"),
    ("0x55", "@/assign_control_domain"),
    ("04.0033", "/sys/bus/ap/drivers/vfio_ap/unbind"),
    ("04.0033", "/sys/bus/ap/drivers/vfio_ap/bind"),
    ("06.003a", "/sys/bus/ap/drivers/vfio_ap/unbind"),
    (EXTRA, "@/../mdev_supported_types/vfio_ap-passthrough/create"),
    ("1", "@/../6b617075-0000-4000-8000-000000000001/remove"),
];
/// Of which a sequence uses so many.
const USED_WRITES: std::ops::RangeInclusive<usize> = 2..=6;
const STATES: [DeviceState; 4] =
    [DeviceState::STOP_COPY, DeviceState::RESUMING, DeviceState::STOP, DeviceState::RUNNING];

/// A kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    State,
    Question,
    Reset,
    Copy,
    Fault,
    Park,
    Begin,
    Change,
    Patch,
    Close,
    CloseDevice,
    Open,
    Echo,
    Together,
    Fail,
}

/// All kinds, and how likely each is where it can be done: what moves the device is likelier than what asks it. Then
/// the same while a call waits: what asks, and what ends its session, tells whether it holds up others or is held up.
const KINDS: [(Kind, [u32; 2]); 15] = [
    (Kind::State, [4, 4]),
    (Kind::Question, [1, 3]),
    (Kind::Reset, [1, 2]),
    (Kind::Copy, [6, 2]),
    (Kind::Fault, [1, 0]),
    (Kind::Park, [4, 2]),
    (Kind::Begin, [2, 4]),
    (Kind::Change, [0, 6]),
    (Kind::Patch, [1, 0]),
    (Kind::Close, [2, 2]),
    (Kind::CloseDevice, [2, 2]),
    (Kind::Open, [4, 1]),
    (Kind::Echo, [4, 2]),
    (Kind::Together, [2, 0]),
    (Kind::Fail, [1, 0]),
];
/// Of a kind a sequence has none, so much, or twice as much.
const FACTORS: [u32; 4] = [0, 1, 1, 2];

/// What is believed of a device: no answer is known here.
#[derive(Clone, Copy, Debug)]
struct Known {
    is_open: bool,
    /// Whether its stream is written; nothing if there is none.
    writes: Option<bool>,
}

/// Draws one sequence.
#[derive(Debug)]
pub(super) struct Draw {
    random: StdRng,
    weights: [[u32; 2]; KINDS.len()],
    writes: Vec<(&'static str, &'static str)>,
    devices: [Known; 2],
    waiting: usize,
    /// The device of whose calls the newest waits.
    held: Option<usize>,
    is_repeated: bool,
}

impl Draw {
    /// That of a seed with this number.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        // Numbers that follow each other have nothing to do with each other.
        let mut random = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let weights = KINDS.map(|(_, weights)| {
            let factor = FACTORS[random.random_range(0..FACTORS.len())];
            weights.map(|weight| weight * factor)
        });
        let count = random.random_range(USED_WRITES);
        let writes = (0..count).map(|_| WRITES[random.random_range(0..WRITES.len())]).collect();
        let is_repeated = random.random_ratio(1, 6);
        let fresh = Known { is_open: true, writes: None };
        Self { random, weights, writes, devices: [fresh; 2], waiting: 0, held: None, is_repeated }
    }

    /// It.
    pub(super) fn sequence(mut self) -> Sequence {
        let count = if self.is_repeated { ROUND } else { STEPS };
        let count = self.random.random_range(count);
        let mut steps = Vec::new();
        if self.random.random_ratio(1, 8) {
            let act = Act::Echo { value: "1".to_owned(), path: ORDER.to_owned() };
            steps.push(Step { device: None, action: Action::Plain(act) });
        }
        // Much can be done in a session only.
        let begins = self.random.random_ratio(1, 2);
        // Of what is repeated one step needs it: luck, or another allocation each time.
        let needed = if self.random.random_ratio(1, 2) { Kind::Together } else { Kind::Fail };
        let place = self.is_repeated.then(|| self.random.random_range(0..count));
        for number in 0..count {
            let wanted =
                if place == Some(number) { Some(needed) } else { (number == 0 && begins).then_some(Kind::State) };
            let step = self.step(wanted);
            steps.push(step);
        }
        if self.is_repeated {
            let rounds = if needed == Kind::Fail { ALLOCATIONS } else { LUCKY_ROUNDS };
            steps.push(Step { device: None, action: Action::Again(rounds) });
        }
        Sequence(steps)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.random_range(0..all.len())]
    }

    fn step(&mut self, kind: Option<Kind>) -> Step {
        // What waits holds up others.
        if self.waiting > 0 && self.random.random_ratio(1, 2) {
            self.waiting -= 1;
            return Step { device: None, action: Action::Release };
        }
        let device = match self.held {
            Some(held) if self.waiting > 0 && self.random.random_ratio(1, 2) => held,
            _ => usize::from(self.random.random_ratio(1, 3)),
        };
        let kind = kind.unwrap_or_else(|| self.kind(device));
        let action = match kind {
            Kind::Fault => Action::Fault(self.place(), self.copy(device)),
            Kind::Park => {
                (self.waiting, self.held) = (self.waiting + 1, Some(device));
                Action::Park(self.place(), self.copy(device))
            }
            Kind::Begin => {
                (self.waiting, self.held) = (self.waiting + 1, Some(device));
                Action::Begin(self.verb(device))
            }
            Kind::Change => Action::Change(self.place(), self.bytes()),
            Kind::Patch => Action::Patch(self.place(), self.bytes()),
            Kind::Together => {
                let count = self.random.random_range(TOGETHER);
                Action::Together((0..count).map(|_| self.verb(device)).collect())
            }
            Kind::Fail => {
                let number = self.random.random_range(1..=ALLOCATIONS);
                let kind = self.one_of(&[Kind::State, Kind::Copy, Kind::Open, Kind::Echo]);
                Action::Fail((!self.is_repeated).then_some(number), self.act(kind, device))
            }
            _ => Action::Plain(self.act(kind, device)),
        };
        Step { device: (device == 1).then(|| B.to_owned()), action }
    }

    /// One that is likely and can be done now; now and then one that cannot.
    fn kind(&mut self, device: usize) -> Kind {
        let (known, waiting, anything) = (self.devices[device], self.waiting, self.random.random_ratio(1, 8));
        let is_repeated = self.is_repeated;
        let can_be = |kind: Kind| match kind {
            // Whoever waits takes time in every round.
            Kind::Park | Kind::Begin if is_repeated => false,
            Kind::State | Kind::Question | Kind::Reset | Kind::CloseDevice | Kind::Begin | Kind::Together => {
                known.is_open
            }
            Kind::Copy | Kind::Fault | Kind::Park | Kind::Close => known.writes.is_some(),
            Kind::Open => !known.is_open,
            Kind::Change | Kind::Patch | Kind::Echo | Kind::Fail => true,
        };
        let weight = |(kind, weight): (Kind, u32)| (kind, if anything || can_be(kind) { weight } else { 0 });
        let now = usize::from(waiting > 0);
        let all = std::array::from_fn::<_, { KINDS.len() }, _>(|at| weight((KINDS[at].0, self.weights[at][now])));
        let sum: u32 = all.iter().map(|(_, weight)| weight).sum();
        if sum == 0 {
            return if known.is_open { Kind::State } else { Kind::Open };
        }
        let mut left = self.random.random_range(0..sum);
        for (kind, weight) in all {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        Kind::State
    }

    /// A call of this kind, and what is believed after it.
    fn act(&mut self, kind: Kind, device: usize) -> Act {
        let known = self.devices[device];
        let (act, known) = match kind {
            Kind::Question => (if self.random.random_ratio(1, 2) { Act::Get } else { Act::Size }, known),
            Kind::Reset => (Act::Reset, known),
            Kind::Close => (Act::Close, Known { writes: None, ..known }),
            Kind::CloseDevice => (Act::CloseDevice, Known { is_open: false, ..known }),
            Kind::Open => (Act::Open, Known { is_open: true, ..known }),
            Kind::Copy => (self.copy(device), known),
            Kind::Echo => {
                let writes = self.writes.clone();
                let (value, path) = self.one_of(&writes);
                // A removal waits for whoever has the device open.
                if path == REMOVE && known.is_open && self.random.random_ratio(7, 8) {
                    return self.act(Kind::CloseDevice, device);
                }
                (Act::Echo { value: value.to_owned(), path: path.to_owned() }, known)
            }
            _ => {
                // Those that give a stream, where there is none.
                let states = if known.writes.is_none() { &STATES[..2] } else { &STATES[..] };
                let state = if self.random.random_ratio(1, 4) { self.one_of(&STATES) } else { self.one_of(states) };
                let writes = match state {
                    DeviceState::STOP_COPY => Some(false),
                    DeviceState::RESUMING => Some(true),
                    _ => known.writes,
                };
                (Act::Set(state), Known { writes: if known.is_open { writes } else { known.writes }, ..known })
            }
        };
        self.devices[device] = known;
        act
    }

    /// One that begins beside others.
    fn verb(&mut self, device: usize) -> Act {
        let kinds = [Kind::State, Kind::Question, Kind::Reset, Kind::Close, Kind::CloseDevice, Kind::Copy];
        let kind = self.one_of(&kinds);
        self.act(kind, device)
    }

    /// A place of a byte.
    fn place(&mut self) -> usize {
        let area = self.one_of(&AREAS);
        self.random.random_range(0..area / 4) * 4
    }

    /// The bytes of a number: small, the highest, or any.
    fn bytes(&mut self) -> Vec<u8> {
        let number = match self.random.random_range(0..3) {
            0 => self.random.random_range(0..=16),
            1 => u64::MAX,
            _ => self.random.random(),
        };
        let size = self.one_of(&[4, 8]);
        number.to_be_bytes()[8 - size..].to_vec()
    }

    /// A copy as the device's stream has them.
    fn copy(&mut self, device: usize) -> Act {
        let writes = match self.devices[device].writes {
            Some(writes) if self.random.random_ratio(7, 8) => writes,
            _ => self.random.random_ratio(1, 2),
        };
        let length = if self.random.random_ratio(1, 6) { PAGE } else { self.random.random_range(1..=STREAM) };
        match (writes, self.random.random_range(0..4)) {
            (false, _) => Act::Read(length),
            (true, 0) => Act::Write(Some(0..length)),
            (true, 1) => {
                let from = self.random.random_range(0..length);
                Act::Write(Some(from..length))
            }
            (true, _) => Act::Write(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_sequences_and_text_keeps_them() {
        let draw = |seed, number| Draw::new(seed, number).sequence();
        for number in 0..200 {
            let sequence = draw(7, number);
            assert_eq!(sequence, draw(7, number));
            assert_eq!(sequence.to_string().parse::<Sequence>().as_ref(), Ok(&sequence));
        }
        assert_ne!(draw(8, 0), draw(7, 0));
    }
}
