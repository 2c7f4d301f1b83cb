//! Gatewatch: a security monitor for APIs. This crate is everything that touches the world; the data contract is in
//! `schemas`, detection in `detectors`. Start reading at `app`.

pub mod app;
pub mod audit;
pub mod backtest;
pub mod blocked;
pub mod bystanders;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod geo;
pub mod ingest;
pub mod inventory;
pub mod keys;
pub mod lake;
pub mod limits;
pub mod metric;
pub mod observe;
pub mod pipeline;
pub mod private;
pub mod pushed;
pub mod query;
pub mod rejects;
pub mod respond;
pub mod rules;
pub mod service;
pub mod sigma;
pub mod store;
pub mod survey;
pub mod telemetry;
pub mod teller;
pub mod timed;
pub mod trail;
