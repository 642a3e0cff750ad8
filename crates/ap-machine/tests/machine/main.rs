// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine through its door, as a guest's CPU sees it. One binary, because linking is what takes time.

mod aqic;
mod cca;
mod changes;
mod concurrency;
mod cpu;
mod ep11;
mod fuzz;
mod keys;
mod messages;
mod model;
mod partial;
mod pqap;
mod responses;
mod rsa;
mod secure;
mod size;
mod specification;
mod time;
