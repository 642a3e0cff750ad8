// SPDX-License-Identifier: MIT OR Apache-2.0
//! `comment-typo-stte`, `doc-typos-and-inconsistent-names`: words that are wrong, words that stand twice.

use super::{Faults, all_keep, documents_and_comments};

/// Slips that people make in such texts, the reviewed documents' among them.
const MISSPELT: &[&str] = &[
    "accomodate",
    "acheive",
    "adddress",
    "adress",
    "allready",
    "alway",
    "aquire",
    "archtecture",
    "asynchronus",
    "availabe",
    "availble",
    "becuase",
    "begining",
    "behavoir",
    "beleive",
    "boundry",
    "calender",
    "catagory",
    "charachter",
    "choosen",
    "comming",
    "commited",
    "compatable",
    "configuraton",
    "consistant",
    "definately",
    "dependant",
    "destinaton",
    "diffrent",
    "doesnt",
    "enviroment",
    "existance",
    "explicitely",
    "fullfil",
    "guarentee",
    "hexidecimal",
    "immediatly",
    "incompatable",
    "independant",
    "infomation",
    "initalize",
    "intial",
    "interupt",
    "langauge",
    "lenght",
    "maintainance",
    "memmory",
    "migraton",
    "neccessary",
    "noticable",
    "occured",
    "occurence",
    "occuring",
    "paramter",
    "persistant",
    "posible",
    "preceeding",
    "priviledge",
    "proccess",
    "publically",
    "recieve",
    "recieved",
    "refered",
    "relevent",
    "reponse",
    "resouce",
    "seperate",
    "seperated",
    "similiar",
    "specifed",
    "stte",
    "succesful",
    "successfull",
    "suport",
    "supress",
    "synchronus",
    "teh",
    "thier",
    "threshhold",
    "transfered",
    "truely",
    "unkown",
    "untill",
    "usefull",
    "usualy",
    "varible",
    "wich",
    "wether",
    "writen",
];

/// Words that may stand twice: in code, in figures, and "that that" of people who mean it.
const MAY_DOUBLE: &[&str] = &["that", "had", "0", "1", "00", "ok"];

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '\'').filter(|word| !word.is_empty())
}

fn misspelt(text: &str) -> Faults {
    let mut faults = Faults::new();
    for (number, line) in (1..).zip(text.lines()) {
        for word in words(line).filter(|word| MISSPELT.contains(&word.to_lowercase().as_str())) {
            faults.push((number, format!("`{word}` is misspelt")));
        }
    }
    faults
}

/// A line with a mark where it has code in backquotes.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ` ")
}

/// A word and the same again with nothing but space between, also across two lines of a paragraph.
fn doubled(text: &str) -> Faults {
    let mut faults = Faults::new();
    let mut last: Option<String> = None;
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        in_code ^= line.trim_start().starts_with("```");
        if in_code || line.trim().is_empty() || line.starts_with(['|', '#', '*', '-']) {
            last = None;
        }
        if in_code {
            continue;
        }
        for piece in without_code(line).split_whitespace() {
            let word = piece.to_lowercase();
            let is_word = word.chars().all(char::is_alphabetic) && !MAY_DOUBLE.contains(&word.as_str());
            if is_word && last.as_deref() == Some(&*word) {
                faults.push((number, format!("`{word} {word}`")));
            }
            last = is_word.then_some(word);
        }
    }
    faults
}

#[test]
fn no_word_is_misspelt() {
    assert_eq!(misspelt("the stte of it"), [(1, "`stte` is misspelt".to_owned())]);
    assert_eq!(misspelt("a number,\nHexidecimal: see Destinaton").len(), 2);
    assert!(misspelt("the state of it").is_empty());
    all_keep(misspelt, documents_and_comments());
}

#[test]
fn no_word_stands_twice() {
    assert_eq!(doubled("the command command line"), [(1, "`command command`".to_owned())]);
    assert_eq!(doubled("what it corresponds to\nto the end"), [(2, "`to to`".to_owned())]);
    assert!(doubled("called `file file` here").is_empty());
    assert!(doubled("| it | it |\n\nwhat is\n\nis").is_empty());
    all_keep(doubled, documents_and_comments());
}
