"""The simulator's power program: `switch.py SOCKET NAME on|off|state`. Starts fast: only the standard library."""

import socket
import sys

_ANSWER_MAX = 4096


def main(arguments: list[str]) -> int:
    """Send one request to the simulator and print its answer. Returns 0, 1 on a refusal, 2 for invalid usage."""
    if len(arguments) != 3:
        sys.stderr.write("usage: switch.py SOCKET NAME on|off|state\n")
        return 2
    path, name, verb = arguments
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.connect(path)
            link.sendall(f"{name} {verb}\n".encode())
            answer = b""
            while not answer.endswith(b"\n") and len(answer) < _ANSWER_MAX:
                piece = link.recv(_ANSWER_MAX)
                if not piece:
                    break
                answer += piece
    except OSError as error:
        sys.stderr.write(f"the simulator at {path} does not answer: {error}\n")
        return 1
    word, _, text = answer.decode("utf-8", "replace").strip().partition(" ")
    sys.stdout.write(f"{text}\n")
    return 0 if word == "ok" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
