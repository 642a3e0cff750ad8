// SPDX-License-Identifier: GPL-2.0-or-later
//! The one instance of the plugin in this QEMU, and every function that QEMU calls: when it translates a block, the
//! instructions we care about are found and hooked; each hook then gets the plugin and the vCPU it runs on.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Arc, OnceLock};

use ap_machine::Instruction;
use vfio_ap::Host;

use crate::cpu::branch;
use crate::cpu::vcpu::Cpu;
use crate::emulation::facilities::{self, Stfle};
use crate::emulation::lpar::{self, Servc};
use crate::emulation::reset::{self, Diagnose};
use crate::emulation::wait::{self, PswLoad};
use crate::emulation::{delivery, instruction};
use crate::ffi::{self, Stored, Tb, TbPtr};
use crate::state::owner::Owner;
use crate::state::plugin::Plugin;
use crate::state::sites::{Site, Sites};

/// The plugin, and where the instructions stand that it has hooked.
struct Instance {
    plugin: Plugin,
    instructions: Sites<Instruction>,
    psw_loads: Sites<PswLoad>,
    diagnoses: Sites<Diagnose>,
    stfles: Sites<Stfle>,
    servcs: Sites<Servc>,
    plos: Sites<()>,
}

static INSTANCE: OnceLock<Instance> = OnceLock::new();

/// Puts the AP machine of `host` into the QEMU that calls us.
///
/// # Errors
/// A sentence: the plugin was loaded twice.
pub(crate) fn install(id: u64, host: Arc<Host>, owner: Option<Owner>, max_vcpus: usize) -> Result<(), String> {
    let instance = Instance {
        plugin: Plugin::new(host, owner, max_vcpus),
        instructions: Sites::new(),
        psw_loads: Sites::new(),
        diagnoses: Sites::new(),
        stfles: Sites::new(),
        servcs: Sites::new(),
        plos: Sites::new(),
    };
    INSTANCE.set(instance).map_err(|_| "this plugin is loaded twice; give -plugin once".to_owned())?;
    if let Some(Instance { plugin, .. }) = INSTANCE.get()
        && let Some(interruptions) = &plugin.interruptions
    {
        plugin.host.guest().set_waker(Box::new(|| interruptions.announce(&plugin.vcpus)));
    }
    let qemu = ffi::Plugin(id);
    qemu.on_vcpu_init(on_vcpu_init);
    qemu.on_vcpu_resume(on_vcpu_resume);
    qemu.on_vcpu_idle(on_vcpu_idle);
    qemu.on_translation(on_translation);
    qemu.on_exception(on_exception);
    qemu.on_interruption(on_interruption);
    qemu.on_flush(on_flush);
    Ok(())
}

/// What `act` makes of the vCPU whose callback is running. Called from callbacks of vCPU `index` only.
fn with_cpu<T>(index: c_uint, act: impl FnOnce(&'static Plugin, &mut Cpu<'_>) -> T) -> Option<T> {
    let plugin = &INSTANCE.get()?.plugin;
    // SAFETY: this is a callback of that vCPU, and the value ends with this function.
    let mut cpu = unsafe { plugin.vcpus.current(index as usize) }?;
    Some(act(plugin, &mut cpu))
}

/// The site that a hook was registered with.
///
/// # Safety
/// `site` is what [`Sites::intern`] of the same kind of instruction gave for the hook that is running.
const unsafe fn site_of<'a, I>(site: *mut c_void) -> &'a Site<I> {
    // SAFETY: the table keeps each site until the code cache, and with it this hook, is thrown away.
    unsafe { &*site.cast::<Site<I>>() }
}

/// Goes on at `next`, if there is one; else the callback returns and QEMU goes on.
fn go_on_at(next: Option<u64>) {
    if let Some(next) = next {
        // SAFETY: called last in hooks registered with registers and PC writable; whoever gives an address has written
        // pswm; neither this frame nor the hook's has a destructor.
        unsafe { ffi::resume_at(next) }
    }
}

extern "C" fn on_vcpu_init(vcpu: c_uint, _: *mut c_void) {
    let Some(Instance { plugin, .. }) = INSTANCE.get() else { return };
    if let Err(reason) = plugin.vcpus.init(vcpu as usize) {
        // Without its registers the vCPU's AP instructions are left to QEMU: operation exceptions, and this line.
        eprintln!("kaput-qemu-ap: vCPU {vcpu} has no AP: {reason}");
    }
}

extern "C" fn on_vcpu_resume(vcpu: c_uint, _: *mut c_void) {
    let plugin = with_cpu(vcpu, |plugin, cpu| {
        reset::notice(plugin, cpu);
        plugin
    });
    if let Some(plugin) = plugin {
        plugin.host.vcpu_resumed();
    }
}

extern "C" fn on_vcpu_idle(vcpu: c_uint, _: *mut c_void) {
    with_cpu(vcpu, |plugin, cpu| {
        wait::release(cpu);
        reset::stands_still(plugin, cpu);
        if let Some(owner) = &plugin.owner {
            owner.rests();
        }
    });
}

extern "C" fn on_flush(_: *mut c_void) {
    if let Some(instance) = INSTANCE.get() {
        instance.instructions.clear();
        instance.psw_loads.clear();
        instance.diagnoses.clear();
        instance.stfles.clear();
        instance.servcs.clear();
        instance.plos.clear();
    }
}

