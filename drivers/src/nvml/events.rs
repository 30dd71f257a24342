//! What the driver says of cards by itself. The safe wrapper has this too, but not which MIG instance is meant.

#![expect(unsafe_code, reason = "C functions whose wrapper leaves out a part of the answer")]

use std::time::Duration;

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlEventData_t, nvmlEventSet_t};
use protocols::ids::GpuId;

/// `nvmlEventTypeDoubleBitEccError`.
const DOUBLE_BIT_ECC: u64 = 0x2;
/// `nvmlEventTypeXidCriticalError`.
const XID: u64 = 0x8;
/// `NVML_ERROR_TIMEOUT`.
const TIMED_OUT: u32 = 10;
/// Not about an instance.
const NO_INSTANCE: u32 = u32::MAX;

/// Something that the driver said of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardEvent {
    /// The card.
    pub card: GpuId,
    /// The number of the GPU instance that it is about; absent where it is about the whole card.
    pub gpu_instance: Option<u32>,
    /// What it said.
    pub kind: CardEventKind,
}

/// What the driver says of cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardEventKind {
    /// An error by its number in NVIDIA's catalogue.
    Xid(u64),
    /// A memory error that could not be corrected.
    UncorrectedEcc,
}

/// What came of waiting.
pub(super) enum Waited {
    Event(CardEvent),
    Nothing,
    /// The set is of no use any more, as when one of its cards is lost: the library's code.
    Failed(u32),
}

/// The events of some cards.
pub(super) struct EventSet<'nvml> {
    nvml: &'nvml Nvml,
    set: nvmlEventSet_t,
    cards: Vec<(nvmlDevice_t, GpuId)>,
}

impl<'nvml> EventSet<'nvml> {
    pub(super) fn new(nvml: &'nvml Nvml) -> Result<Self, NvmlError> {
        let call =
            nvml.lib().nvmlEventSetCreate.as_ref().map_err(|error| NvmlError::FailedToLoadSymbol(error.to_string()))?;
        let mut set: nvmlEventSet_t = std::ptr::null_mut();
        // SAFETY: the library is loaded as long as `nvml` lives, and the pointer leads to a variable of the right type.
        match unsafe { call(&raw mut set) } {
            0 => Ok(Self { nvml, set, cards: Vec::new() }),
            code => Err(nvml_wrapper::error::nvml_try(code).err().unwrap_or(NvmlError::Unknown)),
        }
    }

    /// Begins to listen to a card; `false` where it has no events.
    pub(super) fn listen_to(&mut self, device: &Device<'_>, card: &GpuId) -> bool {
        let lib = self.nvml.lib();
        let (Ok(supported), Ok(register)) =
            (lib.nvmlDeviceGetSupportedEventTypes.as_ref(), lib.nvmlDeviceRegisterEvents.as_ref())
        else {
            return false;
        };
        let mut kinds = 0;
        // SAFETY: the library is loaded, the handles are its own, and the pointer leads to a variable of the right type.
        let code = unsafe { supported(device.handle(), &raw mut kinds) };
        let kinds = kinds & (XID | DOUBLE_BIT_ECC);
        // SAFETY: as before, without pointers.
        if code != 0 || kinds == 0 || unsafe { register(device.handle(), kinds, self.set) } != 0 {
            return false;
        }
        // SAFETY: the handle is only compared.
        self.cards.push((unsafe { device.handle() }, card.clone()));
        true
    }

    /// Waits for the next event, at most so long.
    pub(super) fn wait(&self, at_most: Duration) -> Waited {
        let Ok(call) = self.nvml.lib().nvmlEventSetWait_v2.as_ref() else { return Waited::Failed(13) };
        let milliseconds = u32::try_from(at_most.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: a structure of numbers and one pointer, for which zeros are values.
        let mut data: nvmlEventData_t = unsafe { std::mem::zeroed() };
        // SAFETY: the library is loaded, the set is alive, and the pointer leads to a structure of the right type.
        match unsafe { call(self.set, &raw mut data, milliseconds) } {
            0 => self.read(&data).map_or(Waited::Nothing, Waited::Event),
            TIMED_OUT => Waited::Nothing,
            code => Waited::Failed(code),
        }
    }

    fn read(&self, data: &nvmlEventData_t) -> Option<CardEvent> {
        let (_, card) = self.cards.iter().find(|(handle, _)| *handle == data.device)?;
        let kind = match data.eventType {
            XID => CardEventKind::Xid(data.eventData),
            DOUBLE_BIT_ECC => CardEventKind::UncorrectedEcc,
            _ => return None,
        };
        let gpu_instance = (data.gpuInstanceId != NO_INSTANCE).then_some(data.gpuInstanceId);
        Some(CardEvent { card: card.clone(), gpu_instance, kind })
    }
}

impl Drop for EventSet<'_> {
    fn drop(&mut self) {
        if let Ok(call) = self.nvml.lib().nvmlEventSetFree.as_ref() {
            // SAFETY: the library is loaded, and the set is its own and freed once.
            unsafe { call(self.set) };
        }
    }
}
