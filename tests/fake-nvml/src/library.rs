//! The state of the loaded library, and the way into it that every function takes.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::code::Code;
use crate::machine::{Effect, Machine, Place};
use crate::scenario;

/// Beside the library's own file: what it is to simulate.
const SCENARIO_FILE: &str = "scenario";

/// `nvmlDevice_t`: not a pointer to anything.
pub(crate) type Handle = *mut c_void;

/// Handles of a card: its own, then those of its instances.
const HANDLES_PER_CARD: usize = 64;

struct Library {
    /// How often it was initialised and not shut down.
    users: usize,
    machine: Machine,
    /// The file as it was read.
    read: Option<Stamp>,
}

/// Tells a file that has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

static LIBRARY: Mutex<Option<Library>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Library>> {
    LIBRARY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `nvmlInit`: counted.
pub(crate) fn initialise() -> Code {
    let mut guard = lock();
    let library = guard.get_or_insert_with(|| Library { users: 0, machine: Machine::new(), read: None });
    if let Err(why) = library.refresh() {
        complain(&why);
        return Code::UNKNOWN;
    }
    if let Some(code) = fault(&library.machine, "nvmlInit", None).1 {
        return code;
    }
    library.users += 1;
    Code::SUCCESS
}

pub(crate) fn shut_down() -> Code {
    match lock().as_mut().filter(|library| library.users > 0) {
        Some(library) => {
            library.users -= 1;
            Code::SUCCESS
        }
        None => Code::UNINITIALIZED,
    }
}

impl Library {
    fn refresh(&mut self) -> Result<(), String> {
        let path = own_file().ok_or("cannot find the file of this library")?.with_file_name(SCENARIO_FILE);
        let unreadable = |error: std::io::Error| format!("cannot read the scenario {}: {error}", path.display());
        let metadata = std::fs::metadata(&path).map_err(unreadable)?;
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        let stamp = Stamp { inode: metadata.ino(), length: metadata.len(), changed };
        if self.read != Some(stamp) {
            let text = std::fs::read_to_string(&path).map_err(unreadable)?;
            self.machine = scenario::read(&text).map_err(|why| format!("{}: {why}", path.display()))?;
            self.read = Some(stamp);
        }
        Ok(())
    }
}

/// What `dladdr` tells.
#[repr(C)]
struct DynamicLinkingInfo {
    file: *const c_char,
    base: *mut c_void,
    symbol: *const c_char,
    symbol_at: *mut c_void,
}

unsafe extern "C" {
    fn dladdr(address: *const c_void, info: *mut DynamicLinkingInfo) -> i32;
}

/// The file that this library was loaded from.
fn own_file() -> Option<PathBuf> {
    let null: *mut c_void = std::ptr::null_mut();
    let mut info = DynamicLinkingInfo { file: null.cast(), base: null, symbol: null.cast(), symbol_at: null };
    // SAFETY: the address is in this library, and the structure is the one that the C library fills.
    let found = unsafe { dladdr((&raw const LIBRARY).cast(), &raw mut info) };
    if found == 0 || info.file.is_null() {
        return None;
    }
    // SAFETY: a text that lives as long as the library is loaded.
    let file = unsafe { CStr::from_ptr(info.file) };
    Some(PathBuf::from(OsStr::from_bytes(file.to_bytes())))
}

/// A person who steers must see what is wrong with the file; the program that asks cannot be told.
fn complain(why: &str) {
    let _ = writeln!(std::io::stderr(), "simulated NVML: {why}");
}

/// How long a call takes, and how it fails.
fn fault(machine: &Machine, function: &str, card: Option<usize>) -> (Duration, Option<Code>) {
    let mut wait = Duration::ZERO;
    let mut failure = None;
    for fault in &machine.faults {
        if function.starts_with(&fault.function) && (fault.card.is_none() || fault.card == card) {
            match fault.effect {
                Effect::Fail(code) => failure = Some(code),
                Effect::Wait(time) => wait += time,
            }
        }
    }
    (wait, failure)
}

/// Answers a call about the machine as it is now.
pub(crate) fn ask(function: &str, answer: impl FnOnce(&Machine) -> Result<(), Code>) -> Code {
    about(function, None, answer)
}

/// Answers a call about a card or an instance.
pub(crate) fn ask_about(
    function: &str,
    handle: Handle,
    answer: impl FnOnce(&Machine, Place) -> Result<(), Code>,
) -> Code {
    let Some(place) = place(handle) else { return Code::INVALID_ARGUMENT };
    about(function, Some(place), |machine| answer(machine, place))
}

fn about(function: &str, place: Option<Place>, answer: impl FnOnce(&Machine) -> Result<(), Code>) -> Code {
    let mut guard = lock();
    let Some(library) = guard.as_mut().filter(|library| library.users > 0) else { return Code::UNINITIALIZED };
    if let Err(why) = library.refresh() {
        // Caught in the middle of a change: what was there last still holds.
        complain(&why);
    }
    let (wait, failure) = fault(&library.machine, function, place.map(|place| place.card));
    if !wait.is_zero() {
        drop(guard); // One slow card does not hold up the calls about others.
        take_time(wait);
        guard = lock();
    }
    let Some(library) = guard.as_ref() else { return Code::UNINITIALIZED };
    if let Some(failure) = failure {
        return failure;
    }
    if let Some(place) = place {
        match library.machine.cards.get(place.card) {
            None => return Code::INVALID_ARGUMENT,
            Some(card) if card.is_lost => return Code::GPU_IS_LOST,
            Some(card) if place.instance.is_some_and(|instance| instance >= card.instances.len()) => {
                return Code::INVALID_ARGUMENT;
            }
            Some(_) => {}
        }
    }
    answer(&library.machine).map_or_else(|code| code, |()| Code::SUCCESS)
}

#[expect(clippy::disallowed_methods, reason = "the time that a slow driver takes, on the thread of whoever calls it")]
fn take_time(wait: Duration) {
    std::thread::sleep(wait);
}

/// The handle of a place.
pub(crate) fn handle(place: Place) -> Handle {
    let number = (place.card + 1) * HANDLES_PER_CARD + place.instance.map_or(0, |instance| instance + 1);
    std::ptr::without_provenance_mut(number)
}

fn place(handle: Handle) -> Option<Place> {
    let number = handle.addr();
    let card = (number / HANDLES_PER_CARD).checked_sub(1)?;
    Some(Place { card, instance: (number % HANDLES_PER_CARD).checked_sub(1) })
}

/// Where a handle that must be a card's leads.
pub(crate) fn card_of(handle: Handle) -> Result<usize, Code> {
    match place(handle) {
        Some(Place { card, instance: None }) => Ok(card),
        Some(Place { instance: Some(_), .. }) | None => Err(Code::INVALID_ARGUMENT),
    }
}

/// Writes an answer.
///
/// # Safety
/// `to` is null or a caller's variable of this type, as the C interface demands.
pub(crate) unsafe fn put<T>(to: *mut T, value: T) -> Result<(), Code> {
    if to.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, and the caller of the C function vouches for it.
    unsafe { to.write(value) };
    Ok(())
}

/// Writes a text with the zero at its end.
///
/// # Safety
/// `to` is null or a caller's buffer of `size` bytes, as the C interface demands.
pub(crate) unsafe fn put_text(to: *mut c_char, size: u32, text: &str) -> Result<(), Code> {
    if to.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    if text.len() >= size as usize {
        return Err(Code::INSUFFICIENT_SIZE);
    }
    // SAFETY: the buffer has room for the text and one byte more.
    unsafe {
        to.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
        to.add(text.len()).write(0);
    }
    Ok(())
}
