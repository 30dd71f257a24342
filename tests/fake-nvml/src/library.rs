//! The state of the loaded library, and the way into it that every function takes.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::code::Code;
use crate::events::Events;
use crate::machine::{Card, Effect, Machine, Place};
use crate::{division, scenario};

/// Beside the library's own file: what it is to simulate.
const SCENARIO_FILE: &str = "scenario";

/// Beside it: how programs have divided the cards.
const DIVISION_FILE: &str = "division";

/// `nvmlDevice_t`: not a pointer to anything.
pub(crate) type Handle = *mut c_void;

/// Handles of a card: its own, then those of its instances.
const HANDLES_PER_CARD: usize = 64;

/// `nvmlGpuInstance_t` and `nvmlComputeInstance_t`: a card, and the number of an instance there.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct PartHandle(*mut c_void);

/// What such a handle begins with, by what it stands for.
const GPU_INSTANCE: usize = 1 << 24;
const COMPUTE_INSTANCE: usize = 1 << 25;

impl PartHandle {
    /// Of a GPU instance.
    pub(crate) fn gpu(card: usize, id: u32) -> Self {
        Self(std::ptr::without_provenance_mut(GPU_INSTANCE | (card << 8) | id as usize))
    }

    /// Of the compute instance in it.
    pub(crate) fn of_compute(self) -> Self {
        Self(self.0.map_addr(|address| (address & !GPU_INSTANCE) | COMPUTE_INSTANCE))
    }

    /// Of the GPU instance around it.
    pub(crate) fn of_gpu(self) -> Self {
        Self(self.0.map_addr(|address| (address & !COMPUTE_INSTANCE) | GPU_INSTANCE))
    }

    fn card(self) -> usize {
        (self.0.addr() & 0xff_ff00) >> 8
    }

    /// Where it is now among the instances of its card.
    fn instance(self, machine: &Machine) -> Result<usize, Code> {
        let id = (self.0.addr() & 0xff) as u32;
        let card = machine.cards.get(self.card()).ok_or(Code::INVALID_ARGUMENT)?;
        card.instances.iter().position(|instance| instance.id == id).ok_or(Code::INVALID_ARGUMENT)
    }
}

pub(crate) struct Library {
    /// How often it was initialised and not shut down.
    users: usize,
    pub(crate) machine: Machine,
    pub(crate) events: Events,
    /// The files as they were read.
    read: Option<(Stamp, Option<Stamp>)>,
}

/// Tells a file that has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        Ok(Self { inode: metadata.ino(), length: metadata.len(), changed })
    }
}

