// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU's plugin ABI, version 7, and a thin safe layer over it: the one file that knows QEMU.
//!
//! Written by hand because no published bindings cover version 7 (QEMU 11.1); the functions come from the QEMU process
//! that loads us, those of glib too. What callers must know: memory and registers are reachable only inside a callback,
//! on the vCPU's own thread, and [`resume_at`] leaves by a long jump.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::NonNull;

/// The plugin API version this file is written against.
pub(crate) const API_VERSION: c_int = 7;

/// QEMU reads this symbol before it calls anything of ours, and refuses a version outside its range.
// SAFETY: the name and the type are those of `qemu-plugin.h`; nothing else in the process defines the symbol.
#[unsafe(no_mangle)]
#[allow(unreachable_pub, reason = "QEMU looks it up by name")]
pub static qemu_plugin_version: c_int = API_VERSION;

/// `struct qemu_info_t`.
#[repr(C)]
pub struct Info {
    target_name: *const c_char,
    min: c_int,
    cur: c_int,
    system_emulation: bool,
    smp_vcpus: c_int,
    max_vcpus: c_int,
}

/// What QEMU says of itself at install time.
#[derive(Debug)]
pub(crate) struct Emulator {
    pub(crate) target: String,
    pub(crate) api_min: i32,
    pub(crate) api_max: i32,
    pub(crate) system_emulation: bool,
    pub(crate) max_vcpus: usize,
}

impl Emulator {
    /// # Safety
    /// `info` is the pointer QEMU passed to `qemu_plugin_install`, during that call.
    pub(crate) unsafe fn from_raw(info: *const Info) -> Self {
        // SAFETY: valid for reads during the install call, by this function's contract.
        let info = unsafe { &*info };
        // SAFETY: QEMU passes a NUL-terminated constant.
        let target = unsafe { CStr::from_ptr(info.target_name) };
        Self {
            target: target.to_string_lossy().into_owned(),
            api_min: info.min,
            api_max: info.cur,
            system_emulation: info.system_emulation,
            max_vcpus: usize::try_from(info.max_vcpus).unwrap_or(0),
        }
    }
}

/// An opaque object of QEMU's.
#[repr(C)]
pub(crate) struct Opaque {
    _private: [u8; 0],
}

/// One block that is being translated; valid during the translation callback.
pub(crate) type TbPtr = *mut Opaque;
type InsnPtr = *mut Opaque;
type RegisterPtr = *mut Opaque;

#[repr(C)]
struct GByteArray {
    data: *mut u8,
    len: c_uint,
}

#[repr(C)]
struct GArray {
    data: *mut c_char,
    len: c_uint,
}

