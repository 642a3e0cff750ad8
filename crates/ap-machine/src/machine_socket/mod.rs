// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine that another process owns: [`Configuration::execute`] as frames on a socket. An instruction goes to the
//! owner with what it will need of storage, and comes back with what is to be stored: one round trip. What could not be
//! foretold, because storage is not there or the owner wants other bytes, the owner asks back for. Both sides run on
//! one CPU meanwhile: most of the time such an instruction takes is that of waking somebody.
//!
//! Both sides begin with a greeting that says which build they are: frames of another one are not understood.
//!
//! For the lab, where several QEMUs share one machine. Notifications do not come over: such a guest polls. In process
//! nobody comes by here.

mod frame;
mod near;

use std::os::unix::net::UnixStream;

use ap_arch::{ConditionCode, FunctionCode, Gr0, ProgramCode, QciBlock};

use self::frame::{Frame, Frames, Received};
use self::near::Follower;
use crate::{Configuration, Instruction, OperandMemory, Operands, Outcome, ProgramException, RegisterWrites};

pub use self::near::may_move;

/// The longest operand, in bytes: the length field of a message has no more.
const LONGEST_OPERAND: u64 = 1 << 16;

/// Which build this is, by the sources of what goes over the socket.
const BUILD: u64 = digest(&[include_bytes!("mod.rs"), include_bytes!("frame.rs")]);

