// SPDX-License-Identifier: MIT OR Apache-2.0
//! A real browser without a window: what it measures of a page, and what it draws.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checks::{ensure, output};
use libtest_mimic::Failed;

const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
];

/// Tells the width of a page inside a frame: of the whole, and what is cut off in it.
const RULER: &str = r"<script>
const frame = document.querySelector('iframe');
frame.onload = () => {
  const page = frame.contentDocument, whole = page.documentElement;
  const cut = [...page.querySelectorAll('pre, .scroll')].filter(box => box.scrollWidth > box.clientWidth + 1).length;
  const bare = [...page.querySelectorAll('pre, .scroll')]
      .filter(box => !['auto', 'scroll'].includes(page.defaultView.getComputedStyle(box).overflowX)).length;
  document.body.dataset.measured = [whole.scrollWidth - whole.clientWidth, cut, bare].join(' ');
};
</script>";

/// The program, and the folder for what it makes.
pub(super) struct Browser {
    pub(super) program: PathBuf,
    pub(super) folder: PathBuf,
}

/// What the ruler says.
#[derive(Debug)]
pub(super) struct Measured {
    /// Pixels by which the page is wider than the screen.
    pub(super) too_wide: i64,
    /// Boxes of which a part is not seen at once.
    pub(super) cut: i64,
    /// Boxes that do not scroll by themselves.
    pub(super) bare: i64,
}

impl Browser {
    pub(super) fn start(&self, flags: &[String]) -> Result<String, Failed> {
        let profile = tempfile::tempdir().map_err(|error| error.to_string())?;
        let profile = format!("--user-data-dir={}", profile.path().display());
        let said = output(Command::new(&self.program).args(FLAGS).arg(profile).args(flags))?;
        ensure(said.status.success(), || format!("the browser: {}", String::from_utf8_lossy(&said.stderr)))?;
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// Shows a page in a frame of this width; a browser's window cannot be as narrow as a phone.
    pub(super) fn framed(&self, name: &str, page: &str, width: u32) -> Result<PathBuf, Failed> {
        let text = page.replace('&', "&amp;").replace('"', "&quot;");
        let frame = format!("<iframe style=\"border:0\" width={width} height=1600 srcdoc=\"{text}\"></iframe>");
        let path = self.folder.join(format!("{name}-{width}.html"));
        fs::write(&path, format!("<!DOCTYPE html><title>x</title><body style=\"margin:0\">{frame}{RULER}"))
            .map_err(|error| error.to_string())?;
        Ok(path)
    }

    pub(super) fn measure(&self, name: &str, page: &str, width: u32) -> Result<Measured, Failed> {
        let framed = self.framed(name, page, width)?;
        let url = format!("file://{}", framed.display());
        let dom = self.start(&["--window-size=1200,1600".to_owned(), "--dump-dom".to_owned(), url])?;
        let figures = dom.split("data-measured=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let figures: Vec<i64> = figures.split(' ').filter_map(|figure| figure.parse().ok()).collect();
        match figures[..] {
            [too_wide, cut, bare] => Ok(Measured { too_wide, cut, bare }),
            _ => Err(format!("the browser measured nothing of {name}").into()),
        }
    }

    /// Draws a file; the picture's size, its mean brightness from 0 to 255, and how many colours it has.
    pub(super) fn draw(&self, page: &Path, name: &str, flags: &[&str]) -> Result<(u32, u8, usize), Failed> {
        let picture = self.folder.join(format!("{name}.png"));
        _ = fs::remove_file(&picture);
        let mut all: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        all.extend([format!("--screenshot={}", picture.display()), format!("file://{}", page.display())]);
        self.start(&all)?;
        look(&picture)
    }
}

fn look(picture: &Path) -> Result<(u32, u8, usize), Failed> {
    let wrong = |error: &dyn std::fmt::Display| Failed::from(format!("{}: {error}", picture.display()));
    let file = fs::File::open(picture).map_err(|error| wrong(&error))?;
    let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|error| wrong(&error))?;
    let mut bytes = vec![0; reader.output_buffer_size().ok_or_else(|| wrong(&"too large"))?];
    let info = reader.next_frame(&mut bytes).map_err(|error| wrong(&error))?;
    let pixels: Vec<&[u8]> = bytes.chunks_exact(info.color_type.samples()).collect();
    let bright: u64 =
        pixels.iter().map(|pixel| pixel.iter().take(3).map(|byte| u64::from(*byte)).sum::<u64>() / 3).sum();
    let colours: std::collections::HashSet<&[u8]> = pixels.iter().copied().collect();
    let mean = u8::try_from(bright / pixels.len().max(1) as u64).unwrap_or(u8::MAX);
    Ok((info.width, mean, colours.len()))
}
