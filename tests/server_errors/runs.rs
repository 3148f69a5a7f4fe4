//! Servers whose words nobody should read, and runs against them.
#![allow(dead_code, reason = "each test uses its own part")]

use crate::harness::Fountain;
use crate::harness::Output;
use crate::harness::Server;
use crate::harness::delivered::PATIENCE;
use crate::harness::delivered::keys;
use crate::harness::delivered::parse;
use crate::harness::delivered::run_arguments;
use crate::harness::numbered::ids_of;

/// Servers speak Japanese here: nothing but numbers and what they never translate may decide.
pub const FOREIGN: &[&str] = &["--lc-messages=ja_JP"];

pub const QUICK: &[&str] = &["data_source_try_interval=50ms", "repeat_resource_interval=100ms"];

pub const BIG: &str = "REPEAT('x',3000)";

pub fn create(server: &Server) {
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v varchar(9000)) ENGINE=InnoDB");
}

pub fn insert(server: &Server, id: u64) {
    server.sql(&format!("INSERT INTO d.t VALUES ({id},'x')"));
}

/// `fountain run --until end` to stdout.
pub fn until_end(home: &Fountain, server: &Server, pairs: &[&str]) -> Output {
    let start = match pairs.iter().any(|pair| pair.starts_with("mysql_binlogdump")) {
        true => "start_without_point=auto",
        false => "start_without_point=beginning",
    };
    let pairs = keys(&[QUICK, &[start, "sink=stdout"], pairs].concat());
    home.run(&run_arguments(home, server, &[&["--until", "end"], &pairs[..]].concat()), PATIENCE)
}

pub fn ids(stdout: &str) -> Vec<u64> {
    ids_of(&parse(stdout), "t")
}