/// FNV-1a, 64 bits.
const fn digest(sources: &[&[u8]]) -> u64 {
    let (mut digest, mut source) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while source < sources.len() {
        let mut at = 0;
        while at < sources[source].len() {
            digest = (digest ^ sources[source][at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        source += 1;
    }
    digest
}

// What a frame is. From the CPU: an instruction with its registers and where it runs, or what storage answers.
const EXECUTE: u8 = 1;
const STORAGE: u8 = 2;
const STORAGE_EXCEPTION: u8 = 3;
// From the owner: a question about storage, or the end.
const FETCH: u8 = 4;
const CHECK_STORE: u8 = 5;
const STORE: u8 = 6;
const IS_VALID: u8 = 7;
const COMPLETED: u8 = 8;
const EXCEPTION: u8 = 9;
// From either, before anything else: which build it is.
const GREETING: u8 = 10;

// What goes along of the operand: nothing, its bytes, or that it can be stored into.
const NOTHING: u8 = 0;
const FETCHED: u8 = 1;
const STORABLE: u8 = 2;

/// What an instruction will want of storage, as far as its registers tell: address, length, whether to store.
fn foretold(instruction: Instruction, operands: &Operands) -> Option<(u64, u64, bool)> {
    let [address, length] = operands.r2;
    let (address, length, stores) = match instruction {
        Instruction::Nqap { .. } => (address, length, false),
        Instruction::Dqap { .. } => (address, length, true),
        Instruction::Pqap if Gr0(operands.gr0).function() == FunctionCode::QCI => {
            (operands.gr2, QciBlock::SIZE as u64, true)
        }
        Instruction::Pqap => return None,
    };
    (1..=LONGEST_OPERAND).contains(&length).then_some((address, length, stores))
}

/// Why there is no conversation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GreetingError {
    /// The other side is of another build.
    #[error("the other side is of another build: build both anew")]
    OtherBuild,
    /// The other side is gone, or the stream takes no deadline.
    #[error("{0}")]
    Lost(String),
}

/// Reads the other side's greeting.
fn greeted(frames: &mut Frames) -> Result<(), GreetingError> {
    let mut frame = frames.receive().map_err(GreetingError::Lost)?;
    let is_ours = frame.byte() == Ok(GREETING) && frame.number() == Ok(BUILD);
    if is_ours { Ok(()) } else { Err(GreetingError::OtherBuild) }
}

/// The machine from the CPU's side.
pub struct Remote(Frames);

impl Remote {
    /// A guest's door, behind a connection to the owner, who knows which guest it is for.
    ///
    /// # Errors
    /// [`GreetingError`]. An owner who does not know greetings is one of another build, and hangs up.
    pub fn new(stream: UnixStream) -> Result<Self, GreetingError> {
        let mut frames = Frames::new(stream).map_err(GreetingError::Lost)?;
        frames.send(Frame::new(GREETING).number(BUILD)).map_err(GreetingError::Lost)?;
        greeted(&mut frames).map_err(|_| GreetingError::OtherBuild)?;
        Ok(Self(frames))
    }

    /// As [`Configuration::execute`], from afar.
    ///
    /// # Errors
    /// A sentence: the owner is gone, is silent, or says what means nothing.
    pub fn execute(
        &mut self,
        instruction: Instruction,
        operands: &Operands,
        memory: &mut dyn OperandMemory,
    ) -> Result<Outcome, String> {
        self.0.send(encode(instruction, operands, memory))?;
        loop {
            let mut frame = self.0.receive()?;
            let answer = match frame.byte()? {
                FETCH => {
                    let (address, length) = (frame.number()?, operand_length(&mut frame)?);
                    let mut buffer = vec![0; length];
                    memory.fetch(address, &mut buffer).map(|()| buffer)
                }
                CHECK_STORE => {
                    let (address, length) = (frame.number()?, operand_length(&mut frame)?);
                    memory.check_store(address, length).map(|()| Vec::new())
                }
                STORE => memory.store(frame.number()?, frame.bytes()?).map(|()| Vec::new()),
                IS_VALID => Ok(vec![memory.absolute_is_valid(frame.number()?).into()]),
                COMPLETED => {
                    let (cc, count) = (ConditionCode::from_bits(frame.byte()?), frame.byte()?);
                    let writes: Vec<_> =
                        (0..count).map(|_| Ok((frame.byte()?, frame.number()?))).collect::<Result<_, String>>()?;
                    let writes =
                        RegisterWrites::from_pairs(writes).ok_or("more registers than an instruction writes")?;
                    let stored = store_all(&mut frame, memory)?;
                    return Ok(stored.map_or_else(Outcome::Exception, |()| Outcome::Completed { cc, writes }));
                }
                EXCEPTION => {
                    let exception = exception(&mut frame)?;
                    // Whatever was stored before it was stored.
                    _ = store_all(&mut frame, memory)?;
                    return Ok(Outcome::Exception(exception));
                }
                kind => return Err(format!("a frame of an unknown kind, {kind}")),
            };
            self.0.send(match answer {
                Ok(bytes) => Frame::new(STORAGE).bytes(&bytes),
                Err(exception) => with_exception(Frame::new(STORAGE_EXCEPTION), exception),
            })?;
        }
    }
}

fn encode(instruction: Instruction, operands: &Operands, memory: &mut dyn OperandMemory) -> Frame {
    let code = match instruction {
        Instruction::Pqap => 0xb2af_0000,
        Instruction::Nqap { r1, r2 } => 0xb2ad_0000 | u64::from(r1 << 4 | r2),
        Instruction::Dqap { r1, r2 } => 0xb2ae_0000 | u64::from(r1 << 4 | r2),
    };
    let Operands { problem_state, gr0, gr1, gr2, r1, r2 } = *operands;
    let registers = [near::stay(), code, gr0, gr1, gr2, r1[0], r1[1], r2[0], r2[1]];
    let frame = registers.into_iter().fold(Frame::new(EXECUTE).byte(problem_state.into()), Frame::number);
    match foretold(instruction, operands) {
        Some((address, length, false)) => {
            let mut bytes = vec![0; length as usize];
            match memory.fetch(address, &mut bytes) {
                Ok(()) => frame.byte(FETCHED).number(address).bytes(&bytes),
                // The owner meets the exception, if it comes so far.
                Err(_) => frame.byte(NOTHING),
            }
        }
        Some((address, length, true)) if memory.check_store(address, length as usize).is_ok() => {
            frame.byte(STORABLE).number(address).number(length)
        }
        Some(_) | None => frame.byte(NOTHING),
    }
}

fn operand_length(frame: &mut Received<'_>) -> Result<usize, String> {
    let length = frame.number()?;
    if length > LONGEST_OPERAND {
        return Err(format!("the machine's owner asks for {length} bytes of one operand"));
    }
    Ok(length as usize)
}

fn store_all(frame: &mut Received<'_>, memory: &mut dyn OperandMemory) -> Result<Result<(), ProgramException>, String> {
    for _ in 0..frame.byte()? {
        let (address, bytes) = (frame.number()?, frame.bytes()?);
        if let Err(exception) = memory.store(address, bytes) {
            return Ok(Err(exception));
        }
    }
    Ok(Ok(()))
}

fn with_exception(frame: Frame, exception: ProgramException) -> Frame {
    frame.number(exception.code.0.into()).number(exception.translation_address)
}

fn exception(frame: &mut Received<'_>) -> Result<ProgramException, String> {
    let code = u16::try_from(frame.number()?).map_err(|_| "no program-interruption code")?;
    Ok(ProgramException { code: ProgramCode(code), translation_address: frame.number()? })
}

/// A guest's storage from the machine's side; what is lost on the way is an addressing exception.
struct FarStorage<'a> {
    frames: &'a mut Frames,
    /// Where the operand stands, and its bytes where they came along.
    operand: (u64, u64),
    fetched: Option<Vec<u8>>,
    is_storable: bool,
    /// What goes back with the end of the instruction, after which nothing can fail any more.
    stores: Vec<(u64, Vec<u8>)>,
}

impl FarStorage<'_> {
    fn ask(&mut self, question: Frame) -> Result<Vec<u8>, ProgramException> {
        let lost = ProgramException::new(ProgramCode::ADDRESSING);
        self.frames.send(question).map_err(|_| lost)?;
        let mut answer = self.frames.receive().map_err(|_| lost)?;
        match answer.byte() {
            Ok(STORAGE) => answer.bytes().map(<[u8]>::to_vec).map_err(|_| lost),
            Ok(STORAGE_EXCEPTION) => Err(exception(&mut answer).unwrap_or(lost)),
            _ => Err(lost),
        }
    }

    /// Where in the operand these bytes are, if they are.
    fn within(&self, address: u64, length: usize) -> Option<usize> {
        let (begin, whole) = self.operand;
        let offset = address.checked_sub(begin)?;
        let end = offset.checked_add(length as u64)?;
        (end <= whole).then_some(offset as usize)
    }

    fn is_storable(&self, address: u64, length: usize) -> bool {
        // One byte has the number of stores.
        self.is_storable && self.stores.len() < usize::from(u8::MAX) && self.within(address, length).is_some()
    }

    fn with_stores(&self, frame: Frame) -> Frame {
        let frame = frame.byte(self.stores.len() as u8);
        self.stores.iter().fold(frame, |frame, (address, bytes)| frame.number(*address).bytes(bytes))
    }
}

