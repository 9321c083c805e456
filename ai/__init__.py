"""From telemetry to a program: scenarios, diagnosis, prompt, grammar, and the small Llama that writes programs."""
