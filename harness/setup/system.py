"""System packages that the machine needs: checked, and installed by apt if missing."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.errors import SetupError
from harness.setup.progress import Progress

QEMU_MAJOR: Final = 9
"""The first QEMU with the machine `raspi4b`."""

BACKPORTS_FILE: Final = "assay-backports.sources"
_APT: Final = Path("/etc/apt")
_APT_TIMEOUT_S: Final = 1800.0
_PROBE_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Need:
    """One missing requirement: the apt `package` that provides it, and what was `seen` instead.

    If it is not `required`, it is installed where that works automatically, and skipped otherwise.
    """

    package: str
    purpose: str
    seen: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class AptSource:
    """One archive entry of apt: its `uri`, `suites` and `components`, and its signing key."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str


def qemu_command(env: Mapping[str, str] = os.environ) -> str:
    """The QEMU to use: `ASSAY_QEMU`, or the one in PATH."""
    return env.get("ASSAY_QEMU") or "qemu-system-aarch64"


def qemu_version(command: str) -> tuple[int, ...] | None:
    """`(10, 0, 2)` for the given QEMU; None if it is missing or prints no version."""
    try:
        out = subprocess.run(
            [command, "--version"], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"version (\d+(?:\.\d+)*)", out)
    return tuple(int(part) for part in match[1].split(".")) if match else None


def missing(*, tests: bool = False) -> list[Need]:
    """What this machine lacks, in order of installation; with `tests` also for the tests. Empty if it is ready."""
    importlib.invalidate_caches()
    needs: list[Need] = []
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        needs.append(Need("python3-venv", "makes .venv", "no module ensurepip"))
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        needs.append(Need("python3-dev", "builds extension modules", f"no {header}"))
    if shutil.which("g++") is None or shutil.which("gcc") is None:
        needs.append(Need("g++", "builds llama.cpp and Monocypher", "no gcc and g++ in PATH"))
    if shutil.which("git") is None:
        needs.append(Need("git", "names the kernel's build", "no git in PATH"))
    version = qemu_version(qemu_command())
    if version is None or version[0] < QEMU_MAJOR:
        seen = "none" if version is None else ".".join(map(str, version))
        needs.append(
            Need("qemu-system-arm", f"runs the boards, version {QEMU_MAJOR} or newer", f"QEMU {seen}")
        )
    if tests and shutil.which("qemu-aarch64") is None:
        needs.append(
            Need("qemu-user", "runs JITed code in host tests", "no qemu-aarch64 in PATH", required=False)
        )
    return needs


def ensure(progress: Progress, *, tests: bool = False) -> None:
    """Install what is missing. Raises SetupError, with the commands to type, if that is not possible from here."""
    needs = missing(tests=tests)
    if not needs:
        return
    if not any(need.required for need in needs) and (os.geteuid() != 0 or shutil.which("apt-get") is None):
        for need in needs:
            progress.say(f"without {need.package} ({need.purpose}): {need.seen}")
        return
    release = _os_release()
    packages = [need.package for need in needs]
    if shutil.which("apt-get") is None or not _is_debian(release):
        name = release.get("PRETTY_NAME", "an unknown system")
        raise _by_hand(needs, f"automatic set-up needs Debian 12 or newer, with apt; this is {name}", ())
    codename = release.get("VERSION_CODENAME", "")
    sources = read_sources(_APT)
    if os.geteuid() != 0:
        commands = _commands(sources, codename, packages)
        raise _by_hand(needs, "system packages are missing and this is not root", commands)
    _install(progress, packages, codename, sources)
    still = [need for need in missing(tests=tests) if need.required]
    if still:
        raise _by_hand(still, "apt ran, but packages are still missing", ())


