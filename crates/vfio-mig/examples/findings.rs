// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists the findings of the catalogue, or explains one: `cargo run -p vfio-mig --example findings -- ID`
#![forbid(unsafe_code)]

use vfio_mig::catalogue;

fn main() -> Result<(), String> {
    match std::env::args().nth(1) {
        Some(id) => println!("{}", explain(&id)?),
        None => catalogue::findings().for_each(|finding| println!("{} ({})", finding.id, finding.severity)),
    }
    Ok(())
}

fn explain(id: &str) -> Result<String, String> {
    let finding = catalogue::find(id).ok_or_else(|| format!("there is no finding {id}"))?;
    let cases = catalogue::cases_of(id).join(", ");
    Ok(format!("{}: {}\nshows: {}\nright: {}\ncases: {cases}", id, finding.what, finding.shows, finding.right))
}

#[test]
fn a_finding_is_explained_with_the_cases_that_show_it() {
    let said = explain("control-domains-dropped").expect("a finding");
    assert!(said.contains("cases: ") && said.contains("guest/control-domains"), "{said}");
    assert!(explain("no-such-finding").is_err());
}
