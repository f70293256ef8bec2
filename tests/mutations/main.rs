//! Damaged and hostile files: every reader must answer each mutated input with a value or an error, without a panic,
//! without more memory than four times the file and 64 MB, and within a second of work.
//!
//! `cargo test` tries some hundreds a reader; `HUMANIFOLD_MUTATIONS=2000000 cargo test --release --test mutations --
//! --nocapture` tries that many over all readers and says how long each ran. Inputs depend on their number alone.
//! Files of the parity cases are mutated too, where they are there.

mod deep;
mod memory;
mod seeds;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use humanifold::formats::json::parse_json;
use humanifold::formats::keypoint_json::KeypointFile;
use humanifold::formats::matlab::parse_matlab;
use humanifold::formats::npy::{parse_npy, parse_npy_objects};
use humanifold::formats::pickle::parse_pickle;
use humanifold::formats::safetensors::SafeTensors;
use humanifold::formats::torch::Torch;
use humanifold::formats::values::Node;
use humanifold::formats::{Limits, Npz};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Inputs a reader where no number is asked for.
const QUICK: u64 = 250;
const SLOWEST: Duration = Duration::from_secs(1);
const FREE_BYTES: u64 = 64 << 20;

/// Puts mutated bytes into a whole file.
pub type Wrap = fn(&[u8]) -> Vec<u8>;

/// One reader with the good files that are mutated for it.
pub struct Reader {
    pub name: &'static str,
    pub read: fn(&[u8]),
    pub seeds: Vec<Vec<u8>>,
    /// What the mutated part is put into, where damage outside it would hide it.
    pub wrap: Option<Wrap>,
}

impl Reader {
    pub fn new(name: &'static str, read: fn(&[u8]), seeds: Vec<Vec<u8>>) -> Self {
        Self { name, read, seeds, wrap: None }
    }

    pub fn inside(self, wrap: fn(&[u8]) -> Vec<u8>) -> Self {
        Self { wrap: Some(wrap), ..self }
    }
}

fn npz(bytes: &[u8]) {
    let Ok(npz) = Npz::from_bytes(bytes.to_vec(), "mutated") else { return };
    let names: Vec<String> = npz.names().map(str::to_owned).collect();
    for name in names {
        if npz.get(&name).is_err()
            && let Ok(member) = npz.member_bytes(&name)
        {
            let _ = parse_npy_objects(&member, &Limits::default());
        }
    }
}

fn npy(bytes: &[u8]) {
    let _ = parse_npy(bytes, &Limits::default());
    let _ = parse_npy_objects(bytes, &Limits::default());
}

fn pickle(bytes: &[u8]) {
    let _ = parse_pickle(bytes, &Limits::default());
}

fn torch(bytes: &[u8]) {
    let Ok(torch) = Torch::parse(bytes.to_vec(), &Limits::default()) else { return };
    let mut left = vec![torch.values().top()];
    let mut met = 0;
    while let Some(id) = left.pop() {
        met += 1;
        if met > 10_000 {
            return;
        }
        match torch.values().get(id) {
            Node::Tensor(tensor) => drop(torch.tensor(tensor)),
            Node::Dict(entries) => left.extend(entries.iter().map(|(_, value)| *value)),
            Node::List(items) | Node::Tuple(items) => left.extend(items),
            _ => {}
        }
    }
}

fn matlab(bytes: &[u8]) {
    let _ = parse_matlab(bytes, &Limits::default());
}

fn safetensors(bytes: &[u8]) {
    let _ = SafeTensors::parse(bytes, &Limits::default());
}

fn json(bytes: &[u8]) {
    let _ = parse_json(bytes);
    let _ = KeypointFile::parse(bytes);
}

fn readers() -> Vec<Reader> {
    let from_cases = seeds::from_cases();
    let with = |own: Vec<Vec<u8>>, endings: &[&str]| {
        let of_cases = from_cases.iter().filter(|(ending, _)| endings.contains(&ending.as_str()));
        own.into_iter().chain(of_cases.map(|(_, bytes)| bytes.clone())).collect::<Vec<_>>()
    };
    let mut all = vec![
        Reader::new("npy", npy, with(seeds::npy(), &["npy"])),
        Reader::new("npz", npz, with(seeds::npz(), &["npz"])),
        Reader::new("npz member", npz, with(seeds::npy(), &["npy"])).inside(seeds::in_npz),
        Reader::new("pickle", pickle, with(seeds::pickles(), &["pkl"])),
        Reader::new("torch", torch, with(seeds::torch(), &["pt", "pth", "tar"])),
        Reader::new("torch pickle", torch, seeds::torch_pickles()).inside(seeds::in_torch),
        Reader::new("matlab", matlab, with(seeds::matlab(), &["mat"])),
        Reader::new("safetensors", safetensors, with(seeds::safetensors(), &["safetensors"])),
        Reader::new("json", json, with(seeds::json(), &["jsn"])),
    ];
    all.extend(deep::readers(&from_cases));
    all
}

