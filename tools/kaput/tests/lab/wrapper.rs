// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput qemu --lpar` in the place of `qemu-system-s390x`: the script of two lines that `docs/any-guest.md` shows,
//! with the arguments that virtme-ng and the kernel's own `kunit.py` pass. Their kernels have a root file system or
//! tests; the lab's has neither, and ends where it looks for them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::support::named;

/// What a kernel says once its vfio_ap has found AP, and where it ends without a first program.
const STARTED: &str = "vfio_ap matrix: MDEV: Registered";
const ENDED: &str = "Kernel panic - not syncing: ";
/// What KVM says where the CPU has no SIE.
const NO_SIE: &str = "SIE is not available";

/// How long a boot may take on a machine that has much else to do, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(50);

/// `LinuxSourceTreeOperationsQemu.start` in tools/testing/kunit/kunit_kernel.py with qemu_configs/s390.py, of Linux
/// 7.3; `panic=-1` is `--kernel_args`. `KERNEL` and `FOLDER` are filled in.
const KUNIT: &[&str] = &[
    "-nodefaults",
    "-m",
    "1024",
    "-kernel",
    "KERNEL",
    "-append",
    "panic=-1 kunit.enable=1 console=ttyS0 kunit_shutdown=reboot",
    "-no-reboot",
    "-nographic",
    "-accel",
    "kvm",
    "-accel",
    "hvf",
    "-accel",
    "tcg",
    "-serial",
    "stdio",
    "-machine",
    "s390-ccw-virtio",
    "-cpu",
    "qemu",
];

/// `vng --verbose --run KERNEL --arch s390x --root FOLDER -- COMMAND` of virtme-ng 1.42, as `--dry-run` shows it; its
/// guest tools are a folder too.
const VNG: &[&str] = &[
    "-name",
    "virtme-ng",
    "-m",
    "1G",
    "-fsdev",
    "local,id=virtfs5,path=FOLDER,security_model=none,readonly=on,multidevs=remap",
    "-device",
    "virtio-9p-ccw,fsdev=virtfs5,mount_tag=/dev/root",
    "-fsdev",
    "local,id=virtfs9,path=FOLDER,security_model=none,readonly=on,multidevs=remap",
    "-device",
    "virtio-9p-ccw,fsdev=virtfs9,mount_tag=virtme.guesttools",
    "-M",
    "s390-ccw-virtio",
    "-device",
    "diag288,id=watchdog0",
    "-nodefaults",
    "-parallel",
    "none",
    "-net",
    "none",
    "-smp",
    "2",
    "-vga",
    "none",
    "-display",
    "none",
    "-device",
    "sclpconsole,chardev=console",
    "-chardev",
    "file,id=console,path=/proc/self/fd/2",
    "-chardev",
    "stdio,id=stdin,signal=on,mux=off",
    "-device",
    "virtio-serial-ccw",
    "-device",
    "virtserialport,name=virtme.stdin,chardev=stdin",
    "-chardev",
    "file,id=stdout,path=/proc/self/fd/1",
    "-device",
    "virtio-serial-ccw",
    "-device",
    "virtserialport,name=virtme.stdout,chardev=stdout",
    "-chardev",
    "file,id=stderr,path=/proc/self/fd/2",
    "-device",
    "virtio-serial-ccw",
    "-device",
    "virtserialport,name=virtme.stderr,chardev=stderr",
    "-chardev",
    "file,id=dev_stdout,path=/proc/self/fd/1",
    "-device",
    "virtio-serial-ccw",
    "-device",
    "virtserialport,name=virtme.dev_stdout,chardev=dev_stdout",
    "-chardev",
    "file,id=dev_stderr,path=/proc/self/fd/2",
    "-device",
    "virtio-serial-ccw",
    "-device",
    "virtserialport,name=virtme.dev_stderr,chardev=dev_stderr",
    "-chardev",
    "file,id=ret,path=FOLDER/ret",
    "-device",
    "virtio-serial-ccw",
    "-device",
    "virtserialport,name=virtme.ret,chardev=ret",
    "-no-reboot",
    "-kernel",
    "KERNEL",
    "-append",
    "virtme_hostname=virtme-ng nr_open=1048576 virtme_rw_overlay0=/etc virtme_rw_overlay1=/lib \
     virtme_rw_overlay2=/home virtme_rw_overlay3=/opt virtme_rw_overlay4=/srv virtme_rw_overlay5=/usr \
     virtme_rw_overlay6=/var virtme_rw_overlay7=/tmp virtme_console=ttysclp0 console=ttysclp0 earlyprintk=sclp \
     panic=-1 virtme.exec=`bHMgL3N5cy9idXMvYXAvZGV2aWNlcw==` virtme_root_user=1 rootfstype=9p \
     rootflags=version=9p2000.L,trans=virtio,access=any,msize=524288 raid=noautodetect ro loglevel=7 init=/bin/sh -- \
     -c \"mount -t tmpfs run /run; mount -t devtmpfs devtmpfs /dev; mkdir -p /run/virtme/guesttools; /bin/mount -n -t \
     9p -o ro,version=9p2000.L,trans=virtio,access=any,msize=524288 virtme.guesttools /run/virtme/guesttools; mount \
     --bind /dev/null /etc/fstab; exec /run/virtme/guesttools/virtme-init\"",
];

