"""A simulator of boards with a serial line, a power switch and a TFTP folder: QEMU behind the hardware drivers."""
