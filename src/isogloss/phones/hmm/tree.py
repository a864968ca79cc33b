"""The phonetic decision tree: which pdf a phone's HMM state has in its context of neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isogloss.types import IsoglossError

OUTSIDE = 0  # in a window: the neighbour of the first and of the last phone

Node = Any
"""A leaf is a pdf (int). An inner node is [key, values, yes, no]: `key` is a position of the window, or −1 for the pdf
class; `values` a frozenset; the answer is yes if the window's phone (or the pdf class) at `key` is among them. A table is
{"key": key, "table": {value: node}}."""


@dataclass(frozen=True)
class ContextTree:
    """`pdf(window, pdf_class)`: window = `context_width` phones (0 where there is none), the phone itself at `central_position`."""

    context_width: int
    central_position: int
    root: Node
    num_pdfs: int

    def pdf(self, window: tuple[int, ...], pdf_class: int) -> int:
        node = self.root
        while not isinstance(node, int):
            if isinstance(node, dict):
                value = pdf_class if node["key"] < 0 else window[node["key"]]
                if value not in node["table"]:
                    raise IsoglossError(f"the decision tree does not know phone window {window}, pdf class {pdf_class}")
                node = node["table"][value]
            else:
                key, values, yes, no = node
                node = yes if (pdf_class if key < 0 else window[key]) in values else no
        return node

    def to_json(self) -> dict[str, Any]:
        """Plain values; a node that several roots share, and a question asked twice, stand once."""
        questions: dict[tuple[int, ...], int] = {}
        nodes: list[Any] = []
        places: dict[int, int] = {}

        def place(node: Node) -> int:
            if isinstance(node, int):
                return -1 - node  # a leaf needs no place
            if id(node) not in places:
                if isinstance(node, dict):
                    table = {str(value): place(child) for value, child in node["table"].items()}
                    nodes.append({"key": node["key"], "table": table})
                else:
                    key, values, yes, no = node
                    question = questions.setdefault(tuple(sorted(values)), len(questions))
                    nodes.append([key, question, place(yes), place(no)])
                places[id(node)] = len(nodes) - 1
            return places[id(node)]

        root = place(self.root)
        return {
            "context_width": self.context_width,
            "central_position": self.central_position,
            "num_pdfs": self.num_pdfs,
            "questions": [list(question) for question in questions],
            "nodes": nodes,
            "root": root,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ContextTree:
        """What `to_json` made."""
        questions = [frozenset(question) for question in values["questions"]]
        made: list[Node] = []

        def node(place: int) -> Node:
            return -1 - place if place < 0 else made[place]

        for stored in values["nodes"]:  # children stand before their parents
            if isinstance(stored, dict):
                table = {int(value): node(place) for value, place in stored["table"].items()}
                made.append({"key": stored["key"], "table": table})
            else:
                key, question, yes, no = stored
                made.append([key, questions[question], node(yes), node(no)])
        return cls(values["context_width"], values["central_position"], node(values["root"]), values["num_pdfs"])