impl OperandMemory for FarStorage<'_> {
    fn fetch(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), ProgramException> {
        if let Some(offset) = self.within(address, buffer.len())
            && let Some(fetched) = &self.fetched
        {
            buffer.copy_from_slice(&fetched[offset..offset + buffer.len()]);
            return Ok(());
        }
        let bytes = self.ask(Frame::new(FETCH).number(address).number(buffer.len() as u64))?;
        if bytes.len() != buffer.len() {
            return Err(ProgramException::new(ProgramCode::ADDRESSING));
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }

    fn check_store(&mut self, address: u64, len: usize) -> Result<(), ProgramException> {
        if self.is_storable(address, len) {
            return Ok(());
        }
        self.ask(Frame::new(CHECK_STORE).number(address).number(len as u64)).map(|_| ())
    }

    fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), ProgramException> {
        if self.is_storable(address, bytes.len()) {
            self.stores.push((address, bytes.to_vec()));
            return Ok(());
        }
        self.ask(Frame::new(STORE).number(address).bytes(bytes)).map(|_| ())
    }

    fn absolute_is_valid(&mut self, address: u64) -> bool {
        self.ask(Frame::new(IS_VALID).number(address)).is_ok_and(|answer| answer == [1])
    }
}

/// What executes an instruction.
pub type Execution<'a> = dyn Fn(Instruction, &Operands, &mut dyn OperandMemory) -> Outcome + 'a;

/// A guest in another process, from the machine's side.
pub struct Client(Frames);