extern "C" fn on_exception(vcpu: c_uint, _kind: c_int, _from: u64, _to: u64, _: *mut c_void) {
    with_cpu(vcpu, |plugin, cpu| {
        instruction::after_exception(cpu);
        lpar::after_interruption(plugin, cpu);
    });
}

extern "C" fn on_interruption(vcpu: c_uint, _kind: c_int, _from: u64, _to: u64, _: *mut c_void) {
    with_cpu(vcpu, |plugin, cpu| {
        wait::after_interruption(cpu);
        lpar::after_interruption(plugin, cpu);
    });
}

extern "C" fn on_block(vcpu: c_uint, block: *mut c_void) {
    go_on_at(
        with_cpu(vcpu, |plugin, cpu| {
            reset::notice(plugin, cpu);
            delivery::at_block(plugin, cpu, block as u64)
        })
        .flatten(),
    );
}

extern "C" fn on_instruction(vcpu: c_uint, site: *mut c_void) {
    // SAFETY: registered with a site of `instructions`.
    let site = unsafe { site_of(site) };
    go_on_at(with_cpu(vcpu, |plugin, cpu| instruction::execute(plugin, cpu, site)).flatten());
}

extern "C" fn on_psw_load(vcpu: c_uint, site: *mut c_void) {
    // SAFETY: registered with a site of `psw_loads`.
    let site = unsafe { site_of(site) };
    go_on_at(with_cpu(vcpu, |plugin, cpu| wait::enter(plugin, cpu, site)).flatten());
}

extern "C" fn on_diagnose(vcpu: c_uint, site: *mut c_void) {
    // SAFETY: registered with a site of `diagnoses`.
    let site: &Site<Diagnose> = unsafe { site_of(site) };
    with_cpu(vcpu, |plugin, cpu| reset::before_diagnose(plugin, cpu, site.instruction));
}

extern "C" fn on_stfle(vcpu: c_uint, site: *mut c_void) {
    // SAFETY: registered with a site of `stfles`.
    let site: &Site<Stfle> = unsafe { site_of(site) };
    with_cpu(vcpu, |_, cpu| facilities::before_stfle(cpu, site.instruction));
}

extern "C" fn on_stfle_store(vcpu: c_uint, access: u32, vaddr: u64, _: *mut c_void) {
    // SAFETY: the arguments are those of this memory callback.
    let stored = unsafe { Stored::from_raw(access, vaddr) };
    with_cpu(vcpu, |plugin, cpu| facilities::after_stfle_store(plugin, cpu, &stored));
}

extern "C" fn on_servc(vcpu: c_uint, site: *mut c_void) {
    // SAFETY: registered with a site of `servcs`.
    let site: &Site<Servc> = unsafe { site_of(site) };
    with_cpu(vcpu, |plugin, cpu| lpar::before_servc(plugin, cpu, site.instruction));
}

extern "C" fn on_plo(vcpu: c_uint, site: *mut c_void) {
    // SAFETY: registered with a site of `plos`.
    let site: &Site<()> = unsafe { site_of(site) };
    go_on_at(with_cpu(vcpu, |_, cpu| lpar::plo(cpu, site.address)).flatten());
}

extern "C" fn on_what_follows_stfl(vcpu: c_uint, _: *mut c_void) {
    with_cpu(vcpu, facilities::after_stfl);
}

extern "C" fn on_translation(tb: TbPtr, _: *mut c_void) {
    let Some(instance) = INSTANCE.get() else { return };
    // SAFETY: this is the translation callback, and the handle is not kept.
    let tb = unsafe { Tb::from_raw(tb) };
    // The target of an EXECUTE: a hook there would run away through memory, so AP under EXECUTE stays an operation
    // exception.
    if tb.insns().next().is_none_or(|first| !first.has_storage()) {
        return;
    }
    let interruptions = instance.plugin.interruptions.as_ref();
    if let Some(interruptions) = interruptions
        && !leads_on(tb)
    {
        tb.on_execution_if(interruptions.flag, on_block);
    }
    let mut after_stfl = false;
    for insn in tb.insns() {
        let (address, bytes) = (insn.address(), insn.bytes());
        if std::mem::replace(&mut after_stfl, facilities::is_stfl(bytes)) {
            insn.on_execution_reading(on_what_follows_stfl, std::ptr::null_mut());
        }
        if let Some(decoded) = Instruction::decode([bytes[0], bytes[1], bytes[2], bytes[3]]) {
            insn.on_execution(on_instruction, instance.instructions.intern(address, bytes, decoded));
        } else if let Some(stfle) = Stfle::decode(bytes) {
            insn.on_execution_reading(on_stfle, instance.stfles.intern(address, bytes, stfle));
            insn.on_store(on_stfle_store);
        } else if let Some(interruptions) = interruptions
            && let Some(load) = PswLoad::decode(bytes)
        {
            let site = instance.psw_loads.intern(address, bytes, load);
            insn.on_execution_if(interruptions.waits, on_psw_load, site);
        } else if let Some(diagnose) = Diagnose::decode(bytes) {
            insn.on_execution_reading(on_diagnose, instance.diagnoses.intern(address, bytes, diagnose));
        } else if instance.plugin.service_call.is_some() {
            if let Some(servc) = Servc::decode(bytes) {
                insn.on_execution_reading(on_servc, instance.servcs.intern(address, bytes, servc));
            } else if lpar::is_plo(bytes) {
                insn.on_execution(on_plo, instance.plos.intern(address, bytes, ()));
            }
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
