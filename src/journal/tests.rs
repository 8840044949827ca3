//! The files: order, rotation, retention, gaps, and what a crash leaves.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::*;
use crate::{
    guard::{Guard, GuardPolicy, Micros, NumberKind, Ticket, snapshot},
    record::{DAY, Keyring, Label, PhoneNumber, UnixMillis},
};

const NOON: UnixMillis = UnixMillis(20_000 * DAY + DAY / 2);

fn settings() -> JournalSettings {
    JournalSettings { queue_max: 4_096, file_mib_max: 1, mib_max: 4, days: 3, states_max: 10 }
}

fn verified(at: UnixMillis) -> Line {
    Line::Verified { at, number: "0".repeat(32), masked: "+98******4567".to_owned() }
}

fn stated(at: UnixMillis) -> Stated {
    let line =
        StateLine { at, file: String::new(), sha256: String::new(), policy: "p".to_owned(), sends: true, start: true };
    Stated { line, bytes: snapshot::encode(&Guard::new(&GuardPolicy::default())) }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn lines(places: &Places) -> Vec<Line> {
    Reader::new(places.lines().unwrap()).map(Result::unwrap).collect()
}

#[test]
fn lines_come_back_in_order_and_only_the_owner_reads_them() {
    let home = tempfile::tempdir().unwrap();
    let places = Places::of(home.path());
    let written: Vec<Line> = (0..1_000).map(|nth| verified(NOON.plus(nth))).collect();
    for half in written.chunks(500) {
        let journal = Journal::start(places.clone(), settings()).unwrap();
        half.iter().for_each(|line| journal.append(line.clone()));
    }
    assert_eq!(lines(&places), written);
    assert_eq!(names(&places.journal), ["2024-10-04.0001.jsonl"], "a restart goes on in the day's file");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&places.journal), mode(&places.lines().unwrap()[0])), (0o700, 0o600));
}

#[test]
fn a_line_is_json_and_holds_no_number() {
    let keys = Keyring::new((1, &[7; 32]), &[]);
    let number = PhoneNumber::from_e164("+989121234567").unwrap();
    let sealed = Line::seal(&keys, number, 1);
    assert_ne!(sealed, Line::seal(&keys, number, 2), "one person's lines do not look alike");
    let line = Line::Asked(Box::new(AskedLine {
        at: NOON,
        ticket: Ticket(7),
        request: "r-1".to_owned(),
        dialect: "v1".to_owned(),
        channel: Label::of("sms"),
        country: Some("IR".parse().unwrap()),
        kind: NumberKind::Mobile,
        parts: 1,
        tries_max: 2,
        number: sealed.clone(),
        masked: number.masked(),
        ip: "192.0.2.7".parse().unwrap(),
        rule: Some(crate::guard::Rule::Budget),
        recorded: vec![crate::guard::Rule::Runs],
        cost: Micros(90_200).0,
    }));
    let text = serde_json::to_string(&line).unwrap();
    assert!(!text.contains("9121234567") && !text.contains("912123"), "{text}");
    assert!(text.starts_with("{\"type\":\"asked\",\"at\":1728043200000,\"ticket\":7,"), "{text}");
    assert!(text.contains("\"country\":\"IR\",\"kind\":\"mobile\"") && text.contains("\"rule\":\"budget\""), "{text}");
    assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    assert_eq!(Line::open(&keys, &sealed), Some(number));
    assert_eq!(Line::open(&Keyring::new((1, &[8; 32]), &[]), &sealed), None);
}

/// A file ends with its day, or when it is large; too old and too much is deleted, never what is being written.
#[test]
fn files_are_rotated_and_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let places = Places::of(home.path());
    let journal = Journal::start(places.clone(), JournalSettings { queue_max: 100_000, ..settings() }).unwrap();
    for day in 0..5 {
        journal.append_state(stated(NOON.plus(day * DAY)));
        journal.append(verified(NOON.plus(day * DAY)));
    }
    journal.close();
    let days = ["2024-10-06.0001.jsonl", "2024-10-07.0001.jsonl", "2024-10-08.0001.jsonl"];
    assert_eq!(names(&places.journal), days);
    // A state is older than the line that names it; that of the day being begun is there, too.
    assert_eq!(names(&places.states).len(), 3);

    let journal = Journal::start(places.clone(), JournalSettings { queue_max: 100_000, ..settings() }).unwrap();
    (0..60_000).for_each(|nth| journal.append(verified(NOON.plus(5 * DAY + nth))));
    journal.close();
    let left = names(&places.journal);
    assert!(left.len() >= 3 && left.iter().all(|name| name.starts_with("2024-10-09.")), "{left:?}");
    let bytes = |name: &String| fs::metadata(places.journal.join(name)).unwrap().len();
    assert!(left.iter().map(bytes).sum::<u64>() <= 6 << 20, "4 MiB, one being written, one just ended");
}

/// A line that a crash has cut is left out, and the next process begins another file.
#[test]
fn a_torn_line_is_the_end_of_its_file() {
    let home = tempfile::tempdir().unwrap();
    let places = Places::of(home.path());
    Journal::start(places.clone(), settings()).unwrap().append(verified(NOON));
    let file = places.lines().unwrap().remove(0);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, [&whole[..], &whole[..20]].concat()).unwrap();
    Journal::start(places.clone(), settings()).unwrap().append(verified(NOON.plus(1)));
    assert_eq!(names(&places.journal), ["2024-10-04.0001.jsonl", "2024-10-04.0002.jsonl"]);
    let mut reader = Reader::new(places.lines().unwrap());
    let read: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!((read, reader.torn()), (vec![verified(NOON), verified(NOON.plus(1))], 1));

    fs::write(&file, "{\"type\":\"verified\"}\n").unwrap();
    let fault = Reader::new(vec![file]).next().unwrap().unwrap_err().to_string();
    assert_eq!(fault, "2024-10-04.0001.jsonl: line 1 is not a line of the journal");
}

/// What cannot be written is counted and told as soon as writing goes again, and the state is wanted.
#[test]
fn losses_are_told_by_a_gap() {
    let home = tempfile::tempdir().unwrap();
    let places = Places::of(home.path());
    let journal = Journal::start(places.clone(), settings()).unwrap();
    journal.append_state(stated(NOON));
    assert!(!journal.wants_state(NOON));
    // The disk fails: the directory is gone when the next day's file is to be made.
    let day = NOON.plus(DAY);
    journal.append(verified(NOON));
    while places.lines().unwrap().is_empty() {
        std::thread::yield_now();
    }
    let aside = home.path().join("aside");
    fs::rename(&places.journal, &aside).unwrap();
    journal.append(verified(day));
    while journal.losses() == 0 {
        std::thread::yield_now();
    }
    fs::rename(&aside, &places.journal).unwrap();
    journal.append(verified(day.plus(1)));
    assert!(journal.wants_state(day.plus(1)));
    journal.append_state(stated(day.plus(1)));
    journal.close();
    let seen = lines(&places);
    assert!(matches!(seen[0], Line::State(_)));
    assert_eq!(seen[1..4], [verified(NOON), Line::Gap { at: day.plus(1), lines: 1 }, verified(day.plus(1))]);
    assert!(matches!(seen[4], Line::State(_)), "{seen:?}");
}
