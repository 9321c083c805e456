"""What the kernel's eBPF engine and the host share: limits, map kinds, hooks, helpers.

Each of them is a row of a table here and one implementation in `firmware/`; everything else is generated from the rows:
the engine's header (`c_header`), the header that programs include (`program_header`), the tables of
`docs/programs.md` (`tables`), and the list of the engine's source files (`sources`).
"""
