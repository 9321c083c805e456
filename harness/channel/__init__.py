"""The debug channel's host side: schema, frames, client."""
