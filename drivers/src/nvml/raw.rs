//! Functions of the library that its safe wrapper does not have.

#![expect(unsafe_code, reason = "C functions that nobody has wrapped")]

use nvml_wrapper::{Device, Nvml};
use serde::Serialize;

/// Rows of memory that a card has replaced by spare ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RemappedRows {
    /// Because of errors that could be corrected.
    pub corrected: u32,
    /// Because of errors that could not.
    pub uncorrected: u32,
    /// More are replaced at the next reset.
    pub is_pending: bool,
    /// No spare row was left.
    pub has_failed: bool,
}

/// `nvmlDeviceGetRemappedRows`; `None` where the card or the driver has no such thing.
pub(super) fn remapped_rows(nvml: &Nvml, device: &Device<'_>) -> Option<RemappedRows> {
    let call = nvml.lib().nvmlDeviceGetRemappedRows.as_ref().ok()?;
    let (mut corrected, mut uncorrected, mut is_pending, mut has_failed) = (0, 0, 0, 0);
    // SAFETY: the library is loaded as long as `nvml` lives, the handle is one of its own, and the four pointers lead to
    // variables that outlive the call.
    let code = unsafe { call(device.handle(), &mut corrected, &mut uncorrected, &mut is_pending, &mut has_failed) };
    let rows = RemappedRows { corrected, uncorrected, is_pending: is_pending != 0, has_failed: has_failed != 0 };
    (code == 0).then_some(rows)
}

/// `nvmlDeviceGetGpuInstanceId` of a MIG device.
pub(super) fn gpu_instance(nvml: &Nvml, device: &Device<'_>) -> Option<u32> {
    let call = nvml.lib().nvmlDeviceGetGpuInstanceId.as_ref().ok()?;
    let mut id = 0;
    // SAFETY: as above, with one pointer.
    let code = unsafe { call(device.handle(), &mut id) };
    (code == 0).then_some(id)
}
