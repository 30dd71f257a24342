"""Prints what `nvidia-smi --query-gpu=index,name,uuid,memory.total,pci.bus_id --format=csv,noheader,nounits` prints."""

import pynvml as nvml

nvml.nvmlInit()
for index in range(nvml.nvmlDeviceGetCount()):
    card = nvml.nvmlDeviceGetHandleByIndex(index)
    fields = [
        index,
        nvml.nvmlDeviceGetName(card),
        nvml.nvmlDeviceGetUUID(card),
        nvml.nvmlDeviceGetMemoryInfo(card).total >> 20,
        nvml.nvmlDeviceGetPciInfo(card).busId,
    ]
    print(*fields, sep=", ")
