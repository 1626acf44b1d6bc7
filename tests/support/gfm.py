"""What GitHub would make of a Markdown text: its markup, found by an independent parser."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

# The kinds of markup that a report of ours has.
OURS = {
    "heading",
    "paragraph",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "blockquote",
    "bullet_list",
    "list_item",
}
OURS |= {"strong", "<code>", "</code>", "<details>", "</details>", "<summary>", "</summary>"}
# Addresses and names that GitHub turns into links although they have no markup.
_LINKED = re.compile(r"(?<!\\)://|www(?<!\\)\.|@\w", re.IGNORECASE)
_TEXT = {"inline", "text", "text_special", "softbreak", "<!-- -->"}


def structure(markdown: str) -> list[str]:
    """Return the markup of a text in its order: blocks, links, images, HTML tags, and what becomes a link."""
    parsed = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    found: list[str] = []
    for token in (inner for block in parsed for inner in (block.children or [block])):
        if token.type in ("html_block", "html_inline"):
            found += re.findall(r"<[^>]*>?", token.content)
        elif not token.type.endswith("_close"):
            found.append(token.type.removesuffix("_open"))
    return [kind for kind in found if kind not in _TEXT] + _LINKED.findall(markdown)
