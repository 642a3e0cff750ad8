// SPDX-License-Identifier: MIT OR Apache-2.0
//! TAPQ allocates nothing: counted by an allocator of this test binary's own, on the thread that executes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ap_arch::{ConditionCode, FunctionCode, Gr0};
use ap_machine::{Configuration, Instruction, Machine, OperandMemory, Operands, Outcome, ProgramException, Topology};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory that it hands out.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller keeps the contract of GlobalAlloc.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Nobody counts while the thread's locals are being destroyed.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of GlobalAlloc, which is the same.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as in `alloc`.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer comes from `alloc`, hence from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct NoStorage;

impl OperandMemory for NoStorage {
    fn fetch(&mut self, _: u64, _: &mut [u8]) -> Result<(), ProgramException> {
        Err(ProgramException::specification())
    }

    fn check_store(&mut self, _: u64, _: usize) -> Result<(), ProgramException> {
        Err(ProgramException::specification())
    }

    fn store(&mut self, _: u64, _: &[u8]) -> Result<(), ProgramException> {
        Err(ProgramException::specification())
    }

    fn absolute_is_valid(&mut self, _: u64) -> bool {
        false
    }
}

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn tapq_allocates_nothing_for_queues_of_every_kind() {
    let topology: Topology = "05=cex8a,06=cex8c/33,3a".parse().unwrap();
    let configuration = Configuration::host(&Machine::new(&topology).unwrap());
    let tapq = |apqn: u16, expected: ConditionCode| {
        let gr0 = Gr0::pqap(FunctionCode::TAPQ, ap_arch::Apqn::from_bits(apqn)).with(Gr0::T).0;
        let outcome =
            configuration.execute(Instruction::Pqap, &Operands { gr0, ..Operands::default() }, &mut NoStorage);
        assert!(matches!(outcome, Outcome::Completed { cc, .. } if cc == expected));
    };
    // One queue has been used, one has not, one is not there.
    let gr0 = Gr0::pqap(FunctionCode::RAPQ, ap_arch::Apqn::from_bits(0x0533)).0;
    assert_ne!(
        allocations(|| {
            configuration.execute(Instruction::Pqap, &Operands { gr0, ..Operands::default() }, &mut NoStorage);
        }),
        0,
        "the first use of a queue builds its state, so the count works"
    );
    let counted = allocations(|| {
        for _ in 0..1000 {
            tapq(0x0533, ConditionCode::CC0);
            tapq(0x063a, ConditionCode::CC0);
            tapq(0x0733, ConditionCode::CC3);
        }
    });
    assert_eq!(counted, 0);
}
