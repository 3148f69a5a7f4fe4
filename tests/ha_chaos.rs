//! Several nodes under whatever may happen to them, to ZooKeeper, to the links and to the servers: no row is lost, none comes
//! twice in the union of what the nodes hold, no two terms of leadership are mixed, and no stored point goes back.

mod harness;
mod ha_chaos {
    pub mod cluster;
    pub mod load;
    pub mod script;
    pub mod watch;
}

use ha_chaos::cluster::Cluster;
use ha_chaos::script::PAST_SESSION;
use ha_chaos::script::Script;
use ha_chaos::script::Step;
use ha_chaos::script::deck;
use harness::shapes::Dice;

const A_MINUTE: u64 = 60_000;

fn run(scope: &str, seed: u64, down: u64, choose: impl Fn(&mut Dice) -> Vec<Step>) {
    let Some(mut cluster) = Cluster::start(scope, seed) else { return };
    let mut dice = Dice::new(seed);
    let steps = choose(&mut dice);
    Script { cluster: &mut cluster, dice, down }.run(&steps);
    cluster.finish();
}

/// Each kind of step comes in this test or in the next one.
#[test]
fn one_node_leads_all_shards() {
    run("process", 1, PAST_SESSION, |dice| deck(dice).into_iter().step_by(2).collect());
}

#[test]
fn nodes_share_the_shards() {
    run("shard", 1, PAST_SESSION, |dice| deck(dice).into_iter().skip(1).step_by(2).collect());
}

/// `FOUNTAIN_TEST_CHAOS=SEED:ROUNDS` runs another script, each round with each kind of step.
#[test]
#[ignore = "long: some twenty minutes"]
fn long_scripts_of_both_scopes() {
    let chosen = std::env::var("FOUNTAIN_TEST_CHAOS").ok();
    let (seeds, rounds) = match chosen.as_deref().and_then(|chosen| chosen.split_once(':')) {
        Some((seed, rounds)) => {
            let number = |text: &str| text.parse::<u64>().expect("SEED:ROUNDS");
            (number(seed)..number(seed) + 1, number(rounds))
        }
        None => (100..103, 4),
    };
    for seed in seeds {
        for scope in ["process", "shard"] {
            run(scope, seed, A_MINUTE, |dice| (0..rounds).flat_map(|_| deck(dice)).collect());
        }
    }
}
