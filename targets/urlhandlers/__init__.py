"""pyserial URL schemes of ours; importing `targets.serial` makes pyserial look here."""
