// SPDX-License-Identifier: MIT OR Apache-2.0
//! JUnit's XML against the schema beside this file, by xmllint, or where there is none by the validator of a Java
//! development kit.

use std::path::{Path, PathBuf};
use std::process::Command;

use checks::{ensure, in_path, output, root};
use libtest_mimic::{Failed, Trial};

use super::made;

const NAME: &str = "junit_follows_the_schema_of_ci_systems";

const JAVA: &str = r"
import java.io.File;
import javax.xml.validation.*;
import javax.xml.transform.stream.StreamSource;
class Validate {
    public static void main(String[] files) throws Exception {
        var factory = SchemaFactory.newInstance(javax.xml.XMLConstants.W3C_XML_SCHEMA_NS_URI);
        var schema = factory.newSchema(new File(files[0]));
        schema.newValidator().validate(new StreamSource(new File(files[1])));
    }
}
";

/// Who validates here: the program, and what it is told before the names of the two files.
fn validator(folder: &Path) -> Result<Command, Failed> {
    if let Some(xmllint) = in_path(&["xmllint"]) {
        let mut command = Command::new(xmllint);
        command.args(["--noout", "--nonet", "--schema"]);
        return Ok(command);
    }
    let source = folder.join("Validate.java");
    std::fs::write(&source, JAVA).map_err(|error| error.to_string())?;
    let mut command = Command::new(in_path(&["java"]).ok_or("no java")?);
    command.arg(source);
    Ok(command)
}

fn validate(report: &Path) -> Result<(bool, String), Failed> {
    let schema: PathBuf = root().join("tools/checks/tests/junit.xsd");
    let said = output(validator(report.parent().unwrap_or(Path::new(".")))?.arg(schema).arg(report))?;
    Ok((said.status.success(), String::from_utf8_lossy(&said.stderr).into_owned()))
}

pub(super) fn trial() -> Trial {
    if in_path(&["xmllint"]).is_none() && (in_path(&["java"]).is_none() || in_path(&["javac"]).is_none()) {
        return checks::skipped(
            "validators",
            NAME,
            "there is neither xmllint (Debian: libxml2-utils) nor a Java development kit",
        );
    }
    checks::trial(NAME, || {
        let made = made()?;
        let (good, said) = validate(&made.file("junit"))?;
        ensure(good, || said)?;
        let text = made.text("junit")?;
        for (from, to) in [("classname=", "class="), ("tests=\"", "tests=\"x"), ("<testcase ", "<case/><testcase ")] {
            let path = made.folder.path().join("damaged.xml");
            std::fs::write(&path, text.replacen(from, to, 1)).map_err(|error| error.to_string())?;
            let (good, _) = validate(&path)?;
            ensure(!good, || format!("{to:?} instead of {from:?} was not noticed"))?;
        }
        Ok(())
    })
}
