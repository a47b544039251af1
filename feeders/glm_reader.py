"""Reading GridLAB-D models that others wrote: their objects, modules and the files that they name.

The text comes out as one, with what is included in place, so that no path depends on a working folder. Paths count from
the file that names them; where there is nothing, from the model's own folder, from which GridLAB-D is usually run.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from feeders.glm import GlmError

#: A text in quotation marks, or a comment. Quotation marks that do not close on their line are none.
_QUOTED_OR_COMMENT = re.compile(r'"[^"\n]*"|\'[^\'\n]*\'|//[^\n]*')
_PLAIN = r"""[^{};"'$]*"""
_STATEMENT = re.compile(rf"""({_PLAIN}(?:(?:"[^"\n]*"|'[^'\n]*'|\$\{{[^}}\n]*\}}|["'$]){_PLAIN})*)([{{}};])""")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_TAPE_TYPE = re.compile(r"[a-z]{2,8}:")

#: Classes whose file is read, and with them the property that names it.
READERS = {
    "csv_reader": ("filename",),
    "player": ("file",),
    "shaper": ("file",),
}
#: Classes that write a file, and the properties that name it.
WRITERS = {
    "billdump": ("filename",),
    "collector": ("file",),
    "currdump": ("filename",),
    "fault_check": ("output_filename",),
    "group_recorder": ("file",),
    "histogram": ("filename",),
    "impedance_dump": ("filename",),
    "jsondump": ("filename_dump_reliability", "filename_dump_system"),
    "metrics": ("report_file",),
    "metrics_collector_writer": ("filename",),
    "multi_recorder": ("file", "multifile"),
    "recorder": ("file",),
    "violation_recorder": ("file",),
    "voltdump": ("filename",),
}


@dataclass(eq=False)
class GlmObject:
    """One object of a model."""

    kind: str  #: its class
    label: str  #: its number in the text, as 7 in `object node:7`; "" if it has none
    line: int  #: in the joined text, from 1
    start: int  #: where it begins in the joined text
    body: int  #: where its properties begin
    end: int = 0  #: where it ends
    parent: str = ""  #: the name of the object that it stands in or names
    outer: GlmObject | None = None  #: the object that it stands in
    properties: dict[str, str] = field(default_factory=dict)  #: as written, without quotation marks
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)  #: where each value stands

    @property
    def name(self) -> str:
        """Its name; "" if it has none."""
        return self.properties.get("name", "")


@dataclass
class GlmModel:
    """A model as its files hold it."""

    path: Path
    text: str = ""  #: the joined text
    places: list[tuple[Path, int]] = field(default_factory=list)  #: of each line: its file, and its line there
    objects: list[GlmObject] = field(default_factory=list)
    modules: dict[str, dict[str, str]] = field(default_factory=dict)  #: their settings
    clock: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)  #: what `#set` and `#define` say
    files: list[Path] = field(default_factory=list)  #: what it includes and reads, in the order in which it is named

    def place(self, line: int) -> str:
        """Where a line of the joined text stands, as `file(line)`."""
        path, number = self.places[line - 1] if 0 < line <= len(self.places) else (self.path, 0)
        return f"{path}({number})"

    def of(self, *kinds: str) -> list[GlmObject]:
        """The objects of these classes."""
        return [item for item in self.objects if item.kind in kinds]

    def named(self, name: str) -> GlmObject | None:
        """The object of that name."""
        return next((item for item in self.objects if name and item.name == name), None)


def read_glm(path: Path, files: Sequence[Path] | None = None) -> GlmModel:
    """Read a model and what it includes. With `files`, the files that it names are taken from there in turn.

    Raises
    ------
    GlmError
        If a file that it includes or reads is not there, with `file(line)`.

    """
    return _Reader(path, files).model


