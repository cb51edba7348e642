"""The memory of each device, in bytes (estimates): step.py counts a step, phases.py what comes before and after."""
