//! `otpd load`, as people run it: against a server of its own, and against one that lies.
//!
//! Every run is bounded by a number of operations, and no figure of speed is asserted: what is tested is that it counts
//! rightly, loses nothing, and sees what it is there to see.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod load {
    //! Whom the load is put on.
    pub(crate) mod liar;
}

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use load::liar::{self, Lie};
use otpd::load::{
    Codes, Gateway, Inbox, KillAt, OwnServer, Pace, Plan, Scenario, ServerPlan, Spacing, Speaks, Stage, Target, drive,
};
use serde_json::Value;
use tokio::process::Command;

/// Longest wait for a run; only a broken one takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

struct Said {
    exit: Option<i32>,
    out: String,
    err: String,
}

/// Runs `otpd load` with these arguments, a short bounded load unless they say otherwise.
async fn otpd_load(directory: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otpd"));
    command.env_clear().current_dir(directory).kill_on_drop(true);
    command.args(["load", "--warm-up", "0s", "--duration", "60s", "--seed", "7", "--json"]).args(arguments);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { exit: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Said {
    #[track_caller]
    fn reports(&self, exit: i32) -> Vec<Value> {
        assert_eq!(self.exit, Some(exit), "{}\n{}", self.err, self.out);
        let said: Value = serde_json::from_str(&self.out).unwrap();
        said["reports"].as_array().unwrap().clone()
    }
}

fn rule(report: &Value, name: &str) -> (u64, u64) {
    let rule = report["invariants"].as_array().unwrap().iter().find(|rule| rule["name"] == name);
    rule.map_or((0, 0), |rule| (rule["checked"].as_u64().unwrap(), rule["broken"].as_u64().unwrap()))
}

/// Every scenario runs clean on a server of its own, which is gone afterwards; and what a rule is there for was looked at.
#[tokio::test]
async fn each_scenario_runs_clean() {
    let home = tempfile::tempdir().unwrap();
    // Numbers have to be real ones.
    fs::write(home.path().join("otpd.toml"), "[phone]\nvalidation = \"valid\"\n").unwrap();
    let scenarios = "send,login,profile,refresh,wrong,same-number,mixed";
    let common =
        ["--data", ".", "--config", "otpd.toml", "--sessions", "20", "--connections", "8", "--again-each", "2"];
    let arguments = [&common[..], &["--count", "120", "--scenario", scenarios]].concat();
    let reports = otpd_load(home.path(), &arguments).await.reports(0);
    assert_eq!(reports.len(), 7);
    for report in &reports {
        assert_eq!(report["operations"], 120, "{report:#}");
        assert_eq!((report["given_up"].as_u64(), report["total"]["answers"]["failed"].as_u64()), (Some(0), Some(0)));
        assert!(report["server"]["rss_mib"].as_f64().unwrap() > 0.0, "the server's memory is told");
    }
    for (at, name) in [(0, "one_message"), (1, "code_once"), (1, "receipt_once"), (2, "right_person")] {
        assert!(rule(&reports[at], name).0 > 0, "{name}");
    }
    for (at, name) in [(4, "wrong_refused"), (4, "guesses_limited"), (5, "sends_limited"), (5, "code_once")] {
        assert!(rule(&reports[at], name).0 > 0, "{name}");
    }
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["otpd.toml"], "the server's directory is removed");
}

/// Without a provider codes are derived from the keys of the own server.
#[tokio::test]
async fn codes_are_known_without_a_provider() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["--data", ".", "--gateway", "simulated", "--scenario", "login,wrong", "--count", "30"];
    let reports = otpd_load(home.path(), &arguments).await.reports(0);
    assert!(reports.iter().all(|report| report["operations"] == 30));
}

