"""The console's place in the processes: its way to the control plane, and the gateways' way to it."""
