"""eBPF on the host: compile, seal, disassemble, and run the kernel's own engine natively."""
