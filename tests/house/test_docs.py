"""The documents keep up with the code: settings, versions, decisions, links, and nothing of one machine in them."""

import re
import tomllib

import cmg
from house.tree import ROOT, kept_files

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
# Written in two parts, so that this file does not hold what it looks for.
OF_ONE_MACHINE = [
    "py" + "pi.org",
    "pythonhosted" + ".org",
    "npmjs" + ".org",
    "deb.debian" + ".org",
    "/" + "root/",
    "/" + "work/",
    "/" + "opt/",
    "/home" + "/",
    "--index" + "-url",
    "--find" + "-links",
]
NOT_OURS = {"LICENSE"}


def test_the_changelog_and_the_package_tell_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert cmg.__version__ == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_decisions_are_numbered_without_gap_and_titled() -> None:
    files = sorted((DOCS / "adr").glob("*.md"))
    assert [file.name[:4] for file in files] == [f"{number:04}" for number in range(1, len(files) + 1)]
    for file in files:
        assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", file.name), file.name
        assert file.read_text().startswith("# "), f"{file.name} begins with its title"


def test_every_link_to_a_file_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in kept_files()
        if page.suffix == ".md"
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)


def test_no_file_names_a_registry_or_a_place_on_somebodys_machine() -> None:
    found = []
    for file in kept_files():
        if file.name in NOT_OURS:
            continue
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{file.relative_to(ROOT)}: {one}" for one in OF_ONE_MACHINE if one in text]
    assert not found, "\n".join(found)


def test_make_help_names_every_command() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    described = set(re.findall(r"^([a-z-]+):.*## \S", text, re.MULTILINE))
    assert set(phony) == described
