"""Assay's pyserial URL schemes; importing `targets.serial` registers this package with pyserial."""
