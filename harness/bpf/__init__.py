"""The host's view of eBPF: compile, seal, disassemble, and run the kernel's own engine natively."""
