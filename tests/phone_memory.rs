//! Memory of actors (anchors 11.1 and 11.21), in a process of its own, because it is read off the process.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

#[path = "support/phone.rs"]
#[expect(dead_code, reason = "shared with the lifecycle tests")]
mod support;

use std::time::Duration;

use otpd::{phone::DirectorySettings, record::Command};
use support::{World, phone};

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// anchors 11.21: nothing keeps an ended actor's cell, so waves of new numbers do not add up. One actor is about 8 KB;
/// a leak of cells alone would show as 50 MB a wave.
#[tokio::test(start_paused = true)]
async fn row_11_21_ended_actors_leave_no_memory_behind() {
    const WAVE: u64 = 20_000;
    let world = World::new(DirectorySettings::default());
    let mut after = Vec::new();
    let empty = resident();
    for wave in 0..5 {
        for n in wave * WAVE..(wave + 1) * WAVE {
            world.ask(phone(n), Command::Read { nonce: 1 }).await.unwrap();
        }
        if wave == 0 {
            println!("{} bytes per idle actor", (resident() - empty) / WAVE);
            assert!((resident() - empty) / WAVE < 12 * 1_024, "an idle actor stays small");
        }
        tokio::time::sleep(Duration::from_secs(70)).await;
        world.emptied().await;
        after.push(resident());
    }
    println!("resident after each wave: {after:?}");
    let grown = after[4].saturating_sub(after[0]);
    assert!(grown < 20 << 20, "{grown} bytes more after four further waves");
}
