"""The wire between host and kernel: every message and the extension image, declared once.

The C header `assay_messages.h` is generated from these modules at build time (`python -m contracts.wire.c_header`).
"""
