"""What is committed besides code: change log, documents, and nothing that is built or belongs to one machine."""

from __future__ import annotations

import re

from pyro_mcp._version import __version__
from tests.style import rules
from tests.style.repository import ROOT, findings, is_binary, tracked_beneath, tracked_files

CHANGELOG = ROOT / "CHANGELOG.md"
DECISIONS = ROOT / "docs" / "adr"


def test_a_malformed_change_log_is_found() -> None:
    assert rules.changelog_faults("## [4.0.0] - unreleased\n### Added\n- It.\n## [3.9.0] - 2026-01-31\n") == []
    assert rules.changelog_faults("## 4.0.0\n") == ["1: not a release heading: ## 4.0.0"]
    assert rules.changelog_faults("## [4.0.0] - soon\n") == ["1: not a release heading: ## [4.0.0] - soon"]
    assert rules.changelog_faults("### Improved\n") == ["1: not a kind of change: ### Improved"]
    assert rules.changelog_faults("## [3.0.0] - 2026-01-31\n## [4.0.0] - unreleased\n") == [
        "1: releases are not in order, newest first"
    ]


def test_the_change_log_is_well_formed_and_begins_with_this_version() -> None:
    text = CHANGELOG.read_text()
    assert rules.changelog_faults(text) == []
    assert re.findall(r"^## \[(.*?)\]", text, re.MULTILINE)[0] == __version__


def test_a_registry_host_is_found() -> None:
    assert rules.registry_hosts("fine\nhttps://" + "pypi" + ".org/simple\n") == ["2: " + "pypi" + ".org"]
    assert rules.registry_hosts("docker.io/library/python\n") == []


def test_a_binary_is_told_from_a_text() -> None:
    assert is_binary(b"\x7fELF\0")
    assert not is_binary("naïve\n".encode())


def test_only_texts_are_tracked_and_none_names_a_registry_host() -> None:
    files = tracked_files()
    assert [file.name for file in files if is_binary(file.read_bytes())] == []
    assert findings(files, rules.registry_hosts) == []


def test_links_between_documents_are_found() -> None:
    assert rules.relative_links("[a](b.md#c) [d](https://example.org) [e](#f) ![g](h.svg)") == ["b.md", "h.svg"]


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in tracked_beneath(ROOT, ".md")
        for target in rules.relative_links(document.read_text())
        if not (document.parent / target).exists()
    ]
    assert broken == []


def test_decisions_are_numbered_without_gaps_and_carry_their_number() -> None:
    records = sorted(DECISIONS.glob("*.md"))
    assert [record.name[:4] for record in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    for record in records:
        assert record.read_text().startswith(f"# {int(record.name[:4])}. ")