class _Reader:
    """Puts a model together."""

    def __init__(self, path: Path, files: Sequence[Path] | None) -> None:
        self.model = GlmModel(path)
        self._given = None if files is None else iter(files)
        self._included: set[Path] = set()
        self._raw: list[str] = []
        self._seen: list[str] = []  # the lines without what GridLAB-D does not take for the model
        self._branches: list[bool] = []
        self._include(path)
        self.model.text = "\n".join(self._raw) + "\n"
        self._read_statements("\n".join(self._seen) + "\n")
        for item in self.model.objects:
            for name in READERS.get(item.kind, ()):
                if item.properties.get(name):
                    self._note_file(item, name)

    def _include(self, path: Path) -> None:
        self._included.add(path)
        text = path.read_text("utf-8", errors="surrogateescape")
        plain = _QUOTED_OR_COMMENT.sub(_without_comment, text)
        for number, (raw, line) in enumerate(zip(text.split("\n"), plain.split("\n"), strict=True), 1):
            if not line.lstrip().startswith("#"):
                self._add(raw, line if all(self._branches) else "", path, number)
                continue
            included = self._directive(line.strip()[1:].split(None, 1), path, number)
            self._add("" if included else raw, "", path, number)
            if included and included not in self._included:  # GridLAB-D, too, includes a file once
                self._include(included)

    def _add(self, raw: str, line: str, path: Path, number: int) -> None:
        self._raw.append(raw)
        self._seen.append(line.ljust(len(raw)))
        self.model.places.append((path, number))

    def _directive(self, words: list[str], path: Path, number: int) -> Path | None:
        """Take note of what a line with # says; the file to include, if it says so."""
        word, rest = words[0] if words else "", words[1].rstrip("; \t") if len(words) > 1 else ""
        settings, branches = self.model.settings, self._branches
        if word in ("ifdef", "ifndef"):
            branches.append((rest in settings or rest in os.environ) == (word == "ifdef"))
        elif word in ("if", "ifexist"):
            branches.append(True)  # what it depends on is known to GridLAB-D alone
        elif word == "else" and branches:
            branches[-1] = not branches[-1]
        elif word == "endif" and branches:
            branches.pop()
        elif not all(branches):
            return None
        elif word in ("set", "define", "setenv") and "=" in rest:
            name, _, value = rest.partition("=")
            settings[name.strip()] = _unquoted(value)
        elif word == "include" and rest[:1] == '"':
            return self._found(_unquoted(rest), path, f"{path}({number}): #include")
        return None

    def _read_statements(self, text: str) -> None:
        model, stack, line, counted = self.model, list[GlmObject | dict[str, str] | None](), 1, 0
        for match in _STATEMENT.finditer(text):
            head, mark = match.group(1), match.group(2)
            words = head.split(None, 1)
            top = stack[-1] if stack else None
            if mark == "{":
                start = match.start() + len(head) - len(head.lstrip())
                line, counted = line + text.count("\n", counted, start), start
                stack.append(self._begun(head.split(), top, (start, match.end()), line))
            elif mark == ";":
                if len(words) == 2 and words[0] == "module" and not stack:
                    model.modules.setdefault(_unquoted(words[1]), {})
                elif len(words) == 2 and isinstance(top, GlmObject):
                    value = words[1].rstrip()
                    begin = match.start(2) - len(head) + head.rindex(words[1])
                    top.properties[words[0]], top.spans[words[0]] = _unquoted(value), (begin, begin + len(value))
                elif len(words) == 2 and isinstance(top, dict):
                    top[words[0]] = _unquoted(words[1])
            elif stack:
                stack.pop()
                if isinstance(top, GlmObject):
                    top.end = match.end()
        for item in model.objects:
            item.parent = item.properties.get("parent", item.outer.name if item.outer else "")

    def _begun(
        self, words: list[str], top: object, span: tuple[int, int], line: int
    ) -> GlmObject | dict[str, str] | None:
        """What a brace begins: an object, a module's settings, or something else (None)."""
        if "object" in words[:-1]:
            place = words.index("object")
            outer = top if isinstance(top, GlmObject) else None
            kind, _, label = words[place + 1].partition(":")
            item = GlmObject(kind, label, line, *span, outer=outer)
            self.model.objects.append(item)
            return item
        if len(words) > 1 and words[0] == "module":
            return self.model.modules.setdefault(_unquoted(words[1]), {})
        return self.model.clock if words[:1] == ["clock"] else None

    def _note_file(self, item: GlmObject, name: str) -> None:
        written = _VARIABLE.sub(self._value, item.properties[name])
        kind = _TAPE_TYPE.match(written)
        place = self.model.places[item.line - 1][0]
        where = f"{self.model.place(item.line)}: {name} of {item.kind} {item.name}".rstrip()
        found = self._found(written[kind.end() :] if kind else written, place, where)
        item.properties[name] = (kind.group() if kind else "") + str(found)

    def _value(self, match: re.Match[str]) -> str:
        name = match.group(1)
        return self.model.settings.get(name, os.environ.get(name, match.group()))

    def _found(self, written: str, path: Path, where: str) -> Path:
        """The file of the name `written` in the file `path`. Raises GlmError."""
        written = _VARIABLE.sub(self._value, written)
        found = next(self._given, None) if self._given is not None else _first_file(written, path, self.model.path)
        if found is None:
            folder = path.parent
            near = difflib.get_close_matches(Path(written).name, _names(folder), n=3)
            instead = f"Did you mean: {', '.join(near)}?" if near else "Correct the path or add the file"
            raise GlmError(f"{where} names '{written}', which is not in {folder}. {instead}")
        self.model.files.append(found)
        return found


def _first_file(written: str, *named_in: Path) -> Path | None:
    spellings = (written, written.replace("\\", "/"))
    candidates = ((path.parent / Path(text).expanduser()).resolve() for path in named_in for text in spellings)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def _without_comment(match: re.Match[str]) -> str:
    text = match.group()
    return " " * len(text) if text.startswith("//") else text


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def edited(text: str, edits: Iterable[tuple[int, int, str]]) -> str:
    """`text` with the parts from start to end replaced; they must not overlap."""

    def parts() -> Iterator[str]:
        at = 0
        for start, end, new in sorted(edits):
            yield text[at:start]
            yield new
            at = end
        yield text[at:]

    return "".join(parts())
