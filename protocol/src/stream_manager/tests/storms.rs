//! Whatever happens in whatever order.

use super::*;

/// One thing that happens in the town below.
#[derive(Debug, Clone, Copy)]
enum Step {
    Watches(u8),
    Leaves(u8),
    HangsUp(u8),
    TakesOver(u8),
    Complains(u8),
    MissesItsBackup(u8),
    Waits,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let viewer = 20..44_u8;
    let step = (0..7_u8, viewer).prop_map(|(what, n)| match what {
        0 | 1 => Step::Watches(n),
        2 => Step::Leaves(n),
        3 => Step::HangsUp(n),
        4 => Step::TakesOver(n),
        5 => Step::Complains(n),
        6 => Step::MissesItsBackup(n),
        _ => Step::Waits,
    });
    proptest::collection::vec(prop_oneof![3 => step, 1 => Just(Step::Waits)], 1..120)
}

impl Town {
    fn takes(&mut self, step: Step) {
        let newest = Order {
            term: u64::MAX,
            sequence: 0,
        };
        match step {
            Step::Watches(n) if self.manager.is_connected(id(n)) => self.says(n, join(None)),
            Step::Watches(n) => self.watch(n),
            Step::Leaves(n) => self.says(n, FromPeer::Leave { stream: SHOW }),
            Step::HangsUp(n) => self.hangs_up(n),
            Step::TakesOver(n) => {
                if let (Some(parent), Some(backup)) = (self.parent(n), self.backup(n)) {
                    self.took_over(n, backup, parent, newest);
                }
            }
            Step::Complains(n) => {
                if let Some(parent) = self.parent(n) {
                    self.lost(n, parent, newest);
                }
            }
            Step::MissesItsBackup(n) => {
                if let Some(backup) = self.backup(n) {
                    let (stream, backup) = (SHOW, id(backup));
                    self.says(n, FromPeer::BackupLost { stream, backup });
                }
            }
            Step::Waits => self.sleep(SECOND),
        }
        self.input(Input::Tick);
    }
}

proptest! {
    #[test]
    fn whatever_happens_backups_are_no_parents_and_never_below_those_they_back_up(
        topology in prop_oneof![
            Just(Topology::RelayFirst),
            Just(Topology::Tree { arity: 2 }),
            Just(Topology::LinkedList),
        ],
        steps in steps(),
    ) {
        let mut town = Town::new();
        town.manager = StreamManager::new(Config { topology, ..config(1, Limits::default()) }, town.now);
        town.enter(BROADCASTER);
        town.says(BROADCASTER, register(SHOW, "show"));
        town.enter(RELAY);
        town.enter(RELAY + 1);
        for step in steps {
            town.takes(step);
            let graph = town.manager.forest().graph(SHOW).expect("on the air");
            let mut named = 0;
            for n in (10..12).chain(20..44) {
                let Some(backup) = town.backup(n).map(id) else { continue };
                named += 1;
                prop_assert!(graph.contains(id(n)) && graph.contains(backup));
                prop_assert!(!graph.is_below(backup, id(n)), "{n} has {backup:?}");
                prop_assert!(town.manager.are_neighbours(id(n), backup));
            }
            prop_assert_eq!(town.manager.census().backups, named);
        }
        // When all are gone, nothing is left of it.
        (20..44).for_each(|n| town.takes(Step::Leaves(n)));
        town.sleep(IDLE_GRACE * 3);
        prop_assert_eq!(town.manager.census().backups, 0);
    }
}
