// SPDX-License-Identifier: GPL-2.0-or-later
//! The one instance of the plugin in this QEMU, and what happens when QEMU translates a block: find the instructions we
//! care about and hook them.

use std::ffi::{c_uint, c_void};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use ap_machine::Instruction;
use vfio_ap::Host;

use crate::cpu::branch;
use crate::cpu::vcpu::Vcpus;
use crate::emulation::delivery::{self as interrupt, Interruptions, PswLoad};
use crate::emulation::facilities;
use crate::emulation::instruction;
use crate::emulation::reset::{self, Diagnose};
use crate::ffi::{self, Tb, TbPtr};
use crate::state::owner::Owner;
use crate::state::sites::Sites;

/// Everything the callbacks share.
pub(crate) struct Plugin {
    pub(crate) host: Arc<Host>,
    pub(crate) vcpus: Vcpus,
    /// Who executes the instructions, where the machine is not in this process.
    pub(crate) owner: Option<Owner>,
    /// `None` where the guest has no AP-queue interruption facility: then nothing watches for interruptions at all.
    pub(crate) interruptions: Option<Interruptions>,
    /// Whether the guest has executed an AP instruction since its last reset.
    pub(crate) used: AtomicBool,
    instructions: Sites<Instruction>,
    psw_loads: Sites<PswLoad>,
    diagnoses: Sites<Diagnose>,
}

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

/// The instance, once installed.
pub(crate) fn plugin() -> Option<&'static Plugin> {
    PLUGIN.get()
}

/// Puts the AP machine of `host` into the QEMU that calls us.
///
/// # Errors
/// A sentence: the plugin was loaded twice.
pub(crate) fn install(id: u64, host: Arc<Host>, owner: Option<Owner>, max_vcpus: usize) -> Result<(), String> {
    let interruptions = host.guest().facilities().apqi.then(Interruptions::new);
    let plugin = Plugin {
        host,
        vcpus: Vcpus::new(max_vcpus),
        owner,
        interruptions,
        used: AtomicBool::new(false),
        instructions: Sites::new(),
        psw_loads: Sites::new(),
        diagnoses: Sites::new(),
    };
    PLUGIN.set(plugin).map_err(|_| "this plugin is loaded twice; give -plugin once".to_owned())?;
    if let Some(plugin) = self::plugin() {
        plugin.host.guest().set_waker(Box::new(|| {
            if let Some((plugin, interruptions)) = self::plugin().and_then(|p| Some((p, p.interruptions.as_ref()?))) {
                interruptions.announce(plugin);
            }
        }));
    }
    let qemu = ffi::Plugin(id);
    qemu.on_vcpu_init(on_vcpu_init);
    qemu.on_vcpu_resume(on_vcpu_resume);
    qemu.on_vcpu_idle(on_vcpu_idle);
    qemu.on_translation(on_translation);
    qemu.on_exception(instruction::on_exception);
    qemu.on_flush(on_flush);
    Ok(())
}

extern "C" fn on_vcpu_init(vcpu: c_uint, _: *mut c_void) {
    let Some(plugin) = plugin() else { return };
    if let Err(reason) = plugin.vcpus.init(vcpu as usize) {
        // Without its registers the vCPU's AP instructions are left to QEMU: operation exceptions, and this line.
        eprintln!("kaput-qemu-ap: vCPU {vcpu} has no AP: {reason}");
    }
}

extern "C" fn on_vcpu_resume(vcpu: c_uint, _: *mut c_void) {
    if let Some(plugin) = plugin() {
        reset::on_resume(plugin, vcpu);
        plugin.host.vcpu_resumed();
    }
}

extern "C" fn on_vcpu_idle(vcpu: c_uint, _: *mut c_void) {
    if let Some(plugin) = plugin() {
        reset::on_idle(plugin, vcpu);
    }
}

extern "C" fn on_flush(_: *mut c_void) {
    if let Some(plugin) = plugin() {
        plugin.instructions.clear();
        plugin.psw_loads.clear();
        plugin.diagnoses.clear();
    }
}

extern "C" fn on_translation(tb: TbPtr, _: *mut c_void) {
    let Some(plugin) = plugin() else { return };
    // SAFETY: this is the translation callback, and the handle is not kept.
    let tb = unsafe { Tb::from_raw(tb) };
    // The target of an EXECUTE: a hook there would run away through memory, so AP under EXECUTE stays an operation
    // exception.
    if tb.insns().next().is_none_or(|first| !first.has_storage()) {
        return;
    }
    if let Some(interruptions) = &plugin.interruptions
        && !leads_on(tb)
    {
        tb.on_execution_if(interruptions.flag(), interrupt::on_block);
    }
    let execution =
        if plugin.owner.is_none() { instruction::on_execution } else { instruction::on_execution_elsewhere };
    let mut after_stfl = false;
    for insn in tb.insns() {
        let bytes = insn.bytes();
        if std::mem::replace(&mut after_stfl, facilities::is_stfl(bytes)) {
            facilities::watch_after_stfl(insn);
        }
        if facilities::is_stfle(bytes) {
            facilities::watch_stfle(insn, bytes);
        }
        let word = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if let Some(decoded) = Instruction::decode(word) {
            let site = plugin.instructions.intern(insn.address(), bytes, decoded);
            insn.on_execution(execution, site);
        } else if let Some(interruptions) = &plugin.interruptions
            && let Some(load) = PswLoad::decode(bytes)
        {
            let site = plugin.psw_loads.intern(insn.address(), bytes, load);
            insn.on_execution_if(interruptions.waits(), interrupt::on_psw_load, site);
        } else if let Some(diagnose) = Diagnose::decode(bytes) {
            let site = plugin.diagnoses.intern(insn.address(), bytes, diagnose);
            insn.on_execution_reading(reset::on_diagnose, site);
        }
    }
}

/// Where guests are started: everything below is looked at, because a reset must be noticed before the first block.
const LOW_STORAGE: u64 = 1 << 32;

/// Whether this block leads to a higher address only, so that nobody stays in such blocks: it need not look for
/// interruptions, because one of those that follow it does.
fn leads_on(tb: Tb) -> bool {
    tb.address() >= LOW_STORAGE && tb.insns().next_back().is_some_and(|last| branch::is_forward(last.bytes()))
}
