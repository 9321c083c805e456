"""Training from scratch: tokeniser, data, network, run, export. Needs the `train` extra; nothing else imports it."""