#[repr(C)]
struct RegisterDescriptor {
    handle: RegisterPtr,
    name: *const c_char,
    feature: *const c_char,
    is_readonly: bool,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct ScoreboardEntry {
    score: *mut Opaque,
    offset: usize,
}

const CB_NO_REGS: c_int = 0;
const CB_R_REGS: c_int = 1;
const CB_RW_REGS_PC: c_int = 3;
const MEM_W: c_int = 2;
const DISCON_INTERRUPT: c_int = 1;
const DISCON_EXCEPTION: c_int = 2;
const COND_NE: c_int = 3;
const HWADDR_OK: c_int = 0;

/// `(vcpu_index, userdata)`.
pub(crate) type VcpuCallback = extern "C" fn(c_uint, *mut c_void);
/// `(tb, userdata)`.
pub(crate) type TranslationCallback = extern "C" fn(TbPtr, *mut c_void);
/// `(vcpu_index, access, vaddr, userdata)`.
pub(crate) type MemoryCallback = extern "C" fn(c_uint, u32, u64, *mut c_void);
/// `(vcpu_index, type, from_pc, to_pc, userdata)`.
pub(crate) type DiscontinuityCallback = extern "C" fn(c_uint, c_int, u64, u64, *mut c_void);
/// `(userdata)`.
pub(crate) type PlainCallback = extern "C" fn(*mut c_void);

// SAFETY: the declarations are those of `qemu-plugin.h`, plugin API 7 (QEMU 11.1).
unsafe extern "C" {
    fn qemu_plugin_register_vcpu_init_cb(id: u64, cb: VcpuCallback, userdata: *mut c_void);
    fn qemu_plugin_register_vcpu_idle_cb(id: u64, cb: VcpuCallback, userdata: *mut c_void);
    fn qemu_plugin_register_vcpu_resume_cb(id: u64, cb: VcpuCallback, userdata: *mut c_void);
    fn qemu_plugin_register_flush_cb(id: u64, cb: PlainCallback, userdata: *mut c_void);
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, cb: TranslationCallback, userdata: *mut c_void);
    fn qemu_plugin_register_vcpu_discon_cb(id: u64, kind: c_int, cb: DiscontinuityCallback, userdata: *mut c_void);
    fn qemu_plugin_register_vcpu_tb_exec_cond_cb(
        tb: TbPtr,
        cb: VcpuCallback,
        flags: c_int,
        cond: c_int,
        entry: ScoreboardEntry,
        imm: u64,
        userdata: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_insn_exec_cb(insn: InsnPtr, cb: VcpuCallback, flags: c_int, userdata: *mut c_void);
    fn qemu_plugin_register_vcpu_insn_exec_cond_cb(
        insn: InsnPtr,
        cb: VcpuCallback,
        flags: c_int,
        cond: c_int,
        entry: ScoreboardEntry,
        imm: u64,
        userdata: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_mem_cb(
        insn: InsnPtr,
        cb: MemoryCallback,
        flags: c_int,
        rw: c_int,
        userdata: *mut c_void,
    );
    fn qemu_plugin_tb_n_insns(tb: TbPtr) -> usize;
    fn qemu_plugin_tb_get_insn(tb: TbPtr, index: usize) -> InsnPtr;
    fn qemu_plugin_tb_vaddr(tb: TbPtr) -> u64;
    fn qemu_plugin_insn_data(insn: InsnPtr, dest: *mut c_void, len: usize) -> usize;
    fn qemu_plugin_insn_vaddr(insn: InsnPtr) -> u64;
    fn qemu_plugin_insn_haddr(insn: InsnPtr) -> *mut c_void;
    fn qemu_plugin_get_hwaddr(access: u32, vaddr: u64) -> *mut Opaque;
    fn qemu_plugin_hwaddr_is_io(handle: *mut Opaque) -> bool;
    fn qemu_plugin_hwaddr_phys_addr(handle: *mut Opaque) -> u64;
    fn qemu_plugin_get_registers() -> *mut GArray;
    fn qemu_plugin_read_register(handle: RegisterPtr, buffer: *mut GByteArray) -> bool;
    fn qemu_plugin_write_register(handle: RegisterPtr, buffer: *mut GByteArray) -> bool;
    fn qemu_plugin_set_pc(vaddr: u64) -> !;
    fn qemu_plugin_read_memory_hwaddr(addr: u64, data: *mut GByteArray, len: usize) -> c_int;
    fn qemu_plugin_write_memory_hwaddr(addr: u64, data: *mut GByteArray) -> c_int;
    fn qemu_plugin_scoreboard_new(element_size: usize) -> *mut Opaque;
    fn qemu_plugin_u64_set(entry: ScoreboardEntry, vcpu: c_uint, value: u64);

    fn g_byte_array_new() -> *mut GByteArray;
    fn g_byte_array_set_size(array: *mut GByteArray, len: c_uint) -> *mut GByteArray;
    fn g_array_free(array: *mut GArray, free_segment: c_int) -> *mut c_char;
}

/// A plugin's identity towards QEMU; registers the callbacks that live as long as the process.
#[derive(Clone, Copy)]
pub(crate) struct Plugin(pub(crate) u64);

impl Plugin {
    /// Each vCPU once, on its thread, before it runs.
    pub(crate) fn on_vcpu_init(self, callback: VcpuCallback) {
        // SAFETY: the callback has the ABI QEMU 11.1 calls it with, and no user data.
        unsafe { qemu_plugin_register_vcpu_init_cb(self.0, callback, std::ptr::null_mut()) }
    }

    /// Each time a vCPU goes idle, the machine's stop included.
    pub(crate) fn on_vcpu_idle(self, callback: VcpuCallback) {
        // SAFETY: as in `on_vcpu_init`.
        unsafe { qemu_plugin_register_vcpu_idle_cb(self.0, callback, std::ptr::null_mut()) }
    }

    /// Each time a vCPU goes on after having been idle, before its next instruction.
    pub(crate) fn on_vcpu_resume(self, callback: VcpuCallback) {
        // SAFETY: as in `on_vcpu_init`.
        unsafe { qemu_plugin_register_vcpu_resume_cb(self.0, callback, std::ptr::null_mut()) }
    }

    /// Each time the code cache is thrown away, with all vCPUs stopped.
    pub(crate) fn on_flush(self, callback: PlainCallback) {
        // SAFETY: as in `on_vcpu_init`.
        unsafe { qemu_plugin_register_flush_cb(self.0, callback, std::ptr::null_mut()) }
    }

    /// Each block that is translated.
    pub(crate) fn on_translation(self, callback: TranslationCallback) {
        // SAFETY: as in `on_vcpu_init`; version 7 passes (tb, userdata).
        unsafe { qemu_plugin_register_vcpu_tb_trans_cb(self.0, callback, std::ptr::null_mut()) }
    }

    /// Each program exception, after QEMU stored the old PSW and the interruption code and loaded the new PSW.
    pub(crate) fn on_exception(self, callback: DiscontinuityCallback) {
        // SAFETY: as in `on_vcpu_init`; version 7 passes (vcpu, type, from, to, userdata).
        unsafe { qemu_plugin_register_vcpu_discon_cb(self.0, DISCON_EXCEPTION, callback, std::ptr::null_mut()) }
    }

    /// Each interruption that no instruction caused, at the same moment.
    pub(crate) fn on_interruption(self, callback: DiscontinuityCallback) {
        // SAFETY: as in `on_exception`.
        unsafe { qemu_plugin_register_vcpu_discon_cb(self.0, DISCON_INTERRUPT, callback, std::ptr::null_mut()) }
    }
}

/// A block under translation.
#[derive(Clone, Copy)]
pub(crate) struct Tb(TbPtr);

/// An instruction under translation.
#[derive(Clone, Copy)]
pub(crate) struct Insn(InsnPtr);

impl Tb {
    /// # Safety
    /// `tb` is what QEMU passed to the translation callback, and the value does not outlive that callback.
    pub(crate) const unsafe fn from_raw(tb: TbPtr) -> Self {
        Self(tb)
    }

    /// Its instructions, of which there is at least one.
    pub(crate) fn insns(self) -> impl DoubleEndedIterator<Item = Insn> {
        // SAFETY: the block is valid during the translation callback, see `from_raw`.
        let len = unsafe { qemu_plugin_tb_n_insns(self.0) };
        // SAFETY: as above, and the index is below the number of instructions.
        (0..len).map(move |index| Insn(unsafe { qemu_plugin_tb_get_insn(self.0, index) }))
    }

    /// The logical address of the first instruction.
    pub(crate) fn address(self) -> u64 {
        // SAFETY: as in `insns`.
        unsafe { qemu_plugin_tb_vaddr(self.0) }
    }

    /// Calls back at the start of this block, with registers and PC writable, while the flag is raised for the vCPU.
    pub(crate) fn on_execution_if(self, flag: VcpuFlag, callback: VcpuCallback) {
        let userdata = self.address() as *mut c_void;
        // SAFETY: the block is valid, the scoreboard entry lives as long as the process.
        unsafe {
            qemu_plugin_register_vcpu_tb_exec_cond_cb(self.0, callback, CB_RW_REGS_PC, COND_NE, flag.0, 0, userdata);
        }
    }
}

impl Insn {
    /// Up to the first six bytes; what the instruction lacks is zero.
    pub(crate) fn bytes(self) -> [u8; 6] {
        let mut bytes = [0; 6];
        // SAFETY: the instruction is valid during the translation callback; at most six bytes are copied.
        unsafe { qemu_plugin_insn_data(self.0, bytes.as_mut_ptr().cast(), bytes.len()) };
        bytes
    }

    /// The logical address.
    pub(crate) fn address(self) -> u64 {
        // SAFETY: as in `bytes`.
        unsafe { qemu_plugin_insn_vaddr(self.0) }
    }

    /// Whether QEMU knows where in storage the bytes stand; it does not for the target of an EXECUTE.
    pub(crate) fn has_storage(self) -> bool {
        // SAFETY: as in `bytes`.
        !unsafe { qemu_plugin_insn_haddr(self.0) }.is_null()
    }

    /// Before the instruction executes, with registers and PC writable.
    pub(crate) fn on_execution(self, callback: VcpuCallback, userdata: *mut c_void) {
        // SAFETY: as in `bytes`; what `userdata` points to is the caller's to keep until the next flush.
        unsafe { qemu_plugin_register_vcpu_insn_exec_cb(self.0, callback, CB_RW_REGS_PC, userdata) }
    }

    /// The same, but only while the flag is raised for the vCPU.
    pub(crate) fn on_execution_if(self, flag: VcpuFlag, callback: VcpuCallback, userdata: *mut c_void) {
        let (flags, entry) = (CB_RW_REGS_PC, flag.0);
        // SAFETY: as in `on_execution`, and the scoreboard entry lives as long as the process.
        unsafe { qemu_plugin_register_vcpu_insn_exec_cond_cb(self.0, callback, flags, COND_NE, entry, 0, userdata) }
    }

    /// Before the instruction executes, with registers readable.
    pub(crate) fn on_execution_reading(self, callback: VcpuCallback, userdata: *mut c_void) {
        // SAFETY: as in `on_execution`.
        unsafe { qemu_plugin_register_vcpu_insn_exec_cb(self.0, callback, CB_R_REGS, userdata) }
    }

    /// After each store of the instruction.
    pub(crate) fn on_store(self, callback: MemoryCallback) {
        // SAFETY: as in `bytes`, no user data.
        unsafe { qemu_plugin_register_vcpu_mem_cb(self.0, callback, CB_NO_REGS, MEM_W, std::ptr::null_mut()) }
    }
}

/// A store that a memory callback observes.
pub(crate) struct Stored {
    access: u32,
    /// The logical address.
    pub(crate) vaddr: u64,
}

impl Stored {
    /// # Safety
    /// The arguments are those of the memory callback that is running, and the value does not outlive it.
    pub(crate) const unsafe fn from_raw(access: u32, vaddr: u64) -> Self {
        Self { access, vaddr }
    }

    /// The absolute address, unless the store went to a device.
    pub(crate) fn absolute(&self) -> Option<u64> {
        // SAFETY: inside a memory callback with that callback's own arguments, see `from_raw`.
        let handle = NonNull::new(unsafe { qemu_plugin_get_hwaddr(self.access, self.vaddr) })?;
        // SAFETY: the handle is valid during the memory callback.
        let io = unsafe { qemu_plugin_hwaddr_is_io(handle.as_ptr()) };
        // SAFETY: as above.
        (!io).then(|| unsafe { qemu_plugin_hwaddr_phys_addr(handle.as_ptr()) })
    }
}

/// One word per vCPU that generated code looks at.
#[derive(Clone, Copy)]
pub(crate) struct VcpuFlag(ScoreboardEntry);

// SAFETY: QEMU's scoreboards are made for access from all threads; ours is never freed.
unsafe impl Send for VcpuFlag {}
// SAFETY: as above.
unsafe impl Sync for VcpuFlag {}

impl VcpuFlag {
    pub(crate) fn new() -> Self {
        // SAFETY: plain allocation, at install time or later.
        Self(ScoreboardEntry { score: unsafe { qemu_plugin_scoreboard_new(size_of::<u64>()) }, offset: 0 })
    }

    /// # Safety
    /// The vCPU exists (its init callback has run).
    pub(crate) unsafe fn set(self, vcpu: usize, value: u64) {
        // SAFETY: the entry exists once the vCPU does.
        unsafe { qemu_plugin_u64_set(self.0, vcpu as c_uint, value) }
    }
}

/// A register by its gdb name; the same handle serves every vCPU.
#[derive(Clone, Copy)]
pub(crate) struct Register(RegisterPtr);

// SAFETY: the handle is a number in disguise; QEMU looks up the current vCPU itself.
unsafe impl Send for Register {}
// SAFETY: as above.
unsafe impl Sync for Register {}

/// All registers of the current vCPU by name; call it in the vCPU init callback.
pub(crate) fn registers() -> Vec<(String, Register)> {
    // SAFETY: in the vCPU's context; the array is ours to free.
    let array = unsafe { qemu_plugin_get_registers() };
    if array.is_null() {
        return Vec::new();
    }
    // SAFETY: a GArray of that many descriptors, whose strings live as long as the process.
    let found = unsafe {
        let len = (*array).len as usize;
        let data = (*array).data.cast::<RegisterDescriptor>();
        (0..len)
            .map(|i| &*data.add(i))
            .map(|d| (CStr::from_ptr(d.name).to_string_lossy().into_owned(), Register(d.handle)))
            .collect()
    };
    // SAFETY: allocated by QEMU with glib, not used after this.
    unsafe { g_array_free(array, 1) };
    found
}

/// A byte array of glib's, reused by one vCPU for everything it exchanges with QEMU.
pub(crate) struct Exchange(NonNull<GByteArray>);

// SAFETY: plain memory without thread affinity; its owner uses it from one thread at a time.
unsafe impl Send for Exchange {}

impl Exchange {
    /// `None` if glib has no memory to give.
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: plain allocation.
        NonNull::new(unsafe { g_byte_array_new() }).map(Self)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: glib keeps `data` valid for `len` bytes; `data` may be null only with a length of 0.
        unsafe {
            let array = self.0.as_ref();
            if array.len == 0 { &[] } else { std::slice::from_raw_parts(array.data, array.len as usize) }
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        // SAFETY: the array is ours; after set_size `data` holds that many bytes, and `bytes` is no part of it.
        unsafe {
            g_byte_array_set_size(self.0.as_ptr(), bytes.len() as c_uint);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), (*self.0.as_ptr()).data, bytes.len());
        }
    }

