"""A hook of MkDocs: pages outside docs/ become part of the site, below repository/.

Documentation links to measurements, the example, the changelog and the README by the paths that work on GitHub. MkDocs
knows only what lies in docs/, and would call each of these links broken. So the pages are added, and links are turned
into what they are called in the site; then `mkdocs build --strict` checks them like all others.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

OUTSIDE = (
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "examples/*.md",
    "examples/*.ipynb",
    "nas/data/embedded/README.md",
    "results/README.md",
    "results/*/README.md",
)
DOCS, REPOSITORY = "docs/", "repository/"
_LINK = re.compile(r"(?<=\]\()([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and what they link to, that lie outside docs/."""
    root = Path(config.config_file_path).parent
    for pattern in OUTSIDE:
        for path in sorted(root.glob(pattern)):
            name = REPOSITORY + path.relative_to(root).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn links, which are relative to where a page lies in the repository, into links of the site."""
    here = page.file.src_uri
    source = here.removeprefix(REPOSITORY) if here.startswith(REPOSITORY) else DOCS + here

    def in_site(link: re.Match[str]) -> str:
        if "://" in link[0]:
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[0]))
        name = target.removeprefix(DOCS) if target.startswith(DOCS) else REPOSITORY + target
        return posixpath.relpath(name, posixpath.dirname(here) or ".")

    return _LINK.sub(in_site, markdown)
