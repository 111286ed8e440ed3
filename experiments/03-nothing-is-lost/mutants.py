"""Valid tables and configurations, and what a few mutations make of them."""

from __future__ import annotations

import random

__all__ = ["settings", "table"]

_CELLS = (
    *("1", "2.5", "-3e308", "1e999", "nan", "NaN", "inf", "-inf", "", "  ", "NA", "-"),
    *("null", '"q"', '"a,b"', '"open', "a\nb", "\x00", "\x1b[31m", "=1+1", "ä", "٣"),
    *("2020-01-01", "2020-13-45", "9999-12-31", "0001-01-01", "12:30", "True", "0x1F"),
    *("1_000", "1,5", "00012", "9" * 400, "-0", "\u2028", "\u0085", "1e-320", "$4"),
    *("5%", "x" * 3000, "\ufeff", "\t", "'", "\r", "99999999999999999999", "+5"),
)
_VALID = {
    "n_trials": ("3", "20", "100"),
    "max_epochs": ("1", "5", "30"),
    "budget_epochs": ("40", "300"),
    "timeout": ('"10m"', '"1h"', "60"),
    "trial_timeout": ('"1m"', "30.5"),
    "patience": ("1", "5"),
    "sampler": ('"tpe"', '"random"', '"coarse-to-fine"', '"cmaes"'),
    "pruner": ('"promote"', '"none"', '"median"'),
    "engine": ('"auto"', '"vectorized"', '"lightning"'),
    "workers": ("1", "2"),
    "in_flight": ("1", "4"),
    "seed": ("0", "7"),
    "final_seeds": ("1", "5"),
    "split": ('"60/20/20"', "[0.5, 0.25, 0.25]", '"70/15/15"'),
    "stop_when_flat": ("true", "false"),
    "keep_checkpoints": ("0", "3"),
    "name": ('"study"', '"a.b-c_d"'),
    "drop": ('["spare"]',),
}
_SPACE = {
    "lr": ('"1e-4..1e-2"', "0.01", '{scale="log", low=1e-4, high=1e-2}', "[0.1, 0.01]"),
    "width": ('"16..32"', "16", "[16, 32]"),
    "dropout": ("0", '"0..0.3"'),
    "optimizer": ('"adamw"', '["adamw", "sgd"]'),
    "batch_size": ("[8, 16]", "16"),
    "n_layers": ('"1..2"', "1"),
    "momentum": ('"0.8..0.95"', "0.9"),
    "activation": ('["relu", "gelu"]',),
}
_ODD = (
    *("1", "0", "-1", "1.5", '"x"', '""', "true", "[1,2]", "[]", "{a=1}", "nan", "inf"),
    *("1e400", "99999999999999999999", '"1e-3..1e-1"', '"1h-"', '"0/0/0"', '"nan/1/1"'),
    *("1979-05-27", "07:32:00", '"\\u0000"', '"../x"', '"1..0"', '"nan..1"', '"0x10"'),
    *('"1e-4..1e-4"', '"١"', '"²"', '" 5 "', "[[1]]", '["a",1]', "1e30", '"16..1e300"'),
    *('{scale="log",low=0,high=1}', '{scale="log",low="a",high=1}', "{scale=1}"),
    *('"' + "n" * 300 + '"', '"\\u001b[31m"', "[true]", '"-0"', "1_0"),
)


def table(draw: random.Random) -> bytes:
    """A CSV whose class is in the column y, valid or nearly so."""
    separator = draw.choice([",", ",", ",", ";", "\t", "|"])
    end = draw.choice(["\n", "\n", "\r\n"])
    kinds = [
        draw.choice(["number", "words", "date", "whole", "holes", "constant", "id"])
        for _ in range(draw.randrange(1, 6))
    ]
    names = [f"{kind} {i}" for i, kind in enumerate(kinds)]
    names += ["spare"] * (draw.random() < 0.3)
    n = draw.choice([40, 60, 90, 150])
    classes = draw.choice(["ab", "pqr", "01", ["yes", "no"], ["1.0", "2.0", "3.5"]])
    rows = [
        [
            *(_cell(draw, kind, i) for kind in kinds),
            *(["0"] if "spare" in names else []),
            draw.choice(classes),
        ]
        for i in range(n)
    ]
    lines = [[*names, "y"], *rows]
    for _ in range(draw.choice([0, 0, 1, 1, 2, 4])):
        _mutate(draw, lines)
    text = end.join(separator.join(line) for line in lines) + draw.choice(["", end])
    encoding = draw.choice(["utf-8"] * 30 + ["utf-8-sig", "utf-16", "latin-1"])
    content = bytearray(text.encode(encoding, "replace"))
    for _ in range(draw.choice([0] * 14 + [1, 3])):
        content[draw.randrange(len(content))] = draw.randrange(256)
    if draw.random() < 0.06:
        del content[draw.randrange(len(content)) :]
    return bytes(content)


def settings(draw: random.Random) -> str:
    """A TOML configuration, valid or nearly so."""
    chosen = {
        key: draw.choice(_VALID[key])
        for key in draw.sample([*_VALID], draw.randrange(0, 5))
        if key != "drop" or draw.random() < 0.2
    }
    space = {
        key: draw.choice(_SPACE[key])
        for key in draw.sample([*_SPACE], draw.randrange(0, 4))
    }
    for _ in range(draw.choice([0, 0, 0, 0, 0, 1, 1, 2])):
        where = draw.choice([chosen, space])
        known = _VALID if where is chosen else _SPACE
        key = draw.choice([*known])
        if draw.random() < 0.15:
            key = key[: draw.randrange(1, len(key))]
        where[key] = draw.choice(_ODD)
    lines = [f"{key} = {value}" for key, value in chosen.items()]
    if space:
        lines += ["[space]", *(f"{key} = {value}" for key, value in space.items())]
    text = "\n".join(lines)
    if draw.random() < 0.06 and text:
        at = draw.randrange(len(text))
        text = text[:at] + draw.choice('"[]{}=.#\n\\é\x00') + text[at + 1 :]
    return text


def _cell(draw: random.Random, kind: str, i: int) -> str:
    return {
        "number": f"{draw.gauss(0, 1):.3f}",
        "words": draw.choice(["red", "green", "dark blue", '"a, b"']),
        "date": f"20{draw.randrange(10, 30)}-0{draw.randrange(1, 9)}-1{i % 10}",
        "whole": f"{draw.randrange(9)}",
        "holes": draw.choice(["", "1.5", "2", "NA"]),
        "constant": "7",
        "id": f"{i}",
    }[kind]


def _mutate(draw: random.Random, lines: list[list[str]]) -> None:
    line = lines[draw.randrange(len(lines))]
    how = draw.randrange(10)
    if how < 6:
        # Seldom the class: one row of a class of its own is refused, and ends the case.
        last = len(line) - (len(line) > 1 and draw.random() < 0.8)
        line[draw.randrange(last)] = draw.choice(_CELLS)
    elif how == 6:
        lines[0][draw.randrange(len(lines[0]))] = draw.choice(["", "x", "y", "0"])
    elif how in (7, 8):
        column, odd = draw.randrange(len(lines[0])), draw.choice(_CELLS)
        for each in lines[1:]:
            if column < len(each) and draw.random() < 0.5:
                each[column] = odd
    elif draw.random() < 0.3:
        line.append("more")
    elif len(line) > 1:
        line.pop()