    /// A 64-bit register of the current vCPU; 0 if QEMU does not give it, which it does for every register it listed.
    pub(crate) fn read_register(&mut self, register: Register) -> u64 {
        // SAFETY: the array is ours; an empty one is appended to.
        let done = unsafe {
            (*self.0.as_ptr()).len = 0;
            qemu_plugin_read_register(register.0, self.0.as_ptr())
        };
        let value = self.bytes().first_chunk::<8>().filter(|_| done);
        value.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Writes a 64-bit register of the current vCPU.
    pub(crate) fn write_register(&mut self, register: Register, value: u64) {
        self.put(&value.to_be_bytes());
        // SAFETY: the buffer holds the eight bytes of a 64-bit register.
        unsafe { qemu_plugin_write_register(register.0, self.0.as_ptr()) };
    }

    /// Reads absolute storage; `false` if there is none at the address. `buffer` must not cross a page into nothing.
    pub(crate) fn read_absolute(&mut self, address: u64, buffer: &mut [u8]) -> bool {
        // SAFETY: the array grows as needed; called on the vCPU's thread.
        let result = unsafe { qemu_plugin_read_memory_hwaddr(address, self.0.as_ptr(), buffer.len()) };
        let read = self.bytes();
        let done = result == HWADDR_OK && read.len() >= buffer.len();
        if done {
            buffer.copy_from_slice(&read[..buffer.len()]);
        }
        done
    }

    /// Writes absolute storage, seen by dirty tracking; `false` if there is none at the address.
    pub(crate) fn write_absolute(&mut self, address: u64, bytes: &[u8]) -> bool {
        self.put(bytes);
        // SAFETY: the array holds the bytes; called on the vCPU's thread.
        unsafe { qemu_plugin_write_memory_hwaddr(address, self.0.as_ptr()) == HWADDR_OK }
    }
}

/// Goes on at `address`. Leaves by a long jump, so no frame between QEMU and here may own anything that wants dropping.
///
/// # Safety
/// Called last in an execution callback registered with registers and PC writable, after `pswm` was written, from
/// frames without destructors.
pub(crate) unsafe fn resume_at(address: u64) -> ! {
    // SAFETY: by this function's contract.
    unsafe { qemu_plugin_set_pc(address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_qemus_layout() {
        assert_eq!((size_of::<Info>(), std::mem::offset_of!(Info, min)), (32, 8));
        assert_eq!((std::mem::offset_of!(Info, system_emulation), std::mem::offset_of!(Info, smp_vcpus)), (16, 20));
        assert_eq!((size_of::<RegisterDescriptor>(), size_of::<ScoreboardEntry>()), (32, 16));
        assert_eq!((size_of::<GByteArray>(), std::mem::offset_of!(GByteArray, len)), (16, 8));
    }
}
