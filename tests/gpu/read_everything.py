"""Reads a simulated machine with NVIDIA's own bindings: 2 H100, the second divided. Prints `done` at the end."""

import pynvml as nvml

nvml.nvmlInit()
assert nvml.nvmlSystemGetDriverVersion() == "580.95.05"
assert nvml.nvmlDeviceGetCount() == 2
cards = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(2)]

for index, card in enumerate(cards):
    name, uuid = nvml.nvmlDeviceGetName(card), nvml.nvmlDeviceGetUUID(card)
    assert name == "NVIDIA H100 80GB HBM3 (simulated)", name
    assert nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByUUID(uuid)) == index
    bus = nvml.nvmlDeviceGetPciInfo(card).busId
    assert nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByPciBusId(bus)) == index
    old, new = nvml.nvmlDeviceGetMemoryInfo(card), nvml.nvmlDeviceGetMemoryInfo(card, nvml.nvmlMemory_v2)
    assert old.total == new.total == 81559 << 20
    assert nvml.nvmlDeviceGetNumaNodeId(card) == index
    assert nvml.nvmlDeviceGetMigMode(card) == [index, index]
    assert nvml.nvmlDeviceGetMinorNumber(card) == index
    assert nvml.nvmlDeviceGetCudaComputeCapability(card) == (9, 0)

first, second = cards
assert nvml.nvmlDeviceGetUtilizationRates(first).gpu == 97
assert nvml.nvmlDeviceGetTemperature(first, nvml.NVML_TEMPERATURE_GPU) == 61
assert nvml.nvmlDeviceGetPowerUsage(first) == 650_000
assert nvml.nvmlDeviceGetEnforcedPowerLimit(first) == 700_000
[process] = nvml.nvmlDeviceGetComputeRunningProcesses(first)
assert (process.pid, process.usedGpuMemory) == (1, 20000 << 20)
assert nvml.nvmlDeviceGetTotalEccErrors(first, 1, 1) == 3
assert nvml.nvmlDeviceGetRemappedRows(first) == (0, 2, 1, 0)

assert nvml.nvmlDeviceGetTopologyCommonAncestor(first, second) == nvml.NVML_TOPOLOGY_SYSTEM
assert nvml.nvmlDeviceGetP2PStatus(first, second, nvml.NVML_P2P_CAPS_INDEX_NVLINK) == nvml.NVML_P2P_STATUS_OK

instances = [nvml.nvmlDeviceGetMigDeviceHandleByIndex(second, index) for index in range(2)]
sizes = [nvml.nvmlDeviceGetMemoryInfo(instance).total >> 20 for instance in instances]
assert sizes == [81559 // 2, 81559 // 8], sizes
assert nvml.nvmlDeviceGetAttributes(instances[0]).gpuInstanceSliceCount == 3
for instance in instances:
    assert nvml.nvmlDeviceIsMigDeviceHandle(instance)
    assert nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance)) == 1
[process] = nvml.nvmlDeviceGetComputeRunningProcesses(instances[1])
assert process.gpuInstanceId == nvml.nvmlDeviceGetGpuInstanceId(instances[1])
assert nvml.nvmlDeviceGetComputeRunningProcesses(instances[0]) == []

for call, error in [
    (lambda: nvml.nvmlDeviceGetHandleByIndex(2), nvml.NVMLError_InvalidArgument),
    (lambda: nvml.nvmlDeviceGetMigDeviceHandleByIndex(second, 2), nvml.NVMLError_NotFound),
    (lambda: nvml.nvmlDeviceGetUtilizationRates(second), nvml.NVMLError_NotSupported),
    (lambda: nvml.nvmlDeviceGetFanSpeed(first), nvml.NVMLError_NotSupported),
]:
    try:
        call()
    except error:
        continue
    raise AssertionError(f"no {error}")

nvml.nvmlShutdown()
try:
    nvml.nvmlDeviceGetCount()
except nvml.NVMLError_Uninitialized:
    print("done")
