"""Downloads, against a server on this machine that imitates each host. No network."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import huggingface_hub.constants
import numpy as np
import pytest
import requests.adapters

from clapbench.sources import downloads, tokenizers
from clapbench.sources.archives import unpack
from clapbench.sources.hosts import Once, hub_says_it_once
from clapbench.sources.hosts import size as size_of
from clapbench.sources.source import DownloadError, NotHereError, Settings, current, settings

COMMIT = "c" * 40
ZIP = "https://github.com/nttcslab/m2d/releases/download/v1/weights.zip"
DRIVE = "gdrive://" + "d" * 33 + "/model.pt"
HUB = "hf://owner/repo/weights.pt"
WHO = "model 'laion'"


@dataclass
class Hosts:
    """What the imitated hosts hold by URL, how they behave, and what they were asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    pages: dict[str, bytes] = field(default_factory=dict)  # answered as HTML
    cut_after: int | None = None  # bytes; the next transfer breaks there
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, URL, Range
    sent: int = 0

    def asked(self, method: str = "GET") -> list[tuple[str, str | None]]:
        return [(url, span) for verb, url, span in self.requests if verb == method]


class Imitation(BaseHTTPRequestHandler):
    """Hugging Face, Google Drive, and GitHub with its redirect to a store of files; Range where files are."""

    protocol_version = "HTTP/1.1"
    hosts: Hosts

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        url = self.headers.get("X-Wanted", f"https://huggingface.co{self.path}")
        self.hosts.requests.append((self.command, url, self.headers.get("Range")))
        parts = urlsplit(url)
        if url in self.hosts.pages:
            self.reply(200, self.hosts.pages[url], {"Content-Type": "text/html; charset=utf-8"}, body=body)
        elif parts.hostname == "drive.google.com" and url in self.hosts.files:
            form = (
                '<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
                '<input type="hidden" name="id" value="drive"><input type="hidden" name="confirm" value="t"></form>'
            )
            self.reply(200, form.encode(), {"Content-Type": "text/html; charset=utf-8"}, body=body)
        elif parts.hostname == "drive.usercontent.google.com" and parse_qs(parts.query).get("confirm") == [
            "t"
        ]:
            content = next(v for k, v in self.hosts.files.items() if "drive.google.com" in k)
            self.reply_range(content, {"Content-Disposition": 'attachment; filename="other.pt"'}, body=body)
        elif parts.hostname == "github.com" and url in self.hosts.files:
            where = url.replace("https://github.com", "https://objects.githubusercontent.com")
            self.reply(302, b"", {"Location": where}, body=body)
        elif parts.hostname == "objects.githubusercontent.com":
            content = self.hosts.files[url.replace("objects.githubusercontent.com", "github.com")]
            self.reply_range(content, {}, body=body)
        elif re.search(r"^/api/models/[^?]*/(tree|revision)/", parts.path):
            self.reply_hub_api(parts.path, body=body)
        elif url in self.hosts.files:
            self.reply_range(self.hosts.files[url], {"X-Repo-Commit": COMMIT}, body=body)
        else:
            self.reply(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)

    def reply_hub_api(self, path: str, *, body: bool) -> None:
        import json

        repository = re.sub(r"^/api/models/|/(tree|revision)/.*$", "", path)
        head = f"https://huggingface.co/{repository}/resolve/{COMMIT}/"
        held = {
            url.removeprefix(head): content
            for url, content in self.hosts.files.items()
            if url.startswith(head)
        }
        if not held:
            self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body=body)
        elif "/tree/" in path:
            listing = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in held.items()
            ]
            self.reply(200, json.dumps(listing).encode(), {"Content-Type": "application/json"}, body=body)
        else:
            about = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in held]}
            self.reply(200, json.dumps(about).encode(), {"Content-Type": "application/json"}, body=body)

    def reply_range(self, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            **headers,
        }
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if span is None:
            return self.reply(200, content, headers, body=body)
        start, end = int(span[1]), min(int(span[2] or len(content) - 1), len(content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        return self.reply(206, content[start : end + 1], headers, body=body)

    def reply(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        cut = self.hosts.cut_after if status == 200 and "ETag" in headers else None
        try:
            for start in range(0, len(content) if cut is None else cut, 1 << 16):
                stop = min(start + (1 << 16), len(content) if cut is None else cut)
                self.wfile.write(content[start:stop])
                self.hosts.sent += stop - start
                threading.Event().wait(0.002)  # a client that hangs up is noticed
        except ConnectionError:
            self.close_connection = True
        if cut is not None:
            self.hosts.cut_after = None
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    """Every request of requests and of the hub's client goes to the imitation; caches lie in the temporary folder."""
    state = Hosts()
    handler = type("Handler", (Imitation,), {"hosts": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    here = f"http://127.0.0.1:{server.server_port}"

    send = requests.adapters.HTTPAdapter.send

    def redirected(self, request, **arguments):
        if request.url.startswith(here):
            return send(self, request, **arguments)
        local = request.copy()
        local.headers["X-Wanted"] = request.url
        local.url = here + "/"
        response = send(self, local, **arguments)
        response.url, response.request = request.url, request
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", redirected)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", here)
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        here + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("CLAPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def noise(size: int) -> bytes:
    return np.random.default_rng(7).bytes(size)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(members: dict[str, bytes], link: str | None = None) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if link is not None:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
    return file.getvalue()


def url_of(source: str) -> str:
    plain = source.partition("#")[0]
    if plain.startswith("gdrive://"):
        return f"https://drive.google.com/uc?id={plain.split('/')[2]}"
    if plain.startswith("hf://"):
        owner, repository, file = plain.removeprefix("hf://").split("/", 2)
        return f"https://huggingface.co/{owner}/{repository}/resolve/main/{file}"
    return plain


SOURCES = [HUB, DRIVE, f"{ZIP}#member=a folder/x.pth", "https://host.org/plain.pt"]


def hold(hosts: Hosts, source: str, content: bytes) -> None:
    hosts.files[url_of(source)] = zipped({"a folder/x.pth": content}) if "member=" in source else content


def joined(source: str, known: str) -> str:
    return f"{source}{'&' if '#' in source else '#'}{known}"


@pytest.mark.parametrize("source", SOURCES)
def test_a_file_comes_once(hosts: Hosts, source: str) -> None:
    content = noise(100_000)
    hold(hosts, source, content)
    path = downloads.fetch(joined(source, f"sha256={sha256(content)}"), who=WHO)
    assert path.read_bytes() == content
    hosts.files.clear()
    hosts.requests.clear()
    assert downloads.fetch(source, who=WHO) == path
    assert hosts.requests == []


@pytest.mark.parametrize("source", SOURCES)
def test_another_file_than_the_known_one_is_removed(hosts: Hosts, source: str) -> None:
    hold(hosts, source, b"another file")
    wrong = "0" * 64
    with pytest.raises(ValueError, match=f"{sha256(b'another file')}.*{wrong}") as caught:
        downloads.fetch(joined(source, f"sha256={wrong}"), who=WHO)
    assert str(caught.value).startswith(WHO)
    hosts.files.clear()
    with pytest.raises(OSError, match="laion"):  # it is not taken from the cache
        downloads.fetch(joined(source, f"sha256={wrong}"), who=WHO)


@pytest.mark.parametrize("source", [DRIVE, "https://host.org/plain.pt", ZIP])
def test_a_cut_off_transfer_goes_on_where_it_broke(hosts: Hosts, source: str) -> None:
    content = noise(3_000_000)
    hosts.files[url_of(source)] = content if source != ZIP else zipped({"x": content})
    size = len(hosts.files[url_of(source)])
    hosts.cut_after = 1 << 20
    with pytest.raises(DownloadError, match=r"model 'laion': .* could not be fetched"):
        downloads.fetch(source, who=WHO)
    path = downloads.fetch(source, who=WHO)
    spans = {span for _, span in hosts.asked() if span}  # a redirect repeats it
    assert spans == {f"bytes={1 << 20}-"}
    assert path.stat().st_size == size
    assert hosts.sent < 2 * size


def test_a_cut_off_transfer_of_the_hub_goes_on(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16
    )  # what it goes on in: 10 MB
    content = noise(3_000_000)
    hold(hosts, HUB, content)
    hosts.cut_after = 1 << 20
    path = downloads.fetch(HUB, who=WHO)  # its client goes on by itself
    assert path.read_bytes() == content
    assert [span for _, span in hosts.asked() if span] == [f"bytes={1 << 20}-"]
    assert hosts.sent < 1.1 * len(content)


@pytest.mark.parametrize("name", ["../out", "/out", "C:\\out", "..\\out", "a/../../out"])
def test_an_archive_that_escapes_is_refused(hosts: Hosts, tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.zip").write_bytes(zipped({"good": b"1", name: b"2"}))
    with pytest.raises(ValueError, match=r"bench 'order': .*bad\.zip.*out"):
        unpack(tmp_path / "bad.zip", tmp_path / "deep" / "er", who="bench 'order'")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"bad.zip"}
    hosts.files[ZIP] = zipped({"x.pth": b"1", name: b"2"})
    with pytest.raises(ValueError, match="out"):
        downloads.fetch(f"{ZIP}#member=x.pth", who=WHO)
    assert not list(tmp_path.rglob("out"))
    assert not list(tmp_path.rglob("x.pth"))


def test_links_of_an_archive_reach_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"good": b"1"}, link="link"))
    unpack(tmp_path / "a.zip", tmp_path / "a", who="bench 'order'")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["good"]


def test_an_archive_unpacks_whole_and_without_apples_files(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"order files/a 1.wav": b"1", "__MACOSX/._a": b"2"}))
    unpack(tmp_path / "a.zip", tmp_path / "a", who="bench 'order'")
    assert [p.relative_to(tmp_path / "a").as_posix() for p in (tmp_path / "a").rglob("*") if p.is_file()] == [
        "order files/a 1.wav"
    ]
    (tmp_path / "b.zip").write_bytes(zipped({"x": noise(10_000)})[:-100])
    with pytest.raises(ValueError, match=r"bench 'order'.*b\.zip"):
        unpack(tmp_path / "b.zip", tmp_path / "b", who="bench 'order'")
    assert not (tmp_path / "b").exists()


