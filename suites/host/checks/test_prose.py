"""The prose check of `assay lint`: a phrase that reads as translated is found; plain English is not."""

from __future__ import annotations

import pytest

from harness.checks.prose import findings, main


# Each phrase is in two parts, so that the check does not find it here.
@pytest.mark.parametrize(
    "phrase",
    [
        ("the word says whose", "move it is"),
        ("its kernel is", "laid"),
        ("paths are meant", "from that file"),
        ("a later one stands", "over an earlier one"),
        ("a clock turns no tre" + "nd", "round"),
        ("a holder that is beyond", "help"),
        ("which is told", "of in that page"),
        ("the board went", "by itself"),
        ("a proxy is", "minded everywhere"),
        ("Me" + "nd", "the value"),
        ("registers could be", "had"),
        ("a line a", "test"),
    ],
)
def test_a_translated_phrase_is_found_with_its_place(phrase: tuple[str, str]) -> None:
    (finding,) = findings({"docs/x.md": f"Plain.\nHere {' '.join(phrase)}.\n"})
    assert finding.startswith('docs/x.md:2: "')


@pytest.mark.parametrize(
    "text",
    [
        "The layout of the kernel, its overlay, and a recommendation.",
        "Handed over to the holder; the amended file; it lets the event continue.",
        "A later file overrides an earlier one. The path is relative to the file.",
    ],
)
def test_plain_english_is_not_found(text: str) -> None:
    assert list(findings({"x.py": text})) == []


def test_the_exit_code_says_whether_there_was_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("prose") / "x.md"
    file.write_text("Repair the board.\n")
    assert main([str(file)]) == 0
    file.write_text("Me" + "nd the board.\n")
    assert main([str(file)]) == 1
    assert main([str(file.rename(file.with_suffix(".bin")))]) == 0, "not a file with prose"
