"""The restricted C that a model may write, as a GBNF grammar: the text after the include, to the closing brace.

Maps, then one program for `net_rx`; straight-line code with `if` up to three levels deep; no loops, no pointers except
map values, fixed layout. Repetitions and nesting are bounded, so every sentence is finite. The compiler checks names,
the verifier types and memory, the trial the meaning.
"""

from __future__ import annotations

from typing import Final

ROOT: Final = "root"

_STATEMENTS: Final = ((1, 20), (2, 6), (3, 3))
"""(indentation, maximum number of statements of a block at that level)."""


def _block(level: int, most: int) -> str:
    """Rules for the statements at one indentation level."""
    tab = "\\t" * level
    inner = level + 1
    leave = f' ret{level}? | ret{level}\nret{level} ::= "{tab}return " verdict ";\\n"' if level > 1 else ""
    rules = [f"block{level} ::= stmt{level}{{1,{most}}}{leave}"]
    forms = [f'"{tab}" simple "\\n"']
    if level < _STATEMENTS[-1][0]:
        guarded = f'"{tab}if (" cond (") {{\\n" block{inner} "{tab}}}\\n" | ")\\n{tab}\\t" action "\\n")'
        forms.append(guarded)
    else:
        forms.append(f'"{tab}if (" cond ")\\n{tab}\\t" action "\\n"')
    rules.append(f"stmt{level} ::= " + " | ".join(forms))
    return "\n".join(rules)


GBNF: Final = (
    r"""
root ::= maps program
maps ::= (map{1,3} "\n")?
map ::= ("HASH(" name ", " ("u32" | "u64") ", " value | "ARRAY(" name ", " value) ", " number ");\n"
value ::= "u64" | "u32" | "struct window" | "struct tally"
program ::= "SEC(\"net_rx\")\nint prog(struct xdp_md *ctx)\n{\n" (parse block1)? "\treturn " verdict ";\n}\n"
parse ::= "\tstruct flow f;\n\n\tif (!parse_flow(ctx, &f))\n\t\treturn XDP_PASS;\n"
verdict ::= "XDP_PASS" | "XDP_DROP" | "XDP_TX" | "XDP_ABORTED"
name ::= [a-z] [a-z0-9_]{0,14}
number ::= "0" | [1-9] [0-9]{0,8}

simple ::= (declare | call | assign) ";"
action ::= ("return " verdict | call | assign) ";"
declare ::= scalar | pointer | pair
scalar ::= ("u32" | "u64") " " name " = " expr
pointer ::= value " *" name " = bpf_map_lookup_elem(&" name ", &" name ")"
pair ::= "struct " ("window" | "tally") " " name " = {" atom ", " atom "}"
call ::= update | delete
update ::= "bpf_map_update_elem(&" name ", &" name ", &" name ", " ("BPF_ANY" | "BPF_NOEXIST" | "BPF_EXIST") ")"
delete ::= "bpf_map_delete_elem(&" name ", &" name ")"
assign ::= place " " ("=" | "+=" | "-=" | "|=" | "&=") " " expr
place ::= "*" name | name ("->" member)?
member ::= "start" | "count" | "packets" | "bytes"

cond ::= "!" (atom | "(" sum ")") | sum (" " ("==" | "!=" | "<" | "<=" | ">" | ">=") " " sum)?
expr ::= sum
sum ::= term (" " operator " " term){0,3}
operator ::= "+" | "-" | "*" | "/" | "&" | "|" | "^" | "<<" | ">>"
term ::= "(" atom " " operator " " atom ")" | function | "(u64)" atom | atom
function ::= "bpf_ktime_get_ns()" | ("popcount" | "log2_floor" | "hash_bit") "(" (term1 (" " operator " " term1)?) ")"
term1 ::= "(" atom " " operator " " atom ")" | atom
atom ::= "f." field | constant | number | place
field ::= "saddr" | "daddr" | "sport" | "dport" | "proto" | "flags" | "len"
constant ::= "IPPROTO_" ("TCP" | "UDP" | "ICMP") | "TCP_" ("SYN" | "ACK" | "RST" | "FIN") | "NS_PER_" ("US" | "MS")
""".lstrip()
    + "\n".join(_block(level, most) for level, most in _STATEMENTS)
    + "\n"
)