def test_a_damaged_member_is_told(hosts: Hosts, tmp_path: Path) -> None:
    whole = bytearray(zipped({"x.pth": b"a" * 1000}))
    whole[200:210] = b"b" * 10
    hosts.files[ZIP] = bytes(whole)
    with pytest.raises((ValueError, OSError), match=r"laion"):
        downloads.fetch(f"{ZIP}#member=x.pth", who=WHO)
    hold(hosts, f"{ZIP}#member=", b"sound")
    hosts.files[ZIP] = zipped({"x.pth": b"sound"})
    assert downloads.fetch(f"{ZIP}#member=x.pth", who=WHO).read_bytes() == b"sound"  # it was not kept


def test_a_missing_member_is_named(hosts: Hosts) -> None:
    hosts.files[ZIP] = zipped({"a/y.pth": b"1"})
    with pytest.raises(ValueError, match=r"laion.*a/x\.pth.*a/y\.pth"):
        downloads.fetch(f"{ZIP}#member=a/x.pth", who=WHO)


QUOTA = (
    b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>"
    b'<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p></body></html>'
)


@pytest.mark.parametrize("source", [DRIVE, f"{ZIP}#member=x.pth", "https://host.org/plain.pt", HUB])
def test_a_web_page_in_place_of_the_file_is_told(hosts: Hosts, source: str, tmp_path: Path) -> None:
    hosts.pages[url_of(source)] = QUOTA
    with pytest.raises(OSError, match=r"(?i)model 'laion'.*(page|too many users|hub)") as caught:
        downloads.fetch(source, who=WHO)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 100]