pub(crate) fn boots_for_kunit(bench: &Bench) -> Result<(), String> {
    boots(bench, "kunit", KUNIT)
}

pub(crate) fn boots_for_virtme(bench: &Bench) -> Result<(), String> {
    boots(bench, "virtme", VNG)
}

fn boots(bench: &Bench, name: &str, arguments: &[&str]) -> Result<(), String> {
    let folder = bench.folder(name)?;
    script(&folder).map_err(|error| error.to_string())?;
    let kernel = bench.parts().kernel;
    let fill = |argument: &&str| {
        argument.replace("KERNEL", &kernel.display().to_string()).replace("FOLDER", &folder.display().to_string())
    };
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("qemu-system-s390x");
    // A child is looked for in the path that it is given.
    command.env("PATH", format!("{}:{path}", folder.display()));
    let files = ["stdout", "stderr"].map(|name| folder.join(name));
    let [stdout, stderr] = files.each_ref().map(File::create);
    command.args(arguments.iter().map(fill)).stdin(Stdio::null());
    let (stdout, stderr) = (stdout.map_err(|error| error.to_string())?, stderr.map_err(|error| error.to_string())?);
    let ended = end_of(command.stdout(stdout).stderr(stderr)).map_err(|error| error.to_string())?;
    let said = files.map(|file| fs::read(file).unwrap_or_default()).concat();
    let said = String::from_utf8_lossy(&said);
    let is_over = ended.is_some_and(|status| status.success());
    if said.contains(STARTED) && said.contains(ENDED) && !said.contains(NO_SIE) && is_over {
        return Ok(());
    }
    let tail: Vec<&str> = said.lines().rev().take(30).collect();
    Err(format!("{ended:?}: {}", tail.into_iter().rev().collect::<Vec<_>>().join("\n")))
}

/// How a program ended; one that does not is killed.
fn end_of(command: &mut Command) -> std::io::Result<Option<ExitStatus>> {
    let (mut child, begin) = (command.spawn()?, Instant::now());
    while begin.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The script of the document.
fn script(folder: &Path) -> std::io::Result<PathBuf> {
    let named = named().emulator;
    let (qemu, plugin) = (named.qemu.unwrap_or_default(), named.plugin.unwrap_or_default());
    let text = format!(
        "#!/bin/sh\nexec '{}' qemu --qemu '{}' --plugin '{}' --lpar --ap 05=cex8a,06=cex8c/33,3a -- \"$@\"\n",
        env!("CARGO_BIN_EXE_kaput"),
        qemu.display(),
        plugin.display()
    );
    let path = folder.join("qemu-system-s390x");
    crate::program::program(&path, &text)?;
    Ok(path)
}
