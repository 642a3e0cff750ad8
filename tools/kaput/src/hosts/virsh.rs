// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a host's `virsh` is asked by shell words: also by those who clean up after a run that libvirt carried out.

use preflight::text::shell_word;

use crate::hosts::ssh::{HostConnection, HostError};

/// How a host's libvirt is asked: the system's, where QEMU's guests with devices are.
pub(crate) const VIRSH: &str = "virsh -q -c qemu:///system";

/// What the names of domains begin with whose run made a mediated device of this name, or has this name itself.
#[must_use]
pub fn mark_of(uuid: &str) -> &str {
    uuid.split('-').next().unwrap_or_default()
}

/// Shell words that destroy a domain. Its QEMU is killed before: libvirt itself asks it to end, and looks five times a
/// second whether it has. So it ends too where its libvirt does not answer any more.
pub(crate) fn destroy(name: &str) -> String {
    let name = shell_word(name);
    format!(
        "{{ pid=$(cat /run/libvirt/qemu/{name}.pid) && grep -q {name} \"/proc/$pid/cmdline\" && kill -9 \"$pid\"\n\
         timeout 20 {VIRSH} destroy {name}; }} > /dev/null 2>&1\n"
    )
}

/// Destroys the domains of a run that are still there. A host without libvirt has none.
///
/// # Errors
/// [`HostError`].
pub async fn destroy_all(connection: &HostConnection, mark: &str) -> Result<(), HostError> {
    let pattern = shell_word(&format!("kaput-{mark}-"));
    let script = format!(
        "command -v virsh > /dev/null || exit 0\n\
         for name in $(timeout 20 {VIRSH} list --all --name 2> /dev/null); do\n\
         case $name in {pattern}*) timeout 20 {VIRSH} destroy \"$name\" ;; esac\ndone\nexit 0\n"
    );
    connection.script("end guests of its libvirt", &script).await.map(|_| ())
}