@pytest.mark.parametrize("source", SOURCES)
def test_without_a_download_it_says_what_to_do(hosts: Hosts, source: str) -> None:
    with settings(allowed=False), pytest.raises(NotHereError) as caught:
        downloads.fetch(source, who=WHO)
    told = str(caught.value)
    for words in (
        WHO,
        "download=true",
        "python -m clapbench.fetch",
        "checkpoint_dir=DIR",
        "model.checkpoint=PATH",
    ):
        assert words in told
    assert hosts.requests == []


@pytest.mark.parametrize("source", SOURCES)
def test_a_host_out_of_reach_is_one_clear_error(
    hosts: Hosts, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments, **keywords):
        raise requests.ConnectionError("Connection refused")

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", refused)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}",
    )
    with pytest.raises(OSError, match=r"model 'laion'") as caught:
        downloads.fetch(source, who=WHO)
    assert "checkpoint_dir" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [DRIVE, f"{ZIP}#member=a folder/x.pth", "https://host.org/plain.pt", HUB])
def test_a_file_without_a_known_hash_must_stay_the_same(hosts: Hosts, source: str) -> None:
    hold(hosts, source, b"first")
    path = downloads.fetch(source, who=WHO)
    path.write_bytes(b"later")
    with pytest.raises(ValueError, match=f"{sha256(b'later')}.*{sha256(b'first')}|{sha256(b'first')}.*"):
        downloads.fetch(source, who=WHO)