/// security 10, 11: what was acknowledged before a kill -9 is there after it.
#[tokio::test]
async fn a_kill_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let common = ["--data", ".", "--sessions", "20", "--connections", "8", "--count", "600"];
    let arguments = [&common[..], &["--scenario", "send,mixed", "--kill-after", "100", "--kill-after", "200"]].concat();
    let reports = otpd_load(home.path(), &arguments).await.reports(0);
    for (report, names) in reports.iter().zip([&["verification_kept"][..], &["session_kept", "used_stays_used"]]) {
        assert_eq!(report["kills"].as_array().unwrap().len(), 2, "{report:#}");
        assert!(report["kills"][0]["ready_ms"].as_f64().unwrap() > 0.0);
        for name in names {
            let (checked, broken) = rule(report, name);
            assert!(checked >= 20 && broken == 0, "{name}: {checked} {broken}");
        }
    }
}

/// The same load over a server whose records are gone after the kill: the rules say so.
#[tokio::test]
async fn lost_records_are_noticed() {
    let home = tempfile::tempdir().unwrap();
    let forgetful = home.path().join("forgetful");
    let script = format!(
        "#!/bin/sh\nif [ -e started ]; then /bin/rm -rf data/db; fi\n: > started\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_otpd")
    );
    fs::write(&forgetful, script).unwrap();
    fs::set_permissions(&forgetful, fs::Permissions::from_mode(0o755)).unwrap();
    let inbox = Inbox::start(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let plan = ServerPlan {
        binary: forgetful,
        parent: home.path().to_owned(),
        config: None,
        gateway: Gateway::to(&inbox),
        keep: false,
    };
    let server = Arc::new(OwnServer::start(plan).await.unwrap());
    let stage = Stage::new(Target::v1(server.address()), Codes::Inbox(inbox), 7).own(server);
    let run = async |scenario| {
        let plan = Plan {
            connections: 4,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(60),
            count: Some(200),
            kills: vec![KillAt::Operations(50)],
            ..Plan::new(scenario)
        };
        let report = drive(&plan, &stage).await.unwrap();
        let broken: Vec<_> = report.broken().map(|rule| rule.name).collect();
        broken
    };
    assert!(run(Scenario::Login).await.contains(&"session_kept"));
    assert!(run(Scenario::Send).await.contains(&"verification_kept"));
}

/// An address that nobody has.
async fn free_address() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Each rule can fail: a server that breaks it is found out, by name, and the exit code says so.
#[tokio::test]
async fn lies_are_found_out() {
    let home = tempfile::tempdir().unwrap();
    let lies = [
        (Lie::Nothing, "login,wrong", None),
        (Lie::AcceptsACodeTwice, "login", Some("code_once")),
        (Lie::AcceptsAReceiptTwice, "login", Some("receipt_once")),
        (Lie::AcceptsWrongCodes, "wrong", Some("wrong_refused")),
        (Lie::ComparesForever, "wrong", Some("guesses_limited")),
        (Lie::SendsTwice, "login", Some("one_message")),
        (Lie::ShowsAnotherPerson, "login", Some("right_person")),
        (Lie::ForgetsSessions, "login", Some("unexpected profile: 401 token_invalid")),
        (Lie::Fails, "login", Some("unexpected start: 500 internal_error")),
    ];
    for (lie, scenario, told) in lies {
        let inbox = free_address().await;
        let url = format!("http://{}", liar::start(lie, Some(inbox)).await);
        let inbox = inbox.to_string();
        let common = ["--url", &url, "--inbox", &inbox, "--count", "20", "--again-each", "1", "--connections", "4"];
        let said = otpd_load(home.path(), &[&common[..], &["--scenario", scenario]].concat()).await;
        assert_eq!(said.exit, Some(i32::from(told.is_some())), "{lie:?}: {}", said.err);
        let told = told.unwrap_or_default();
        assert!(said.err.contains(told), "{lie:?}: {}", said.err);
    }
}

/// The bare server of comparisons is driven by the same loops and connections.
#[tokio::test]
async fn the_bare_server_can_be_driven() {
    let stage = Stage::new(Target::limit(liar::start_bare().await), Codes::None, 7);
    for (scenario, requests) in [(Scenario::Send, 50), (Scenario::Login, 200), (Scenario::Profile, 50)] {
        let plan = Plan { connections: 4, warm_up: Duration::ZERO, count: Some(50), ..Plan::new(scenario) };
        let report = drive(&plan, &stage).await.unwrap();
        assert!(report.is_good(), "{report:#?}");
        assert_eq!((report.operations, report.total.answers.ok), (50, requests));
    }
    assert!(drive(&Plan::new(Scenario::Mixed), &stage).await.is_err());
}

