//! The library and the driver.

use std::ffi::{CStr, c_char};

use crate::code::Code;
use crate::library::{ask, initialise, put, put_text, shut_down};

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> Code {
    initialise()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_flags: u32) -> Code {
    initialise()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> Code {
    shut_down()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(code: Code) -> *const c_char {
    const WORDS: [(Code, &CStr); 5] = [
        (Code::SUCCESS, c"Success"),
        (Code::NOT_SUPPORTED, c"Not Supported"),
        (Code::NOT_FOUND, c"Not Found"),
        (Code::GPU_IS_LOST, c"GPU is lost"),
        (Code::UNINITIALIZED, c"Uninitialized"),
    ];
    let words = WORDS.iter().find(|(known, _)| *known == code).map_or(c"Unknown Error", |(_, words)| words);
    words.as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetDriverVersion(text: *mut c_char, size: u32) -> Code {
    // SAFETY: the caller's buffer.
    ask("nvmlSystemGetDriverVersion", |machine| unsafe { put_text(text, size, &machine.driver) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetNVMLVersion(text: *mut c_char, size: u32) -> Code {
    // SAFETY: the caller's buffer.
    ask("nvmlSystemGetNVMLVersion", |machine| unsafe { put_text(text, size, &format!("13.{}", machine.driver)) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetCudaDriverVersion(version: *mut i32) -> Code {
    // SAFETY: the caller's variable.
    ask("nvmlSystemGetCudaDriverVersion", |_| unsafe { put(version, 13_000) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut i32) -> Code {
    // SAFETY: the caller's variable.
    ask("nvmlSystemGetCudaDriverVersion_v2", |_| unsafe { put(version, 13_000) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetProcessName(pid: u32, text: *mut c_char, size: u32) -> Code {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    ask("nvmlSystemGetProcessName", |_| {
        let name = name.map_err(|_| Code::NOT_FOUND)?;
        // SAFETY: the caller's buffer.
        unsafe { put_text(text, size, name.trim_end()) }
    })
}
