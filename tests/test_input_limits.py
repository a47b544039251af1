"""Files that hold more than they are long, or are no files: refused in a sentence, before anything is built of them."""

import os
import socket
from pathlib import Path

import pytest

from cosim.errors import LONGEST_PROBLEM, MOST_SHOWN, ScenarioError
from cosim.scenario import load
from cosim.settings import InputFile, Settings
from cosim.yaml_places import DEEPEST, LONGEST_TEXT, MOST_VALUES, parse_yaml

HORIZON = "horizon: {start: 2014-01-16 00:00, duration: 1 h}\n"

#: Nine lists of nine aliases: 9**8 texts, 43 million values of 400 bytes.
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)

REFUSED = {
    "bomb": (BOMB, f"holds more than {MOST_VALUES:,} values"),
    "brackets": ("name: " + "[" * 100_000, f"nests more than {DEEPEST} levels deep"),
    "mappings": ("".join(" " * depth + "a:\n" for depth in range(DEEPEST + 1)), f"nests more than {DEEPEST} levels"),
    "itself": ("name: &a [1, *a]\n", "`*a` stands within itself"),
    "itself through another": ("a: &a {b: &b [*a]}\n", "`*a` stands within itself"),
    "unknown alias": ("name: *nobody\n", "found undefined alias"),
    "digits": ("seed: " + "9" * 5000 + "\n", "has a number of 5,000 characters"),
    "base 60": ("seed: " + ":".join(["59"] * 3000) + "\n", "has a number of 8,999 characters"),
    "hexadecimal": ("seed: 0x" + "f" * 4000 + "\n", "has a number of 4,002 characters"),
    "text": (f"description: '{'x' * (LONGEST_TEXT + 1)}'\n", "has a value of 100,001 characters"),
    "key twice": ("name: a\nname: b\n", "is given twice"),
    "list as key": ("? [a, b]\n: 3\n", "unhashable key"),
    "code": ("name: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_text_that_holds_too_much_is_refused_with_its_line(name: str) -> None:
    text, problem = REFUSED[name]
    with pytest.raises(ScenarioError) as caught:
        parse_yaml(text, "s.yaml")
    assert problem in str(caught.value)
    assert str(caught.value).startswith("s.yaml:")


def test_what_is_within_the_limits_is_read() -> None:
    deep = "a: " + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    assert parse_yaml(deep, "s.yaml").value["a"]
    many = parse_yaml("a: &a [1, 2]\nb: [*a, *a]\n", "s.yaml")
    assert many.value == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
    long = "name: '" + "9" * 5000 + "'"  # a text, not a number
    assert len(parse_yaml(long, "s.yaml").value["name"]) == 5000


@pytest.mark.parametrize("kind", ["loop", "pipe", "device", "folder", "socket", "missing", "large"])
def test_what_is_no_ordinary_file_is_refused_without_being_opened(kind: str, tmp_path: Path) -> None:
    """As a scenario, and as a file that a scenario names."""
    path = tmp_path / "s.yaml"
    words = {
        "loop": "is a link that leads to itself",
        "pipe": "is a pipe, not a file",
        "device": "is a device, not a file",
        "folder": "is a folder, not a file",
        "socket": "is a socket, not a file",
        "missing": "there is no file",
        "large": "are read",
    }
    if kind == "loop":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(3 * 2**30)  # a hole: it takes no room
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))

    class Reads(Settings):
        file: InputFile

    expected = "there is no such file" if kind == "missing" else words[kind]
    with pytest.raises(ScenarioError, match=expected):
        load(path)
    with pytest.raises(ValueError, match=words[kind]):
        Reads.model_validate({"file": str(path)}, context={"folder": tmp_path})


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="is no name that a file can have"):
        load(tmp_path / "a\0b.yaml")


def test_the_first_faults_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: t\n" + HORIZON + "".join(f"x{k}: 1\n" for k in range(50)))
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert len(caught.value.faults) == 50
    lines = str(caught.value).splitlines()
    assert len(lines) == MOST_SHOWN + 1
    assert lines[-1] == "and 30 more faults"


def test_a_wrong_value_is_shown_in_part(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"name: t\nhorizon: {{start: 2014-01-16 00:00, duration: 1 h, step: '{'x' * 50_000}'}}\n")
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert len(str(caught.value)) < LONGEST_PROBLEM + 200
