"""Kernel images: building, golden images, symbols."""