/// No coordinated omission: of a stall of one second, whoever should have come in that second is part, although only four
/// connections were there to wait.
#[tokio::test]
async fn a_stall_is_seen_by_all_who_should_have_come() {
    let target = Target::v1(liar::start(Lie::Stalls(200), None).await);
    let plan = Plan {
        pace: Pace::Open { rate: 200.0, spacing: Spacing::Even },
        connections: 4,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(60),
        count: Some(600),
        ..Plan::new(Scenario::Send)
    };
    let report = drive(&plan, &Stage::new(target.clone(), Codes::None, 7)).await.unwrap();
    assert_eq!((report.operations, report.total.count, target.speaks), (600, 600, Speaks::V1));
    // A third of all came within the stalled second, so a third waited, evenly from a second to nothing.
    assert!(report.total.latency.p90_us > 500_000, "{:?}", report.total.latency);
    assert!(report.total.latency.p99_us > 900_000, "{:?}", report.total.latency);
    assert!(report.late > 150, "{}", report.late);
}

/// The page needs nothing from elsewhere, and its tables have the figures of the JSON.
#[tokio::test]
async fn the_page_stands_alone_and_says_what_the_json_says() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["--data", ".", "--scenario", "login,profile", "--count", "200", "--report", "page.html"];
    let reports = otpd_load(home.path(), &arguments).await.reports(0);
    let page = fs::read_to_string(home.path().join("page.html")).unwrap();
    let outside = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for mark in ["http:", "https:", "//", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe"] {
        assert!(!outside.contains(mark), "{mark}");
    }
    assert!(page.contains("<svg"), "it has pictures");
    for report in &reports {
        let rows = report["rows"].as_array().unwrap().iter().chain([&report["total"]]);
        for row in rows {
            let answers = &row["answers"];
            let name = row["name"].as_str().unwrap();
            let line = page.lines().find(|line| {
                line.starts_with(&format!(
                    "<tr><th>{name}</th><td>{}</td><td>{:.0}</td>",
                    row["count"],
                    row["per_s"].as_f64().unwrap()
                ))
            });
            let end = ["ok", "refused", "limited", "overloaded", "failed", "broken", "killed"];
            let end: String = end.iter().map(|kind| format!("<td>{}</td>", answers[kind])).collect();
            assert!(line.is_some_and(|line| line.ends_with(&format!("{end}</tr>"))), "{name} of {report:#}");
        }
        for rule in report["invariants"].as_array().unwrap() {
            let start = format!("<tr><th>{}</th><td>{}</td>", rule["name"].as_str().unwrap(), rule["checked"]);
            assert!(page.contains(&start), "{start}");
        }
    }
}

/// Load stays on this machine, and within bounds.
#[tokio::test]
async fn what_must_not_be_asked_for_is_refused() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, told) in [
        (&["--url", "http://192.0.2.1:8080"][..], "this machine only"),
        (&["--url", "http://127.0.0.1:9", "--inbox", "192.0.2.1:8099"], "this machine only"),
        (&["--connections", "20001"], "--connections: must be 1 to 20000"),
        (&["--duration", "61m"], "--duration: must be above 0 and at most 1h"),
        (&["--count", "100000001"], "--count: must be 1 to 100000000"),
        (&["--rate", "0"], "--rate: must be above 0"),
        (&["--url", "http://127.0.0.1:9", "--kill-at", "1s"], "cannot be used with"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_otpd"));
        let output = command.arg("load").args(arguments).env_clear().current_dir(home.path()).output().await.unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
        assert!(err.contains(told), "{arguments:?}: {err}");
    }
    let said = otpd_load(home.path(), &["--url", "http://127.0.0.1:9", "--scenario", "login"]).await;
    assert_eq!(said.exit, Some(1));
    assert!(said.err.contains("needs codes, and there is nowhere to read them"), "{}", said.err);
}
