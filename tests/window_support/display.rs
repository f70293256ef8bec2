//! A virtual display, the window on it, and hands for it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use x11rb::connection::Connection;
use x11rb::protocol::xproto::{AtomEnum, ClientMessageEvent, ConnectionExt, EventMask, ImageFormat};
use x11rb::rust_connection::RustConnection;

pub const SIZE: [u32; 2] = [1280, 800];
/// Software rendering on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(180);

/// An X server without a screen, gone when dropped.
pub struct Display {
    server: Child,
    pub name: String,
    /// One window at a time: two of them on a software adapter wait for each other.
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Drop for Display {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A display, or `None` with a printed reason where there can be none and it is not required.
pub fn display() -> Option<Display> {
    let missing = match start() {
        Ok(display) if software_adapter() => return Some(display),
        Ok(_) => "no Vulkan driver (Debian: libvulkan1 mesa-vulkan-drivers)".to_owned(),
        Err(error) => error,
    };
    assert!(
        std::env::var_os("HUMANIFOLD_REQUIRE_WINDOW").is_none_or(|required| required != "1"),
        "HUMANIFOLD_REQUIRE_WINDOW=1, but {missing}"
    );
    println!("skipped: {missing}");
    None
}

fn start() -> Result<Display, String> {
    // A test that failed leaves nothing behind that another one would mind.
    let alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for tool in ["Xvfb", "xdotool"] {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()));
        if !found {
            return Err(format!("{tool} is not installed"));
        }
    }
    let screen = format!("{}x{}x24", SIZE[0], SIZE[1]);
    let mut server = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", &screen, "-nolisten", "tcp"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("Xvfb does not start: {error}"))?;
    let stdout = server.stdout.take().ok_or("Xvfb has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
    let number = line.trim();
    if number.is_empty() {
        return Err("Xvfb gave no display number".to_owned());
    }
    Ok(Display { server, name: format!(":{number}"), _alone: alone })
}

/// Whether the Vulkan loader finds any driver.
fn software_adapter() -> bool {
    if std::env::var_os("VK_ICD_FILENAMES").is_some() || std::env::var_os("VK_DRIVER_FILES").is_some() {
        return true;
    }
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"]
        .iter()
        .any(|folder| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()))
}

impl Display {
    fn xdotool(&self, arguments: &[&str]) {
        let status = Command::new("xdotool").env("DISPLAY", &self.name).args(arguments).status();
        assert!(status.is_ok_and(|status| status.success()), "xdotool {arguments:?} failed");
    }

    /// Presses at one place and lets go at another, with the pointer's way in between.
    pub fn drag(&self, from: [i32; 2], to: [i32; 2]) {
        let step = |share: f64| {
            let at = |axis: usize| f64::from(from[axis]) + share * f64::from(to[axis] - from[axis]);
            [at(0).round().to_string(), at(1).round().to_string()]
        };
        let [x, y] = step(0.0);
        self.xdotool(&["mousemove", &x, &y]);
        std::thread::sleep(Duration::from_millis(300));
        self.xdotool(&["mousedown", "1"]);
        std::thread::sleep(Duration::from_millis(200));
        for part in 1..=12 {
            let [x, y] = step(f64::from(part) / 12.0);
            self.xdotool(&["mousemove", &x, &y]);
            std::thread::sleep(Duration::from_millis(60));
        }
        std::thread::sleep(Duration::from_millis(300));
        self.xdotool(&["mouseup", "1"]);
    }

    /// Presses at a place and holds.
    pub fn hold(&self, [x, y]: [i32; 2]) {
        self.xdotool(&["mousemove", &x.to_string(), &y.to_string()]);
        std::thread::sleep(Duration::from_millis(300));
        self.xdotool(&["mousedown", "1"]);
        // A first short way makes it a drag.
        self.xdotool(&["mousemove", &(x + 8).to_string(), &y.to_string()]);
    }

