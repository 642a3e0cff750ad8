// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the harness finds what it needs: QEMU, the plugin, the image, the scenarios. From options, else from the
//! environment (`cargo xtask` sets it), else next to the program. Everything is checked before anything is started.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::guest::image::{Image, ImageError};
use crate::hosts::kernel_log::KernelLogs;
use crate::hosts::pair::{Hosts, Sites};
use crate::hosts::qemu::{self, QemuError};
use crate::hosts::ssh::HostError;
use crate::lab::supply::Supply;
use crate::run::engine::Engine;

/// What the user named.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Named {
    /// QEMU and the plugin.
    #[command(flatten)]
    pub emulator: NamedEmulator,
    /// The guest image [default: kaput-image next to this program]
    #[arg(long, value_name = "FILE", env = "KAPUT_IMAGE")]
    pub image: Option<PathBuf>,
    /// The scenarios.
    #[command(flatten)]
    pub scenarios: NamedScenarios,
}

/// QEMU and the plugin.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NamedEmulator {
    /// QEMU for s390x, 11.1 or newer [default: qemu-system-s390x in PATH]
    #[arg(long, value_name = "PROGRAM", env = "KAPUT_QEMU")]
    pub qemu: Option<PathBuf>,
    /// The QEMU plugin [default: libqemu_ap.so next to this program]
    #[arg(long, value_name = "FILE", env = "KAPUT_PLUGIN")]
    pub plugin: Option<PathBuf>,
}

/// The folder with the scenarios.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NamedScenarios {
    /// The folder with the scenarios [default: scenarios next to this program]
    #[arg(long = "scenarios", value_name = "FOLDER", env = "KAPUT_SCENARIOS")]
    pub folder: Option<PathBuf>,
}

impl NamedScenarios {
    /// The folder.
    ///
    /// # Errors
    /// [`ToolError::Missing`].
    pub fn find(&self) -> Result<PathBuf, ToolError> {
        let path = self.folder.clone().unwrap_or_else(|| beside("scenarios"));
        if path.is_dir() {
            Ok(path)
        } else {
            Err(ToolError::Missing { what: "scenario folder", path, option: "scenarios" })
        }
    }
}

impl NamedEmulator {
    /// Finds and checks both, for a guest of the user's own.
    ///
    /// # Errors
    /// [`ToolError`].
    pub async fn find(&self) -> Result<(PathBuf, PathBuf), ToolError> {
        let (qemu, plugin) = (self.qemu(), self.plugin()?);
        [&plugin, &qemu].into_iter().try_for_each(|path| text(path))?;
        qemu::machine_type(&qemu).await?;
        Ok((qemu, plugin))
    }

    pub(crate) fn qemu(&self) -> PathBuf {
        self.qemu.clone().unwrap_or_else(in_path)
    }

    pub(crate) fn plugin(&self) -> Result<PathBuf, ToolError> {
        let plugin = self.plugin.clone().unwrap_or_else(|| beside("libqemu_ap.so"));
        if !plugin.is_file() {
            return Err(ToolError::Missing { what: "plugin", path: plugin, option: "plugin" });
        }
        Ok(std::path::absolute(&plugin).unwrap_or(plugin))
    }
}

/// Why the harness cannot start anything.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ToolError {
    /// A file is not there.
    #[error("there is no {what} at {}", path.display())]
    #[diagnostic(help("name it with --{option}, or use `cargo xtask kaput`, which builds and names everything"))]
    Missing {
        /// What.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// The option that names it.
        option: &'static str,
    },
    /// A path that QEMU cannot be given.
    #[error("the path {} is not text in UTF-8", path.display())]
    #[diagnostic(help("move or link it to a path that is"))]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// QEMU is of no use.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Qemu(#[from] QemuError),
    /// The image is not ours.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Image(#[from] ImageError),
    /// Another host.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] HostError),
}

/// Everything a run needs, checked.
#[derive(Clone, Debug)]
pub struct Tools {
    /// QEMU.
    pub qemu: PathBuf,
    /// The machine type it is started with.
    pub machine: String,
    /// The plugin.
    pub plugin: PathBuf,
    /// The image.
    pub image: Image,
    /// The hosts that machines run on.
    pub hosts: Hosts,
    /// What executes guests.
    pub engine: Engine,
    /// LPARs for scenarios whose driver is a real one.
    pub lab: Option<Arc<Supply>>,
    /// Whom to ask why a migration failed; `None` where the plugin says it.
    pub kernel_logs: Option<KernelLogs>,
}

impl Named {
    /// Finds and checks the rest.
    ///
    /// # Errors
    /// [`ToolError`].
    pub async fn find(&self) -> Result<Tools, ToolError> {
        self.find_on(&Sites::default(), true).await
    }

    /// Finds and checks the rest, where it is needed: another host has a QEMU and a plugin of its own, KVM needs no
    /// plugin.
    ///
    /// # Errors
    /// [`ToolError`].
    pub async fn find_on(&self, sites: &Sites, with_plugin: bool) -> Result<Tools, ToolError> {
        // Files first: asking QEMU takes time.
        let plugin = if sites.any_local() && with_plugin { self.emulator.plugin()? } else { PathBuf::new() };
        let image = self.image()?;
        let qemu = if sites.any_local() { self.emulator.qemu() } else { PathBuf::new() };
        [&image.path, &plugin, &qemu].into_iter().try_for_each(|path| text(path))?;
        let machine = if sites.any_local() { Some(qemu::machine_type(&qemu).await?) } else { None };
        let hosts = sites.connect().await?;
        let machine = hosts.machine(machine.as_deref())?;
        hosts.bring(&image).await?;
        Ok(Tools { qemu, machine, plugin, image, hosts, engine: Engine::Emulated, lab: None, kernel_logs: None })
    }

    pub(crate) fn image(&self) -> Result<Image, ImageError> {
        Image::read(&self.image.clone().unwrap_or_else(|| beside("kaput-image")))
    }
}

fn text(path: &Path) -> Result<(), ToolError> {
    path.to_str().map(|_| ()).ok_or_else(|| ToolError::NotText { path: path.to_owned() })
}

/// QEMU in `PATH`; the bare name if it is not there, so that starting it says so.
fn in_path() -> PathBuf {
    let name = "qemu-system-s390x";
    which::which(name).unwrap_or_else(|_| PathBuf::from(name))
}

/// A file in the folder of this program.
pub(crate) fn beside(name: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.parent().unwrap_or(Path::new(".")).join(name)
}
