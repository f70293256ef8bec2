//! The real program on good and on bad input: messages, exit codes, files.

mod bad_input;
mod interrupted;
mod results;
mod support;
mod training;
