// SPDX-License-Identifier: MIT OR Apache-2.0
//! The image of a container, in the layout of the Open Container Initiative, as one file that every engine loads: one
//! layer, which is a Debian with the package and its QEMU. No engine is needed to make it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{DEADLINE, run};
use crate::process;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Packs a layer, which is a tar file, into `file`; the layer is used up.
///
/// # Errors
/// When a file cannot be written, or a program fails.
pub(super) fn pack(layer: &Path, architecture: &str, file: &Path) -> Result<()> {
    let parent = file.parent().context("the image goes into no folder")?;
    let scratch = tempfile::tempdir_in(parent).context("no folder for the image")?;
    let blobs = scratch.path().join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let unpacked = digest(layer)?;
    run(Command::new("gzip").args(["-n1"]).arg(layer), "the layer")?;
    let layer = add(&blobs, &layer.with_added_extension("gz"), LAYER)?;
    let json = |name: &str, value: &Value| -> Result<PathBuf> {
        let path = scratch.path().join(name);
        fs::write(&path, value.to_string())?;
        Ok(path)
    };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {
            "Entrypoint": ["kaput"],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
            "WorkingDir": "/root",
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{unpacked}")] },
    });
    let config = add(&blobs, &json("config", &config)?, CONFIG)?;
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    let mut manifest = add(&blobs, &json("manifest", &manifest)?, MANIFEST)?;
    manifest["annotations"] =
        json!({ "org.opencontainers.image.ref.name": concat!("kaput:", env!("CARGO_PKG_VERSION")) });
    json("index.json", &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] }))?;
    json("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
    let mut tar = Command::new("tar");
    tar.arg("-cf").arg(file).args(["--owner=0", "--group=0", "--sort=name", "-C"]).arg(scratch.path());
    run(tar.args(["oci-layout", "index.json", "blobs"]), "the image")
}

/// Unpacks the image as an engine does, with a look at each digest, and its layer into `root`.
///
/// # Errors
/// When a digest is wrong, or something else is not as the layout has it.
pub(crate) fn unpack(file: &Path, root: &Path) -> Result<()> {
    let scratch = tempfile::tempdir_in(root.parent().context("the root goes into no folder")?)?;
    run(Command::new("tar").arg("-xf").arg(file).arg("-C").arg(scratch.path()), "the unpacked image")?;
    let blob = |descriptor: &Value| -> Result<PathBuf> {
        let digest = descriptor["digest"].as_str().and_then(|text| text.strip_prefix("sha256:"));
        let path = scratch.path().join("blobs/sha256").join(digest.context("a descriptor without a digest")?);
        if Some(self::digest(&path)?.as_str()) != digest || descriptor["size"] != fs::metadata(&path)?.len() {
            bail!("{} is not what its descriptor says", path.display());
        }
        Ok(path)
    };
    let read = |path: PathBuf| -> Result<Value> { Ok(serde_json::from_str(&fs::read_to_string(path)?)?) };
    let index = read(scratch.path().join("index.json"))?;
    let manifest = read(blob(&index["manifests"][0])?)?;
    read(blob(&manifest["config"])?)?;
    fs::create_dir_all(root)?;
    run(Command::new("tar").arg("-xzf").arg(blob(&manifest["layers"][0])?).arg("-C").arg(root), "the unpacked layer")
}

/// Puts a file among the blobs, under its digest; what describes it.
fn add(blobs: &Path, file: &Path, kind: &str) -> Result<Value> {
    let (digest, size) = (digest(file)?, fs::metadata(file)?.len());
    fs::rename(file, blobs.join(&digest)).with_context(|| format!("cannot move {}", file.display()))?;
    Ok(json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": size }))
}

fn digest(file: &Path) -> Result<String> {
    let said = process::capture(Command::new("sha256sum").arg("--").arg(file), "", DEADLINE)?;
    let digest = said.stdout.split_whitespace().next().filter(|digest| digest.len() == 64);
    Ok(digest.with_context(|| format!("no digest of {}: {}", file.display(), said.complaint()))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_unpacked_as_it_was_packed_and_a_damaged_one_is_refused() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("in"))?;
        fs::write(at("in/file"), "content")?;
        run(Command::new("tar").arg("-cf").arg(at("layer")).arg("-C").arg(at("in")).arg("."), "a layer")?;
        pack(&at("layer"), "s390x", &at("image.tar"))?;
        unpack(&at("image.tar"), &at("out"))?;
        assert_eq!(fs::read_to_string(at("out/file"))?, "content");
        let bytes = fs::read(at("image.tar"))?;
        let place = bytes.windows(6).position(|at| at == b"\"s390x").context("the architecture")?;
        let damaged: Vec<u8> = [&bytes[..place], b"\"amd64\"", &bytes[place + 7..]].concat();
        fs::write(at("damaged.tar"), damaged)?;
        assert!(unpack(&at("damaged.tar"), &at("out2")).is_err());
        Ok(())
    }
}