/// The input of a number, from one of the reader's files.
fn input(reader: &Reader, number: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let pick = |rng: &mut ChaCha8Rng| &reader.seeds[rng.random_range(0..reader.seeds.len())];
    let mut bytes = pick(&mut rng).clone();
    for _ in 0..rng.random_range(1..=4u32) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..9u32) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8u32),
            1 => bytes[at] = rng.random(),
            2 => bytes.truncate(at),
            3 => {
                let end = (at + rng.random_range(1..64usize)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let other = pick(&mut rng);
                if !other.is_empty() {
                    let from = rng.random_range(0..other.len());
                    let end = (from + rng.random_range(1..256usize)).min(other.len());
                    bytes.splice(at..at, other[from..end].iter().copied());
                }
            }
            5 => {
                // Lengths, offsets and sizes are numbers of four or eight bytes.
                let extreme = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 40, 1 << 62];
                let value = extreme[rng.random_range(0..extreme.len())].to_le_bytes();
                let width = [1, 2, 4, 8][rng.random_range(0..4usize)];
                for (byte, new) in bytes[at..].iter_mut().zip(&value[..width]) {
                    *byte = *new;
                }
            }
            6 => {
                let end = (at + rng.random_range(1..64usize)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                for _ in 0..rng.random_range(1..50u32) {
                    bytes.splice(at..at, part.iter().copied());
                }
            }
            7 => {
                // A digit, for texts and headers.
                if let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit) {
                    bytes.splice(at + digit..=at + digit, b"99999999999".iter().copied());
                }
            }
            _ => {
                let other = pick(&mut rng).clone();
                let keep = rng.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[keep..]);
            }
        }
    }
    match reader.wrap {
        Some(wrap) => wrap(&bytes),
        None => bytes,
    }
}

#[test]
fn mutated_files_are_read_or_refused() {
    let asked = std::env::var("HUMANIFOLD_MUTATIONS").ok().and_then(|number| number.parse::<u64>().ok());
    let readers = readers();
    let each = asked.map_or(QUICK, |total| total.div_ceil(readers.len() as u64));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::panic::set_hook(Box::new(|_| {}));
    let failures = Mutex::new(Vec::new());
    for (at, reader) in readers.iter().enumerate() {
        let next = AtomicU64::new(0);
        let slowest = AtomicU64::new(0);
        let largest = AtomicU64::new(0);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= each {
                            break;
                        }
                        let number = ((at as u64) << 40) + index;
                        let bytes = input(reader, number);
                        let before = memory::thread_time();
                        memory::begin();
                        let result = catch_unwind(AssertUnwindSafe(|| (reader.read)(&bytes)));
                        let peak = memory::peak();
                        let taken = memory::thread_time().saturating_sub(before);
                        slowest.fetch_max(taken.as_micros() as u64, Ordering::Relaxed);
                        largest.fetch_max(peak, Ordering::Relaxed);
                        let allowed = 4 * bytes.len() as u64 + FREE_BYTES;
                        let problem = if result.is_err() {
                            Some("panics".to_owned())
                        } else if peak > allowed {
                            Some(format!("takes {peak} bytes for a file of {}", bytes.len()))
                        } else if asked.is_some() && taken > SLOWEST {
                            Some(format!("takes {taken:?} for a file of {} bytes", bytes.len()))
                        } else {
                            None
                        };
                        if let Some(problem) = problem
                            && let Ok(mut failures) = failures.lock()
                        {
                            failures.push(format!("{}, input {number}: {problem}", reader.name));
                        }
                    }
                });
            }
        });
        println!(
            "{:16} {each} inputs of {} files in {:.1} s, slowest {:.1} ms, most memory {:.1} MB",
            reader.name,
            reader.seeds.len(),
            begun.elapsed().as_secs_f64(),
            slowest.load(Ordering::Relaxed) as f64 / 1e3,
            largest.load(Ordering::Relaxed) as f64 / 1e6
        );
    }
    let _ = std::panic::take_hook();
    let failures = failures.into_inner().unwrap_or_default();
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures[..failures.len().min(20)].join("\n")
    );
}
