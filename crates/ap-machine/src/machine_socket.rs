// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine that another process owns: [`Configuration::execute`] as lines of JSON. An instruction goes to the owner,
//! who asks back for storage as often as it needs, and answers with what the CPU is to do.
//!
//! For the lab, where several QEMUs share one machine. Each question is a round trip, and notifications do not come
//! over: such a guest polls. In process nobody comes by here.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ap_arch::{ConditionCode, ProgramCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Configuration, Instruction, OperandMemory, Operands, Outcome, ProgramException, RegisterWrites};

/// The longest operand, in bytes: the length field of a message has no more.
const LONGEST_OPERAND: usize = 1 << 16;
/// How long the other side may take for one line, once it is asked or has begun.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest line: a message of 12 KiB as numbers with commas, and some.
const LONGEST_LINE: u64 = 1 << 20;

/// From the CPU: the instruction's four bytes, whether in problem state, GR0, GR1, GR2, and the two pairs.
#[derive(Serialize, Deserialize)]
struct Execute([u8; 4], bool, [u64; 3], [u64; 2], [u64; 2]);

/// From the machine's owner: a question about storage, or the end.
#[derive(Serialize, Deserialize)]
enum ToCpu {
    Fetch(u64, usize),
    CheckStore(u64, usize),
    Store(u64, Vec<u8>),
    IsValid(u64),
    Completed(u8, Vec<(u8, u64)>),
    Exception(u16, u64),
}

/// The answer to a question about storage; the error is a program interruption.
type FromStorage = Result<Vec<u8>, (u16, u64)>;

struct Line(BufReader<UnixStream>);

impl Line {
    fn new(stream: UnixStream) -> Result<Self, String> {
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        Ok(Self(BufReader::new(stream)))
    }

    fn send(&mut self, value: &impl Serialize) -> Result<(), String> {
        let mut text = serde_json::to_string(value).map_err(|error| error.to_string())?;
        text.push('\n');
        self.0.get_mut().write_all(text.as_bytes()).map_err(|error| error.to_string())
    }

    /// Waits as long as nothing comes: a guest may be idle.
    fn wait(&mut self) -> Result<(), String> {
        loop {
            match self.0.fill_buf() {
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// `None` at the end.
    fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        let mut text = String::new();
        let line = (&mut self.0).take(LONGEST_LINE).read_line(&mut text);
        if line.map_err(|error| error.to_string())? == 0 {
            return Ok(None);
        }
        serde_json::from_str(&text).map(Some).map_err(|error| format!("a line of {} bytes: {error}", text.len()))
    }
}

fn plain(exception: ProgramException) -> (u16, u64) {
    (exception.code.0, exception.translation_address)
}

fn exception((code, translation_address): (u16, u64)) -> ProgramException {
    ProgramException { code: ProgramCode(code), translation_address }
}

/// The machine from the CPU's side.
pub struct Remote(Line);

impl Remote {
    /// A guest's door, behind a connection to the owner, who knows which guest it is for.
    ///
    /// # Errors
    /// A sentence: the stream takes no deadline.
    pub fn new(stream: UnixStream) -> Result<Self, String> {
        Line::new(stream).map(Self)
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
        let code = match instruction {
            Instruction::Pqap => [0xb2, 0xaf, 0, 0],
            Instruction::Nqap { r1, r2 } => [0xb2, 0xad, 0, r1 << 4 | r2],
            Instruction::Dqap { r1, r2 } => [0xb2, 0xae, 0, r1 << 4 | r2],
        };
        let Operands { problem_state, gr0, gr1, gr2, r1, r2 } = *operands;
        self.0.send(&Execute(code, problem_state, [gr0, gr1, gr2], r1, r2))?;
        loop {
            let answer: FromStorage = match self.0.receive()?.ok_or("the machine's owner is gone")? {
                ToCpu::Fetch(_, length) | ToCpu::CheckStore(_, length) if length > LONGEST_OPERAND => {
                    return Err(format!("the machine's owner asks for {length} bytes of one operand"));
                }
                ToCpu::Fetch(address, length) => {
                    let mut buffer = vec![0; length];
                    memory.fetch(address, &mut buffer).map(|()| buffer).map_err(plain)
                }
                ToCpu::CheckStore(address, length) => {
                    memory.check_store(address, length).map(|()| Vec::new()).map_err(plain)
                }
                ToCpu::Store(address, bytes) => memory.store(address, &bytes).map(|()| Vec::new()).map_err(plain),
                ToCpu::IsValid(address) => Ok(vec![memory.absolute_is_valid(address).into()]),
                ToCpu::Completed(cc, writes) => {
                    let writes =
                        RegisterWrites::from_pairs(writes).ok_or("more registers than an instruction writes")?;
                    return Ok(Outcome::Completed { cc: ConditionCode::from_bits(cc), writes });
                }
                ToCpu::Exception(code, address) => return Ok(Outcome::Exception(exception((code, address)))),
            };
            self.0.send(&answer)?;
        }
    }
}

/// A guest's storage from the machine's side; what is lost on the way is an addressing exception.
struct FarStorage<'a>(&'a mut Line);

impl FarStorage<'_> {
    fn ask(&mut self, question: &ToCpu) -> Result<Vec<u8>, ProgramException> {
        let lost = ProgramException::new(ProgramCode::ADDRESSING);
        self.0.send(question).map_err(|_| lost)?;
        let answer: FromStorage = self.0.receive().ok().flatten().ok_or(lost)?;
        answer.map_err(exception)
    }
}

