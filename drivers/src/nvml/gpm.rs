//! How busy MIG instances are: cards do not tell, but from Hopper on they count, and two readings of the counters do.

use std::collections::{BTreeMap, BTreeSet};

use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::gpm::{GpmSample, gpm_metrics_get};
use nvml_wrapper::{Device, Nvml};
use protocols::ids::GpuId;

/// The last readings.
#[derive(Default)]
pub(super) struct Counters<'nvml>(BTreeMap<GpuId, GpmSample<'nvml>>);

impl<'nvml> Counters<'nvml> {
    /// How much of the time since the last reading something ran on an instance, in percent; `None` at the first reading,
    /// and where nothing is counted.
    pub(super) fn utilisation(
        &mut self,
        nvml: &'nvml Nvml,
        card: &Device<'nvml>,
        instance: &GpuId,
        gpu_instance: u32,
    ) -> Option<f64> {
        let now = card.gpm_mig_sample(gpu_instance).ok()?;
        let before = self.0.remove(instance);
        let metrics =
            before.map(|before| gpm_metrics_get(nvml, &before, &now, &[GpmMetricId::GraphicsUtil]).unwrap_or_default());
        self.0.insert(instance.clone(), now);
        let metric = metrics?.into_iter().next()?.ok()?;
        (0.0..=100.0).contains(&metric.value).then_some(metric.value)
    }

    /// Forgets instances that are not there any more.
    pub(super) fn keep(&mut self, instances: &BTreeSet<GpuId>) {
        self.0.retain(|instance, _| instances.contains(instance));
    }
}
