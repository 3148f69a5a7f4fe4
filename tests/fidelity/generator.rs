//! A random script: what a seed and a cell make, statement by statement, on what was accepted so far.

use super::Kind;
use super::cell::Cell;
use super::changes::Effect;
use super::round::Statements;
use super::round::Step;
use super::tables::World;
use super::texts::Charset;
use crate::harness::shapes::Dice;
use std::collections::VecDeque;

pub struct Generator {
    world: World,
    steps: usize,
    special: [bool; 2],
    waiting: VecDeque<Step>,
    /// What holds when the statement that runs is accepted.
    effects: Vec<Effect>,
    /// All statements so far that were accepted.
    script: Vec<Step>,
    last: Option<Step>,
}

impl Generator {
    pub fn new(kind: Kind, cell: &Cell, charsets: &[Charset], seed: u64, steps: usize) -> Generator {
        let world = World {
            kind,
            cell: *cell,
            charsets: charsets.to_vec(),
            dice: Dice::new(seed),
            tables: Vec::new(),
            number: 0,
        };
        let databases = ["CREATE DATABASE d", "CREATE DATABASE `e.e` CHARACTER SET latin2"];
        let waiting = databases.map(|sql| Step { sql: sql.to_owned(), ddl: true, tables: Vec::new() });
        // Now and then a table of as many columns as there may be; and two with a foreign key.
        let special = [seed.is_multiple_of(3), seed.is_multiple_of(2)];
        Generator {
            world,
            steps,
            special,
            waiting: waiting.into(),
            effects: Vec::new(),
            script: Vec::new(),
            last: None,
        }
    }

    /// All statements that were accepted, and the last one, whatever became of it.
    pub fn script(&self) -> Vec<Step> {
        self.script.iter().chain(&self.last).cloned().collect()
    }

    fn make(&mut self) {
        let world = &mut self.world;
        let change = match (world.tables.len(), world.dice.roll(10)) {
            (2, _) if std::mem::take(&mut self.special[0]) => Some(world.create_widest("d")),
            (3, _) if std::mem::take(&mut self.special[1]) => Some(world.create_related("d")),
            (0..3, _) => Some(world.create("d")),
            (_, 0) => world.definition_change(),
            _ => None,
        };
        match change {
            Some(change) => {
                self.effects = change.effects;
                self.waiting.push_back(change.step);
            }
            None => {
                let steps =
                    world.changes().into_iter().map(|sql| Step { sql, ddl: false, tables: Vec::new() });
                self.waiting.extend(steps);
            }
        }
    }
}

impl Statements for Generator {
    fn next(&mut self, accepted: bool) -> Option<Step> {
        if let Some(step) = self.last.take().filter(|_| accepted) {
            self.script.push(step);
            let effects = std::mem::take(&mut self.effects);
            self.world.accept(effects);
        }
        self.effects.clear();
        while self.waiting.is_empty() && self.steps > 0 {
            self.steps -= 1;
            self.make();
        }
        self.last = self.waiting.pop_front();
        self.last.clone()
    }
}