impl Client {
    /// Greets whoever connected.
    ///
    /// # Errors
    /// [`GreetingError`].
    pub fn greet(stream: UnixStream) -> Result<Self, GreetingError> {
        let mut frames = Frames::new(stream).map_err(GreetingError::Lost)?;
        greeted(&mut frames)?;
        frames.send(Frame::new(GREETING).number(BUILD)).map_err(GreetingError::Lost)?;
        Ok(Self(frames))
    }

    /// Executes for one guest until it leaves.
    ///
    /// # Errors
    /// As [`Self::serve_by`].
    pub fn serve(self, guest: &Configuration) -> Result<(), String> {
        self.serve_by(&|instruction, operands, memory| guest.execute(instruction, operands, memory))
    }

    /// Has the guest's instructions executed until it leaves.
    ///
    /// # Errors
    /// A sentence: the guest is silent, or says what means nothing.
    pub fn serve_by(self, execution: &Execution<'_>) -> Result<(), String> {
        let (Self(mut frames), mut follower) = (self, Follower::default());
        while frames.wait()? {
            let (cpu, instruction, operands, operand, fetched, is_storable) = decode(&mut frames.receive()?)?;
            follower.asked_from(cpu);
            let mut storage = FarStorage { frames: &mut frames, operand, fetched, is_storable, stores: Vec::new() };
            let answer = match execution(instruction, &operands, &mut storage) {
                Outcome::Completed { cc, writes } => {
                    let count = writes.iter().count() as u8;
                    let frame = Frame::new(COMPLETED).byte(cc.bits()).byte(count);
                    writes.iter().fold(frame, |frame, (number, value)| frame.byte(number).number(value))
                }
                Outcome::Exception(exception) => with_exception(Frame::new(EXCEPTION), exception),
            };
            let answer = storage.with_stores(answer);
            frames.send(answer)?;
        }
        Ok(())
    }
}

/// The CPU that asks, an instruction, its operands, and what came along of storage.
type Decoded = (u64, Instruction, Operands, (u64, u64), Option<Vec<u8>>, bool);

fn decode(frame: &mut Received<'_>) -> Result<Decoded, String> {
    if frame.byte()? != EXECUTE {
        return Err("an answer to no question".to_owned());
    }
    let problem_state = frame.byte()? != 0;
    let mut registers = [0; 9];
    for register in &mut registers {
        *register = frame.number()?;
    }
    let [cpu, code, gr0, gr1, gr2, r1_even, r1_odd, r2_even, r2_odd] = registers;
    let instruction = Instruction::decode((code as u32).to_be_bytes()).ok_or("no AP instruction")?;
    let operands = Operands { problem_state, gr0, gr1, gr2, r1: [r1_even, r1_odd], r2: [r2_even, r2_odd] };
    let (operand, fetched, is_storable) = match frame.byte()? {
        FETCHED => {
            let (address, bytes) = (frame.number()?, frame.bytes()?);
            ((address, bytes.len() as u64), Some(bytes.to_vec()), false)
        }
        STORABLE => ((frame.number()?, frame.number()?), None, true),
        _ => ((0, 0), None, false),
    };
    Ok((cpu, instruction, operands, operand, fetched, is_storable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixStream, Frames) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        (ours, Frames::new(theirs).expect("theirs"))
    }

    #[test]
    fn whoever_is_of_another_build_is_told_so_on_both_sides() {
        for first in [Frame::new(EXECUTE).byte(0), Frame::new(GREETING).number(BUILD ^ 1)] {
            let (owner, mut plugin) = pair();
            plugin.send(first).expect("sent");
            assert_eq!(Client::greet(owner).err(), Some(GreetingError::OtherBuild));
        }
        let (plugin, mut owner) = pair();
        owner.send(Frame::new(GREETING).number(BUILD ^ 1)).expect("sent");
        assert_eq!(Remote::new(plugin).err(), Some(GreetingError::OtherBuild));
        let (plugin, owner) = pair();
        drop(owner);
        assert!(Remote::new(plugin).is_err());
    }

    #[test]
    fn whoever_leaves_without_a_word_is_of_no_other_build() {
        let (owner, plugin) = pair();
        drop(plugin);
        assert!(matches!(Client::greet(owner), Err(GreetingError::Lost(_))));
    }
}
