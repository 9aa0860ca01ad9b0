"""Whatever is sent to whichever path, the server has an answer that is no defect of its own."""

from __future__ import annotations

import json
from urllib.parse import quote

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

#: one waits for ever, one starts a program, one ends the session
LEFT_OUT = {"/v1/events", "/database_dump/{access_key}", "/v1/logout"}
WORDS = [
    "conductivity",
    "two_electrode",
    "parameters",
    "methods",
    "method",
    "quantity",
    "data",
    "request_uuid",
    "offers",
]
TEXTS = st.sampled_from([*WORDS, "", "00000000-0000-0000-0000-000000000000", "\x00", "é", "pending", "reserved"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=20)
DOCUMENTS = st.recursive(
    SCALARS, lambda items: st.lists(items, max_size=3) | st.dictionaries(TEXTS, items, max_size=6), max_leaves=12
)


def body_strategy(fields):
    """Return documents that have the fields of a body with whatever in them, and others."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(fields, DOCUMENTS)) | DOCUMENTS


def operations(app):
    """Return method, path, names in the query and fields of the body of all that the server describes."""
    described = app.openapi()
    for path, methods in described["paths"].items():
        for method, item in methods.items():
            if path in LEFT_OUT:
                continue
            names = [entry["name"] for entry in item.get("parameters", []) if entry["in"] == "query"]
            content = item.get("requestBody", {}).get("content", {}).get("application/json", {})
            name = content.get("schema", {}).get("$ref", "").rsplit("/", 1)[-1]
            yield (
                method.upper(),
                path,
                names,
                list(described["components"]["schemas"].get(name, {}).get("properties", {})),
            )


@pytest.fixture
def fuzz(app, user, posted):
    """Return a function that sends so many random calls, half of them with the parts of a request that exists."""
    root, found = user("root"), list(operations(app))
    assert len(found) > 30

    def run(n_examples):
        @settings(
            max_examples=n_examples,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
        )
        @given(st.data())
        def send(data):
            method, path, names, fields = data.draw(st.sampled_from(found))
            filling = data.draw(TEXTS | st.just(posted) | st.text(max_size=10))
            for part in path.split("/"):
                if part.startswith("{"):
                    path = path.replace(part, quote(filling, safe="") or "x")
            query = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, TEXTS | st.integers().map(str))))
            content = json.dumps(data.draw(body_strategy(fields))) if method in ("POST", "PUT") else None
            headers = {"Content-Type": "application/json"}
            reply = root.request(method, path, params=query, content=content, headers=headers)
            assert reply.status_code < 500, (method, path, query, content, reply.text)
            if reply.headers["content-type"] == "application/json":
                assert reply.is_success or "detail" in reply.json()

        send()

    return run


def test_random_calls(fuzz):
    fuzz(30)


@pytest.mark.slow
def test_many_random_calls(fuzz):
    fuzz(2000)