impl OperandMemory for FarStorage<'_> {
    fn fetch(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), ProgramException> {
        let bytes = self.ask(&ToCpu::Fetch(address, buffer.len()))?;
        if bytes.len() != buffer.len() {
            return Err(ProgramException::new(ProgramCode::ADDRESSING));
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }

    fn check_store(&mut self, address: u64, len: usize) -> Result<(), ProgramException> {
        self.ask(&ToCpu::CheckStore(address, len)).map(|_| ())
    }

    fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), ProgramException> {
        self.ask(&ToCpu::Store(address, bytes.to_vec())).map(|_| ())
    }

    fn absolute_is_valid(&mut self, address: u64) -> bool {
        self.ask(&ToCpu::IsValid(address)).is_ok_and(|answer| answer == [1])
    }
}

/// Executes for one guest in another process until it leaves.
///
/// # Errors
/// As [`serve_by`].
pub fn serve(guest: &Configuration, stream: UnixStream) -> Result<(), String> {
    serve_by(&|instruction, operands, memory| guest.execute(instruction, operands, memory), stream)
}

/// What executes an instruction.
pub type Execution<'a> = dyn Fn(Instruction, &Operands, &mut dyn OperandMemory) -> Outcome + 'a;

/// Has the instructions of a guest in another process executed until it leaves.
///
/// # Errors
/// A sentence: the guest is silent, or says what means nothing.
pub fn serve_by(execution: &Execution<'_>, stream: UnixStream) -> Result<(), String> {
    let mut line = Line::new(stream)?;
    loop {
        line.wait()?;
        let Some(Execute(code, problem_state, [gr0, gr1, gr2], r1, r2)) = line.receive()? else { return Ok(()) };
        let instruction = Instruction::decode(code).ok_or("no AP instruction")?;
        let operands = Operands { problem_state, gr0, gr1, gr2, r1, r2 };
        let answer = match execution(instruction, &operands, &mut FarStorage(&mut line)) {
            Outcome::Completed { cc, writes } => ToCpu::Completed(cc.bits(), writes.iter().collect()),
            Outcome::Exception(exception) => {
                let (code, address) = plain(exception);
                ToCpu::Exception(code, address)
            }
        };
        line.send(&answer)?;
    }
}
