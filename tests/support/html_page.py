"""Parses an HTML page, and fails if its tags are not balanced."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """A parsed page: its source, ids, links, loaded addresses and text. Fails if its tags are not balanced."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        assert not self._open, f"open tags={self._open}, but should be none at the end of the page"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note the tag, its id and its address."""
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("href", "src", "xlink:href", "data", "action", "poster", "srcset"):
                self.loads.append(value or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note a tag that is closed at once."""
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Fail if another tag is open."""
        opened = self._open.pop() if self._open else None
        assert opened == tag, f"closed tag={tag}, but should be {opened} [line {self.getpos()[0]}]"

    def handle_data(self, data: str) -> None:
        """Add text that a reader sees."""
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data
