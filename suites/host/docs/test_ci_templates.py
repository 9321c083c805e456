"""docs/ci: the files are valid for their CI, their commands exist, and they handle exit codes as documented."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from contracts.root import ROOT
from suites.host.docs.commands import commands, wrong_commands

FOLDER = ROOT / "docs" / "ci"
GITHUB = sorted(FOLDER.glob("github-*.yml"))
GITLAB = sorted(FOLDER.glob("gitlab-*.yml"))
JENKINS = sorted(FOLDER.glob("*.Jenkinsfile"))
TEMPLATES = [*GITHUB, *GITLAB, *JENKINS]


def name(path: Path) -> str:
    return path.name


def load(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def shell_lines(path: Path) -> list[str]:
    """Every line of shell in the template."""
    if path in GITHUB:
        steps = [step for job in load(path)["jobs"].values() for step in job["steps"]]
        scripts = [step["run"] for step in steps if "run" in step]
    elif path in GITLAB:
        document = load(path)
        parts = [part for part in document.values() if isinstance(part, dict)]
        scripts = [
            line
            for part in parts
            for key in ("before_script", "script", "after_script")
            for line in part.get(key, [])
        ]
    else:
        scripts = jenkins_strings(path.read_text())
    return "\n".join(scripts).replace("\\\n", " ").splitlines()


def jenkins_strings(text: str) -> list[str]:
    """The string literals of a Jenkinsfile, concatenated ones as one. Fails on an unbalanced bracket."""
    token = re.compile(
        r"""//[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|['"]|[(){}\[\]]|\+|[^\s'"(){}\[\]+/]+|\S"""
    )
    partner = {")": "(", "}": "{", "]": "["}
    open_: list[str] = []
    strings: list[str] = []
    before = ""
    for word in token.findall(text):
        if word.startswith("//"):
            continue
        if word in "({[":
            open_.append(word)
        elif word in partner:
            assert open_, f"{word} closes nothing"
            assert open_.pop() == partner[word], f"{word} closes another bracket"
        elif word in "'\"":
            pytest.fail(f"a string that starts with {word} and has no end")
        elif word[0] in "'\"":
            if before == "+" and strings:
                strings[-1] += word[1:-1]
            else:
                strings.append(word[1:-1])
        before = word
    assert not open_, f"{open_[-1]} is not closed"
    return strings


def test_each_ci_has_a_template_for_qemu_and_one_for_boards() -> None:
    assert list(map(name, TEMPLATES)) == [
        "github-boards.yml", "github-qemu.yml", "gitlab-boards.yml", "gitlab-qemu.yml",
        "boards.Jenkinsfile", "qemu.Jenkinsfile",
    ]  # fmt: skip


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_every_command_of_a_template_exists_with_its_options(path: Path) -> None:
    lines = shell_lines(path)
    assert wrong_commands(lines) == []
    called = {Path(words[0]).name for line in lines for words in commands(line)}
    assert called == {"assay", "pytest"}


@pytest.mark.parametrize("path", [*GITHUB, *GITLAB], ids=name)
def test_a_template_is_what_the_schema_of_its_ci_asks_for(path: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="the schemas come with the extra `dev`")
    schema = "github-workflows" if path in GITHUB else "gitlab-ci"
    vendored = resources.files("check_jsonschema.builtin_schemas") / "vendor" / f"{schema}.json"
    jsonschema.validate(load(path), json.loads(vendored.read_text()))


@pytest.mark.parametrize("path", JENKINS, ids=name)
def test_a_jenkinsfile_is_a_declarative_pipeline(path: Path) -> None:
    text = path.read_text()
    jenkins_strings(text)
    assert re.search(r"^pipeline \{$", text, re.MULTILINE)
    for part in ("agent", "options", "stages", "post"):
        assert re.search(rf"^    {part} \{{", text, re.MULTILINE), part
    names = re.findall(r"stage\('([^']+)'\)", text)
    assert len(names) == len(set(names)) == text.count("steps {")


@pytest.mark.parametrize(("broken", "why"), [("f(x]", "another"), ("{", "not closed"), ("sh 'x", "no end")])
def test_a_broken_jenkinsfile_is_caught(broken: str, why: str) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception), match=why):
        jenkins_strings(broken)


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_results_are_kept_whatever_happens(path: Path) -> None:
    if path in GITHUB:
        (upload,) = (
            s for s in load(path)["jobs"].popitem()[1]["steps"] if "upload-artifact" in s.get("uses", "")
        )
        assert (upload["if"], upload["with"]["path"]) == ("always()", "results/")
    elif path in GITLAB:
        kept = [part["artifacts"] for part in load(path).values() if "artifacts" in part]
        assert all(artifacts["when"] == "always" and "results/" in artifacts["paths"] for artifacts in kept)
        assert kept
    else:
        always = path.read_text().partition("always {")[2]
        assert "archiveArtifacts allowEmptyArchive: true, artifacts: 'results/**'" in always


@pytest.mark.parametrize("path", GITHUB, ids=name)
@pytest.mark.parametrize(
    ("codes", "ended", "calls"),
    [([0], 0, 1), ([1], 1, 1), ([75, 0], 0, 2), ([75, 75], 75, 2), ([75, 1], 1, 2), ([76], 76, 1)],
)
def test_github_tries_again_when_only_the_lab_failed(
    path: Path, codes: list[int], ended: int, calls: int, tmp_path: Path
) -> None:
    """The step's own shell, with a pytest that exits with these codes, one per call."""
    (step,) = (
        step["run"]
        for step in load(path)["jobs"].popitem()[1]["steps"]
        if "pytest suites/board" in step.get("run", "")
    )
    fake = tmp_path / ".venv" / "bin" / "pytest"
    fake.parent.mkdir(parents=True)
    fake.write_text(
        "#!/bin/bash\necho call >>calls\nset -- "
        + " ".join(map(str, codes))
        + '\nn=$(wc -l <calls)\nexit "${!n}"\n'
    )
    fake.chmod(0o755)
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step]  # same as the runner
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == ended, done.stderr
    assert len((tmp_path / "calls").read_text().splitlines()) == calls


@pytest.mark.parametrize("path", GITLAB, ids=name)
def test_gitlab_tries_again_when_only_the_lab_failed(path: Path) -> None:
    # Either condition is enough for GitLab, so `when` must not hold `script_failure`.
    parts = [part["retry"] for part in load(path).values() if "retry" in part]
    assert parts == [{"max": 1, "when": "runner_system_failure", "exit_codes": [75]}]