@pytest.mark.parametrize("name", ["weights.pt", "repo/weights.pt"])
def test_a_folder_of_released_files_comes_first(
    hosts: Hosts, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with settings(allowed=False, folder=tmp_path / "mine"), caplog.at_level(logging.WARNING):
        assert downloads.fetch(f"{HUB}#sha256={sha256(b'mine')}", who=WHO) == mine
        assert caplog.text == ""
        assert downloads.fetch(f"{HUB}#sha256={'0' * 64}", who=WHO) == mine
    assert sha256(b"mine") in caplog.text
    assert "0" * 64 in caplog.text
    assert hosts.requests == []


def test_a_folder_may_hold_the_member_of_an_archive(hosts: Hosts, tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "x.pth").write_bytes(b"mine")
    with settings(allowed=False, folder=tmp_path):
        assert downloads.fetch(f"{ZIP}#member=a folder/x.pth", who=WHO) == tmp_path / "a folder" / "x.pth"


def test_two_members_of_one_archive(hosts: Hosts) -> None:
    hosts.files[ZIP] = zipped({"a.pth": b"a", "b.pth": b"b"})
    assert downloads.fetch(f"{ZIP}#member=a.pth", who=WHO).read_bytes() == b"a"
    assert downloads.fetch(f"{ZIP}#member=b.pth", who=WHO).read_bytes() == b"b"


def test_a_member_may_have_a_plus_in_its_name(hosts: Hosts) -> None:
    hosts.files[ZIP] = zipped({"a+b.pth": b"a"})
    assert downloads.fetch(f"{ZIP}#member=a+b.pth", who=WHO).read_bytes() == b"a"


@pytest.mark.parametrize(
    "source",
    ["ftp://x/y", "weights.pt", "hf://owner/repo", "gdrive://id", "https://host", f"{ZIP}#sha=1", f"{ZIP}#member=../x",
     "gdrive://id/../../x", "hf://owner/repo/../../x"],
)  # fmt: skip
def test_a_source_of_another_form_is_refused(hosts: Hosts, source: str) -> None:
    with pytest.raises(ValueError, match=r"source .*needed"):
        downloads.fetch(source, who=WHO)


def hold_tokenizer(hosts: Hosts, files: dict[str, bytes], name: str = "owner/tok") -> None:
    for file, content in files.items():
        hosts.files[f"https://huggingface.co/{name}/resolve/{COMMIT}/{file}"] = content


def test_a_tokenizer_comes_without_the_weights(hosts: Hosts) -> None:
    hold_tokenizer(
        hosts,
        {"vocab.txt": b"a", "tokenizer_config.json": b"{}", "model.safetensors": b"x", "README.md": b"y"},
    )
    folder = tokenizers.fetch_tokenizer("owner/tok", who=WHO)
    assert {path.name for path in folder.iterdir()} == {"vocab.txt", "tokenizer_config.json"}
    hosts.requests.clear()
    with settings(allowed=False):
        assert tokenizers.fetch_tokenizer("owner/tok", who=WHO) == folder
    assert hosts.requests == []


def test_a_folder_may_hold_the_tokenizer(hosts: Hosts, tmp_path: Path) -> None:
    (tmp_path / "tok").mkdir()
    (tmp_path / "tok" / "vocab.txt").write_text("a")
    with settings(allowed=False, folder=tmp_path):
        assert tokenizers.fetch_tokenizer("owner/tok", who=WHO) == tmp_path / "tok"


@pytest.mark.parametrize("name", ["owner/absent", "a/b/c", "owner/empty"])
def test_no_tokenizer_there_is_told(hosts: Hosts, name: str) -> None:
    hold_tokenizer(hosts, {"README.md": b"y"}, name="owner/empty")
    with pytest.raises(OSError, match=r"model 'laion'.*model\.tokenizer") as caught:
        tokenizers.fetch_tokenizer(name, who=WHO)
    assert "\n" not in str(caught.value)
    with settings(allowed=False), pytest.raises(NotHereError, match="download=false"):
        tokenizers.fetch_tokenizer(name, who=WHO)


def test_weights_in_the_cache_are_no_tokenizer(hosts: Hosts) -> None:
    """A merely half-fetched repository: vocab.json without merges.txt."""
    hold_tokenizer(hosts, {"vocab.json": b"{}", "merges.txt": b"#", "tokenizer_config.json": b"{}"})
    hosts.files["https://huggingface.co/owner/tok/resolve/main/vocab.json"] = b"{}"
    downloads.fetch("hf://owner/tok/vocab.json", who=WHO)
    folder = tokenizers.fetch_tokenizer("owner/tok", who=WHO)
    assert (folder / "merges.txt").is_file()


def test_sizes_are_asked_of_the_host(hosts: Hosts) -> None:
    for source in SOURCES:
        hold(hosts, source, b"x" * 321)
    assert size_of(HUB) == 321
    assert size_of("https://host.org/plain.pt") == 321
    assert size_of(DRIVE) is None
    assert size_of("https://host.org/absent") is None
    assert hosts.sent == 0


def test_settings_end_with_their_block(tmp_path: Path) -> None:
    with settings(allowed=False, folder=tmp_path):
        assert current() == Settings(allowed=False, folder=tmp_path)
    assert current() == Settings()


def test_the_hub_says_each_thing_once(caplog: pytest.LogCaptureFixture) -> None:
    hub_says_it_once()
    hub_says_it_once()  # for every file
    logger = logging.getLogger("huggingface_hub.utils._http")
    (once,) = [known for known in logger.filters if isinstance(known, Once)]
    once.said.clear()
    for number, file in enumerate(("tokenizer.json", "vocab.txt")):
        logger.warning(
            f"'No address (Request ID: {number}f-{number})' thrown while requesting HEAD https://hub/{file}"
        )
        logger.warning(f"Retrying in {number}s [Retry {number}/5].")
    logger.warning("HTTP Error 503 thrown while requesting HEAD https://hub/vocab.txt")
    record = logging.LogRecord("x", logging.WARNING, "", 0, "Retrying in 8s [Retry 4/5].", None, None)
    assert len(once.said) == 3
    assert not once.filter(record)
