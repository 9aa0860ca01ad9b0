"""An InvenioRDM archive on this computer that follows the published REST API, and misbehaves on order.

Source: https://inveniordm.docs.cern.ch/reference/rest_api_drafts_records/ and rest_api_reviews/. What it refuses, it
refuses in InvenioRDM's form: ``{"status": 400, "message": ..., "errors": [{"field": ..., "messages": [...]}]}``.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "s3cr3t-t0k3n-of-the-tests"
COMMUNITY = {"id": "6ad6bd2e-7f5a-4d3b-8d44-3f6f2a5d9a11", "slug": "batteries"}
REQUIRED = ("resource_type", "title", "creators", "publication_date")
FILES = "/draft/files"


class RefusalError(Exception):
    def __init__(self, status, message="A validation error occurred.", errors=None):
        self.status, self.body = status, {"status": status, "message": message}
        if errors:
            self.body["errors"] = errors


@dataclass
class Fault:
    """What goes wrong, how often, at calls whose 'METHOD path' matches.

    kind: drop (before acting), drop-after (after acting), half (in the middle of the content), corrupt (another content
    is stored), forget (the content is not stored, but acknowledged), echo (500 with all headers in the message), or a
    status of HTTP, which is answered without acting; '<status>-after' acts.
    """

    kind: str
    at: str
    times: int = 1
    retry_after: str = ""


@dataclass
class Record:
    id: str
    parent: str
    metadata: dict = field(default_factory=dict)
    access: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    pids: dict = field(default_factory=dict)
    is_published: bool = False
    review: dict | None = None
    is_submitted: bool = False
    inherits: str = ""


class FakeInvenio:
    """The state of the archive; ``calls`` is everything that arrived, ``faults`` what is still to go wrong."""

    def __init__(self):
        self.records: dict[str, Record] = {}
        self.calls: list[tuple[str, str]] = []
        self.bodies: dict[str, list] = defaultdict(list)
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        self.url = ""
        self._count = 0

    def plan(self, kind, at, times=1, retry_after=""):
        self.faults.append(Fault(kind, at, times, retry_after))

    def take_fault(self, call):
        for fault in self.faults:
            if fault.times and re.search(fault.at, call):
                fault.times -= 1
                return fault
        return None

    def sequence(self):
        """Return the calls with ids and names of files replaced, as the reference writes them."""
        ids = {record: f"{{{chr(97 + n)}}}" for n, record in enumerate(self.records)}
        lines = []
        for method, path in self.calls:
            words = [ids.get(word, word) for word in path.split("/")]
            lines.append(re.sub(r"(/draft/files/)[^/]+", r"\1NAME", f"{method} {'/'.join(words)}"))
        return lines

    # ---- what the archive can do

    def create(self, body):
        record = self._new(parent="")
        self._update(record, body)
        return 201, self.show(record)

    def update(self, record, body):
        self._update(record, body)
        return 200, self.show(record)

    def new_version(self, record):
        if not record.is_published:
            raise RefusalError(404, "The persistent identifier is not registered.")
        for other in self.records.values():
            if other.parent == record.parent and not other.is_published:
                return 201, self.show(other)
        new = self._new(parent=record.parent)
        new.metadata = {key: value for key, value in record.metadata.items() if key != "publication_date"}
        new.inherits, new.access, new.pids = record.id, record.access, {}
        return 201, self.show(new)

    def import_files(self, record):
        if record.files:
            messages = ["Please remove all files first."]
            raise RefusalError(400, errors=[{"field": "files.enabled", "messages": messages}])
        record.files = {name: dict(entry) for name, entry in self.records[record.inherits].files.items()}
        return 201, self.list_files(record)

    def list_files(self, record):
        return {"enabled": True, "entries": [self.show_file(record, name) for name in record.files]}

    def start_files(self, record, body):
        for item in body:
            if item["key"] in record.files:
                raise RefusalError(400, f"File with key {item['key']} already exists.")
        for item in body:
            record.files[item["key"]] = {"status": "pending", "content": None}
        return 201, self.list_files(record)

    def put_content(self, record, name, content, is_forgotten=False):
        entry = self._file(record, name)
        if entry["status"] == "completed":
            raise RefusalError(400, "File is completed: it cannot be written again.")
        entry["content"] = None if is_forgotten else content
        return 200, self.show_file(record, name)

    def commit(self, record, name):
        entry = self._file(record, name)
        if entry["content"] is None:
            raise RefusalError(404, "File content has not been uploaded.")
        if entry["status"] == "completed":
            raise RefusalError(400, "File is completed already.")
        entry["status"] = "completed"
        return 200, self.show_file(record, name)

    def delete_file(self, record, name):
        self._file(record, name)
        del record.files[name]
        return 204, None

    def publish(self, record):
        errors = self._defects(record)
        if not record.files or any(entry["status"] != "completed" for entry in record.files.values()):
            message = "Missing uploaded files. To disable files for this record please mark it as metadata-only."
            errors.append({"field": "files.enabled", "messages": [message]})
        if errors:
            raise RefusalError(400, errors=errors)
        record.is_published = True
        record.pids = {"doi": {"identifier": f"10.5072/{record.id}", "provider": "datacite"}}
        return 202, self.show(record)

    def put_review(self, record, body):
        if record.parent in {item.parent for item in self.records.values() if item.is_published}:
            raise RefusalError(400, "You cannot create a review for an already published record.")
        if body["receiver"]["community"] != COMMUNITY["id"] or body["type"] != "community-submission":
            raise RefusalError(400, errors=[{"field": "receiver", "messages": ["Invalid community."]}])
        record.review = body
        return 200, {"type": body["type"], "receiver": body["receiver"], "status": "created", "is_open": False}

    def submit_review(self, record):
        if record.review is None:
            raise RefusalError(404, "No review has been created for this draft.")
        if self._defects(record):
            raise RefusalError(400, errors=self._defects(record))
        if record.is_submitted:
            raise RefusalError(400, "You cannot submit this request: it is submitted.")
        record.is_submitted = True
        return 202, {"status": "submitted", "is_open": True}

    # ---- what it shows

    def show(self, record):
        page = f"{self.url}/{'records' if record.is_published else 'uploads'}/{record.id}"
        status = "published" if record.is_published else "in_review" if record.is_submitted else "draft"
        return {
            "id": record.id, "is_published": record.is_published, "status": status, "links": {"self_html": page},
            "metadata": record.metadata, "access": record.access, "files": {"enabled": True}, "pids": record.pids,
            "parent": {"id": record.parent}, "errors": [] if record.is_published else self._defects(record),
        }  # fmt: skip

    def show_file(self, record, name):
        entry = self._file(record, name)
        shown = {"key": name, "status": entry["status"]}
        if entry["status"] == "completed":
            digest = hashlib.md5(entry["content"]).hexdigest()
            shown |= {"checksum": f"md5:{digest}", "size": len(entry["content"])}
        return shown

    def _new(self, parent):
        self._count += 1
        record = f"rec{self._count:02d}-{7 * self._count:05d}"
        self.records[record] = Record(record, parent or f"parent-{self._count}")
        return self.records[record]

    def _update(self, record, body):
        if record.is_submitted:
            raise RefusalError(403, "Permission denied.")
        if not isinstance(body, dict) or "metadata" not in body:
            raise RefusalError(400, "Unable to decode JSON data in request body.")
        record.metadata, record.access = body["metadata"], body.get("access", {})
        record.pids = body.get("pids", {})  # a PUT without the reserved identifiers loses them

    def _file(self, record, name):
        if name not in record.files:
            raise RefusalError(404, f"Record '{record.id}' has no file '{name}'.")
        return record.files[name]

    def _defects(self, record):
        missing = [key for key in REQUIRED if not record.metadata.get(key)]
        return [{"field": f"metadata.{key}", "messages": ["Missing data for required field."]} for key in missing]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    archive: FakeInvenio

    def log_message(self, *args):
        pass

    def handle_any(self):
        parts = urlsplit(self.path)
        call = f"{self.command} {unquote(parts.path)}"
        with self.archive.lock:
            self.archive.calls.append((self.command, parts.path))
            fault = self.archive.take_fault(call)
        kind = fault.kind if fault else ""
        if kind == "drop":
            return self.hang_up()
        length = int(self.headers.get("Content-Length", 0))
        if kind == "half":
            self.rfile.read(length // 2)
            return self.hang_up()
        content = self.rfile.read(length)
        if kind == "echo":
            return self.answer(400, {"status": 400, "message": f"bad headers: {dict(self.headers)}"})
        if kind.isdecimal():
            return self.answer(int(kind), {"message": "busy"}, fault.retry_after)
        try:
            with self.archive.lock:
                status, body = self.act(parts, content, kind)
        except RefusalError as refusal:
            status, body = refusal.status, refusal.body
        if kind == "drop-after":
            return self.hang_up()
        if kind.endswith("-after"):
            status, body = int(kind.removesuffix("-after")), {"message": "too late"}
        return self.answer(status, body, fault.retry_after if fault else "")

    do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - names of the standard library

    def act(self, parts, content, kind):
        archive, path = self.archive, parts.path
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise RefusalError(403, "Permission denied.")
        if path == "/api/communities":
            slug = parse_qs(parts.query)["q"][0].removeprefix("slug:")
            return 200, {"hits": {"hits": [COMMUNITY] if slug == COMMUNITY["slug"] else []}}
        if (self.command, path) == ("POST", "/api/records"):
            body = json.loads(content)
            archive.bodies["record"].append(body)
            return archive.create(body)
        match = re.fullmatch(r"/api/records/([^/]+)(/.*)?", path)
        record = archive.records.get(match.group(1)) if match else None
        if record is None:
            raise RefusalError(404, "The persistent identifier does not exist.")
        return self.act_on(record, match.group(2) or "", content, kind)

    def act_on(self, record, rest, content, kind):
        archive = self.archive
        if (self.command, rest) == ("GET", ""):
            if not record.is_published:
                raise RefusalError(404, "The persistent identifier is not registered.")
            return 200, archive.show(record)
        if (self.command, rest) == ("POST", "/versions"):
            return archive.new_version(record)
        if record.is_published or not rest.startswith("/draft"):
            raise RefusalError(404, "The persistent identifier does not exist.")
        if rest.startswith(f"{FILES}/"):
            return self.act_on_file(record, rest, content, kind)
        body = json.loads(content) if content else None
        if self.command == "PUT":
            archive.bodies["record"].append(body)
        actions = {
            "GET /draft": lambda: (200, archive.show(record)),
            "PUT /draft": lambda: archive.update(record, body),
            "GET /draft/files": lambda: (200, archive.list_files(record)),
            "POST /draft/files": lambda: archive.start_files(record, body),
            "POST /draft/actions/files-import": lambda: archive.import_files(record),
            "POST /draft/actions/publish": lambda: archive.publish(record),
            "PUT /draft/review": lambda: archive.put_review(record, body),
            "POST /draft/actions/submit-review": lambda: archive.submit_review(record),
        }
        act = actions.get(f"{self.command} {rest}")
        if act is None:
            raise RefusalError(405, "The method is not allowed for the requested URL.")
        return act()

    def act_on_file(self, record, rest, content, kind):
        archive = self.archive
        if record.is_submitted and self.command != "GET":
            raise RefusalError(403, "Permission denied.")
        name, _, action = rest.removeprefix(f"{FILES}/").partition("/")
        name = unquote(name)
        if (self.command, action) == ("PUT", "content"):
            if self.headers.get("Content-Type") != "application/octet-stream":
                raise RefusalError(415, "Unsupported media type.")
            stored = content[:-1] + bytes([content[-1] ^ 1]) if kind == "corrupt" else content
            return archive.put_content(record, name, stored, is_forgotten=kind == "forget")
        if (self.command, action) == ("POST", "commit"):
            return archive.commit(record, name)
        if (self.command, action) == ("GET", ""):
            return 200, archive.show_file(record, name)
        if (self.command, action) == ("DELETE", ""):
            return archive.delete_file(record, name)
        raise RefusalError(405, "The method is not allowed for the requested URL.")

    def answer(self, status, body, retry_after=""):
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(content)

    def hang_up(self):
        self.close_connection = True
        self.connection.close()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A connection that was cut on purpose is no news."""


@contextmanager
def serve() -> Iterator[FakeInvenio]:
    """Run the archive in a thread."""
    archive = FakeInvenio()
    handler = type("BoundHandler", (Handler,), {"archive": archive})
    server = Server(("127.0.0.1", 0), handler)
    archive.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