static LIBRARY: Mutex<Option<Library>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Library>> {
    LIBRARY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `nvmlInit`: counted.
pub(crate) fn initialise() -> Code {
    let mut guard = lock();
    let library = guard.get_or_insert_with(|| Library {
        users: 0,
        machine: Machine::new(),
        events: Events::default(),
        read: None,
    });
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
        let division = path.with_file_name(DIVISION_FILE);
        let stamps = (Stamp::of(&path).map_err(unreadable)?, Stamp::of(&division).ok());
        if self.read != Some(stamps) {
            let text = std::fs::read_to_string(&path).map_err(unreadable)?;
            let mut machine = scenario::read(&text).map_err(|why| format!("{}: {why}", path.display()))?;
            division::apply(&mut machine, &std::fs::read_to_string(&division).unwrap_or_default());
            if self.read.replace(stamps).is_some() {
                self.events.note(&self.machine, &machine);
            }
            self.machine = machine;
        }
        Ok(())
    }

    /// Keeps how the cards are divided now.
    fn keep_division(&mut self) -> std::io::Result<()> {
        let path = own_file().ok_or(std::io::ErrorKind::NotFound)?.with_file_name(DIVISION_FILE);
        let draft = path.with_extension(std::process::id().to_string());
        std::fs::write(&draft, division::write(&self.machine))?;
        std::fs::rename(&draft, &path)?;
        let division = Stamp::of(&path)?;
        self.read = self.read.map(|(scenario, _)| (scenario, Some(division)));
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
                Effect::FailOnce(code) if !fault.is_spent.swap(true, Ordering::Relaxed) => failure = Some(code),
                Effect::FailOnce(_) => {}
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

/// Answers a call about an instance that programs may destroy: its card, the card's number, and its position there.
pub(crate) fn ask_about_part(
    function: &str,
    part: PartHandle,
    answer: impl FnOnce(&Card, usize, usize) -> Result<(), Code>,
) -> Code {
    let place = Place { card: part.card(), instance: None };
    about(function, Some(place), |machine| {
        let instance = part.instance(machine)?;
        answer(&machine.cards[place.card], place.card, instance)
    })
}

/// Does what a call asks to be done, and keeps it.
pub(crate) fn change(
    function: &str,
    handle: Handle,
    change: impl FnOnce(&mut Machine, Place) -> Result<(), Code>,
) -> Code {
    let Some(place) = place(handle) else { return Code::INVALID_ARGUMENT };
    alter(function, place, |machine| change(machine, place))
}

/// Does what a call asks to be done with an instance, and keeps it.
pub(crate) fn change_part(
    function: &str,
    part: PartHandle,
    change: impl FnOnce(&mut Card, usize) -> Result<(), Code>,
) -> Code {
    let place = Place { card: part.card(), instance: None };
    alter(function, place, |machine| {
        let instance = part.instance(machine)?;
        change(&mut machine.cards[place.card], instance)
    })
}

/// Answers a call about what the library keeps beside the machine.
pub(crate) fn ask_library(function: &str, answer: impl FnOnce(&mut Library) -> Result<(), Code>) -> Code {
    let mut guard = match enter(function, None) {
        Ok(guard) => guard,
        Err(code) => return code,
    };
    let Some(library) = guard.as_mut() else { return Code::UNINITIALIZED };
    answer(library).map_or_else(|code| code, |()| Code::SUCCESS)
}

fn alter(function: &str, place: Place, change: impl FnOnce(&mut Machine) -> Result<(), Code>) -> Code {
    match enter(function, Some(place)) {
        Err(code) => code,
        Ok(mut guard) => {
            let Some(library) = guard.as_mut() else { return Code::UNINITIALIZED };
            match change(&mut library.machine) {
                Err(code) => code,
                Ok(()) => library.keep_division().map_or(Code::UNKNOWN, |()| Code::SUCCESS),
            }
        }
    }
}

fn about(function: &str, place: Option<Place>, answer: impl FnOnce(&Machine) -> Result<(), Code>) -> Code {
    let guard = match enter(function, place) {
        Ok(guard) => guard,
        Err(code) => return code,
    };
    let Some(library) = guard.as_ref() else { return Code::UNINITIALIZED };
    answer(&library.machine).map_or_else(|code| code, |()| Code::SUCCESS)
}

/// The library as it is now, after the time that the call takes; or how the call fails.
fn enter(function: &str, place: Option<Place>) -> Result<MutexGuard<'static, Option<Library>>, Code> {
    let mut guard = lock();
    let Some(library) = guard.as_mut().filter(|library| library.users > 0) else { return Err(Code::UNINITIALIZED) };
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
    let Some(library) = guard.as_ref() else { return Err(Code::UNINITIALIZED) };
    if let Some(failure) = failure {
        return Err(failure);
    }
    if let Some(place) = place {
        match library.machine.cards.get(place.card) {
            None => return Err(Code::INVALID_ARGUMENT),
            Some(card) if card.is_lost => return Err(Code::GPU_IS_LOST),
            Some(card) if place.instance.is_some_and(|instance| instance >= card.instances.len()) => {
                return Err(Code::INVALID_ARGUMENT);
            }
            Some(_) => {}
        }
    }
    Ok(guard)
}

#[expect(clippy::disallowed_methods, reason = "the time that a slow driver takes, on the thread of whoever calls it")]
pub(crate) fn take_time(wait: Duration) {
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
