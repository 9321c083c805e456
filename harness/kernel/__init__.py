"""Kernel images: built, named, kept as golden images, their symbols read."""
