// SPDX-License-Identifier: MIT OR Apache-2.0
//! The seam as lines of JSON: an instruction goes to the machine's owner, who asks back for storage as often as it needs,
//! and answers with what the CPU is to do.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use ap_arch::{ConditionCode, ProgramCode};
use ap_machine::{Configuration, Instruction, OperandMemory, Operands, Outcome, ProgramException, RegisterWrites};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

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
    fn send(&mut self, value: &impl Serialize) -> Result<(), String> {
        let mut text = serde_json::to_string(value).map_err(|error| error.to_string())?;
        text.push('\n');
        self.0.get_mut().write_all(text.as_bytes()).map_err(|error| error.to_string())
    }

    /// `None` at the end.
    fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        let mut text = String::new();
        if self.0.read_line(&mut text).map_err(|error| error.to_string())? == 0 {
            return Ok(None);
        }
        serde_json::from_str(&text).map(Some).map_err(|error| format!("{text}: {error}"))
    }
}

fn plain(exception: ProgramException) -> (u16, u64) {
    (exception.code.0, exception.translation_address)
}

fn exception((code, translation_address): (u16, u64)) -> ProgramException {
    ProgramException { code: ProgramCode(code), translation_address }
}

/// The machine from the CPU's side: as `Configuration::execute`, from afar.
pub(crate) struct Remote(Line);

impl Remote {
    pub(crate) fn new(stream: UnixStream) -> Result<Self, String> {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).map_err(|error| error.to_string())?;
        Ok(Self(Line(BufReader::new(stream))))
    }

    pub(crate) fn execute(
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
        let right = bytes.len() == buffer.len();
        if right {
            buffer.copy_from_slice(&bytes)
        }
        if right { Ok(()) } else { Err(ProgramException::new(ProgramCode::ADDRESSING)) }
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
pub(crate) fn serve(guest: &Configuration, stream: UnixStream) -> Result<(), String> {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).map_err(|error| error.to_string())?;
    let mut line = Line(BufReader::new(stream));
    while let Some(Execute(code, problem_state, [gr0, gr1, gr2], r1, r2)) = line.receive()? {
        let instruction = Instruction::decode(code).ok_or("no AP instruction")?;
        let operands = Operands { problem_state, gr0, gr1, gr2, r1, r2 };
        let answer = match guest.execute(instruction, &operands, &mut FarStorage(&mut line)) {
            Outcome::Completed { cc, writes } => ToCpu::Completed(cc.bits(), writes.iter().collect()),
            Outcome::Exception(exception) => {
                let (code, address) = plain(exception);
                ToCpu::Exception(code, address)
            }
        };
        line.send(&answer)?;
    }
    Ok(())
}