    /// Moves the pointer in one step; the time from its arrival to 400 other pixels within a part of the screen (left,
    /// top, right, bottom).
    pub fn time_to_pixels(&self, to: [i32; 2], part: [i32; 4]) -> Duration {
        let (connection, root) = self.connect();
        let before = grab(&connection, root, part);
        let [x, y] = to.map(|at| at.to_string());
        let mut hand = Command::new("xdotool")
            .env("DISPLAY", &self.name)
            .args(["mousemove", &x, &y])
            .spawn()
            .expect("xdotool starts");
        let started = Instant::now();
        let wait = |milliseconds| {
            assert!(started.elapsed() < PATIENCE, "the stage does not follow the pointer");
            std::thread::sleep(Duration::from_millis(milliseconds));
        };
        loop {
            let at = connection.query_pointer(root).expect("sent").reply().expect("the pointer's place");
            if [at.root_x, at.root_y].map(i32::from) == to {
                break;
            }
            wait(1);
        }
        let arrived = Instant::now();
        loop {
            let now = grab(&connection, root, part);
            let pixels = before.chunks_exact(4).zip(now.chunks_exact(4));
            if pixels.filter(|(a, b)| a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > 12)).count() >= 400 {
                break;
            }
            // Each picture of the screen costs what is measured here.
            wait(5);
        }
        let taken = arrived.elapsed();
        assert!(hand.wait().is_ok_and(|status| status.success()), "xdotool failed");
        taken
    }

    pub fn release(&self) {
        self.xdotool(&["mouseup", "1"]);
    }

    pub fn key(&self, key: &str) {
        self.xdotool(&["key", key]);
        std::thread::sleep(Duration::from_millis(250));
    }

    /// Gives a window the keyboard; without a window manager nothing else does.
    pub fn focus(&self, window: u32) {
        self.xdotool(&["windowfocus", &window.to_string()]);
    }

    pub fn connect(&self) -> (RustConnection, u32) {
        let (connection, screen) = RustConnection::connect(Some(&self.name)).expect("the display answers");
        let root = connection.setup().roots[screen].root;
        (connection, root)
    }
}

/// A part of the screen (left, top, right, bottom): blue, green, red and a byte of no meaning for each pixel.
fn grab(connection: &RustConnection, root: u32, [left, top, right, bottom]: [i32; 4]) -> Vec<u8> {
    let size = [(right - left) as u16, (bottom - top) as u16];
    let image = connection.get_image(
        ImageFormat::Z_PIXMAP,
        root,
        left as i16,
        top as i16,
        size[0],
        size[1],
        u32::MAX,
    );
    image.expect("sent").reply().expect("a picture of the screen").data
}

/// What is on the screen.
pub struct Shot {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

impl Shot {
    /// Pixels of a rectangle: left, top, right, bottom.
    pub fn within(&self, [left, top, right, bottom]: [i32; 4]) -> impl Iterator<Item = [u8; 3]> + '_ {
        (top.max(0)..bottom.min(self.height as i32)).flat_map(move |y| {
            (left.max(0)..right.min(self.width as i32)).map(move |x| {
                let at = (y as usize * self.width as usize + x as usize) * 3;
                [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
            })
        })
    }

    pub fn take(display: &Display) -> Self {
        let (connection, root) = display.connect();
        let [width, height] = SIZE;
        let pixels = grab(&connection, root, [0, 0, width as i32, height as i32]);
        let rgb = pixels.chunks_exact(4).flat_map(|bgrx| [bgrx[2], bgrx[1], bgrx[0]]).collect();
        Self { width, height, rgb }
    }
}

/// The `key value` lines that the window writes.
pub struct State(String);

impl State {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
    }

    pub fn is(&self, key: &str, value: &str) -> bool {
        self.get(key) == Some(value)
    }

    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    pub fn number(&self, key: &str) -> f64 {
        self.get(key).and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
    }

