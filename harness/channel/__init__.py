"""The host side of the debug channel: frames, requests, client."""