def _install(progress: Progress, packages: list[str], codename: str, sources: Iterable[AptSource]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    options = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0"]
    do = "check that apt reaches its mirror (`apt-get update`) and start again"
    update = ["apt-get", *options, "update"]
    progress.run("apt: package lists", update, timeout_s=_APT_TIMEOUT_S, env=env, do=do)
    # Complete installations that an interrupted set-up left unfinished.
    configure = ["dpkg", "--configure", "-a"]
    progress.run("apt: unfinished installations", configure, timeout_s=_APT_TIMEOUT_S, env=env, do=do)
    from_backports: list[str] = []
    if "qemu-system-arm" in packages and not _candidate_is_new_enough(env):
        if not any(f"{codename}-backports" in source.suites for source in sources):
            file = _APT / "sources.list.d" / BACKPORTS_FILE
            file.write_text(backports_stanza(sources, codename), encoding="utf-8")
            progress.say(f"apt: {codename}-backports added in {file}, for QEMU {QEMU_MAJOR} or newer")
            progress.run(
                "apt: package lists with backports", update, timeout_s=_APT_TIMEOUT_S, env=env, do=do
            )
        packages = [package for package in packages if package != "qemu-system-arm"]
        from_backports = ["qemu-system-arm"]
    install = ["apt-get", *options, "install", "-y", "--no-install-recommends"]
    if packages:
        progress.run(
            f"apt: {', '.join(packages)}", [*install, *packages], timeout_s=_APT_TIMEOUT_S, env=env, do=do
        )
    if from_backports:
        command = [*install, "-t", f"{codename}-backports", *from_backports]
        progress.run("apt: QEMU from backports", command, timeout_s=_APT_TIMEOUT_S, env=env, do=do)


def _candidate_is_new_enough(env: Mapping[str, str]) -> bool:
    out = subprocess.run(
        ["apt-cache", "policy", "qemu-system-arm"],
        capture_output=True,
        text=True,
        timeout=_PROBE_TIMEOUT_S,
        env=dict(env),
        check=False,
    ).stdout
    match = re.search(r"Candidate: (?:\d+:)?(\d+)\.", out)
    return match is not None and int(match[1]) >= QEMU_MAJOR


def read_sources(apt: Path) -> list[AptSource]:
    """The enabled binary archives in apt's configuration folder, in both of its formats."""
    found: list[AptSource] = []
    folder = apt / "sources.list.d"
    for file in [apt / "sources.list", *sorted(folder.glob("*.list"))]:
        if file.is_file():
            found += filter(
                None, map(_one_line, file.read_text(encoding="utf-8", errors="replace").splitlines())
            )
    for file in sorted(folder.glob("*.sources")):
        text = file.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
            found += _stanza(stanza)
    return found


def _one_line(line: str) -> AptSource | None:
    match = re.match(
        r"^deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>[^#]*)", line
    )
    if match is None:
        return None
    signed = re.search(r"signed-by=(\S+)", match["options"] or "")
    return AptSource(
        match["uri"], (match["suite"],), tuple(match["rest"].split()), signed[1] if signed else ""
    )


def _stanza(stanza: str) -> list[AptSource]:
    unfolded = re.sub(r"\n[ \t]+", " ", stanza)
    fields = {
        key.strip().lower(): value.strip()
        for key, colon, value in (line.partition(":") for line in unfolded.splitlines())
        if colon
    }
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
        return []
    signed = fields.get("signed-by", "")
    return [
        AptSource(
            uri,
            tuple(fields.get("suites", "").split()),
            tuple(fields.get("components", "").split()),
            signed if signed.startswith("/") else "",
        )
        for uri in fields.get("uris", "").split()
    ]


def backports_stanza(sources: Iterable[AptSource], codename: str) -> str:
    """apt's deb822 text for CODENAME-backports on the mirror that serves CODENAME. Raises SetupError without a mirror."""
    for source in sources:
        if codename in source.suites and "main" in source.components:
            lines = ["Types: deb", f"URIs: {source.uri}", f"Suites: {codename}-backports", "Components: main"]
            if source.signed_by:
                lines.append(f"Signed-By: {source.signed_by}")
            return "\n".join(lines) + "\n"
    raise SetupError(
        "no mirror that provides QEMU",
        expected=f"a source of suite {codename!r}, component 'main', under {_APT}",
        seen="none",
        do=f"install QEMU {QEMU_MAJOR} or newer by hand, or set ASSAY_QEMU to one",
    )


def _commands(sources: Iterable[AptSource], codename: str, packages: list[str]) -> list[str]:
    """The shell commands that install `packages`; on Debian 12 QEMU comes from backports."""
    from_backports = [
        package for package in packages if package == "qemu-system-arm" and codename == "bookworm"
    ]
    others = [package for package in packages if package not in from_backports]
    commands: list[str] = []
    if from_backports and not any(f"{codename}-backports" in source.suites for source in sources):
        text = backports_stanza(sources, codename).strip().replace("\n", "\\n")
        commands.append(f"printf '{text}\\n' >{_APT / 'sources.list.d' / BACKPORTS_FILE}")
    commands.append("apt-get update")
    install = "apt-get install -y --no-install-recommends"
    if others:
        commands.append(f"{install} {' '.join(others)}")
    if from_backports:
        commands.append(f"{install} -t {codename}-backports {' '.join(from_backports)}")
    return commands


def _os_release() -> dict[str, str]:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value.strip().strip("\"'") for key, _, value in pairs}


def _is_debian(release: Mapping[str, str]) -> bool:
    """Debian 12 or newer (testing has no number), or a distribution derived from Debian."""
    if release.get("ID") == "debian":
        number = release.get("VERSION_ID", "")
        return not number.isdigit() or int(number) >= 12
    return "debian" in release.get("ID_LIKE", "").split()


def _by_hand(needs: Iterable[Need], what: str, commands: Iterable[str]) -> SetupError:
    needs = list(needs)
    typed = "".join(f"\n    {command}" for command in commands)
    if typed:
        advice = f"run these commands as root, then start again:{typed}"
    else:
        advice = "install them, then start again; ASSAY_QEMU may name a QEMU that is not in PATH"
    return SetupError(
        what,
        expected="".join(f"\n    {need.package} ({need.purpose})" for need in needs),
        seen="; ".join(need.seen for need in needs) + f" (for {sys.executable})",
        do=advice,
    )