    pub fn keypoint(&self, index: usize) -> Option<[i32; 2]> {
        let (x, y) = self.get("keypoints")?.split(' ').nth(index)?.split_once(',')?;
        Some([x.parse().ok()?, y.parse().ok()?])
    }
}

/// The program with its window.
pub struct Window<'a> {
    process: Child,
    display: &'a Display,
    state_file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl<'a> Window<'a> {
    pub fn open(display: &'a Display, photos: &[&Path]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state_file = folder.path().join("state");
        let process = Command::new(env!("CARGO_BIN_EXE_humanifold"))
            .args(photos)
            .env("DISPLAY", &display.name)
            .env_remove("WAYLAND_DISPLAY")
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("HUMANIFOLD_WINDOW_STATE", &state_file)
            .stdin(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut window = Self { process, display, state_file, _folder: folder };
        window.wait("the window", |state| state.number("updates") >= 1.0);
        display.focus(window.id());
        window
    }

    pub fn state(&self) -> State {
        State(std::fs::read_to_string(&self.state_file).unwrap_or_default())
    }

    /// Waits until the state is as wanted; the process must live on meanwhile.
    pub fn wait(&mut self, what: &str, wanted: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.state();
            if wanted(&state) {
                return;
            }
            if let Some(status) = self.process.try_wait().expect("a child") {
                panic!("the program ended with {status} while waiting for {what}; last state:\n{}", state.0);
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}; state:\n{}", state.0);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The screen after nothing on it changed for a while; pipelines compile behind the first frames.
    pub fn settled(&mut self) -> Shot {
        std::thread::sleep(Duration::from_millis(1500));
        let mut shot = Shot::take(self.display);
        for _ in 0..40 {
            std::thread::sleep(Duration::from_millis(700));
            let next = Shot::take(self.display);
            let same = next.rgb == shot.rgb;
            shot = next;
            if same {
                break;
            }
        }
        shot
    }

    /// Left, top, right, bottom of the part with the bodies.
    pub fn stage(&self) -> [i32; 4] {
        let state = self.state();
        let numbers: Vec<i32> =
            state.get("stage").unwrap_or_default().split(' ').filter_map(|n| n.parse().ok()).collect();
        numbers.try_into().expect("four numbers")
    }

    pub fn keypoint(&self, index: usize) -> [i32; 2] {
        self.state().keypoint(index).expect("keypoints are on the screen")
    }

    /// The X window of the program: the root's child with its name.
    pub fn id(&self) -> u32 {
        let (connection, root) = self.display.connect();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let children = connection.query_tree(root).expect("sent").reply().expect("a tree").children;
            for child in children {
                let name = connection
                    .get_property(false, child, AtomEnum::WM_NAME, AtomEnum::ANY, 0, 64)
                    .ok()
                    .and_then(|cookie| cookie.reply().ok());
                if name.is_some_and(|name| name.value == b"humanifold") {
                    return child;
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no window named humanifold");
    }

    /// CPU time of the process so far.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it lives");
        let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let fields: Vec<f64> = after_name.split_whitespace().filter_map(|f| f.parse().ok()).collect();
        // State is text; so user and system time are numbers 10 and 11 after it. Linux counts 100 ticks a second.
        (fields[10] + fields[11]) / 100.0
    }

    /// Asks the window to close as a window manager does; the exit code, or `None` where it does not end.
    pub fn close(&mut self) -> Option<i32> {
        let (connection, _) = self.display.connect();
        let atom =
            |name: &[u8]| connection.intern_atom(false, name).expect("sent").reply().expect("an atom").atom;
        let (protocols, delete) = (atom(b"WM_PROTOCOLS"), atom(b"WM_DELETE_WINDOW"));
        let window = self.id();
        let event = ClientMessageEvent::new(32, window, protocols, [delete, 0, 0, 0, 0]);
        connection.send_event(false, window, EventMask::NO_EVENT, event).expect("sent");
        connection.flush().expect("sent");
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }
}
