"""Data at URLs: fetched once, gone on with, refused where it must not come from."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
import ssl
import subprocess
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from serving.weights import space
from tests.loopback_server import LoopbackHandler
from tests.tuning.data.file_server import FileServer
from tests.tuning.data.yard import Yard, jsonl
from tuning.data.addresses import is_public

ROWS = jsonl(*({"prompt": f"What is {n} + {n}?", "completion": str(2 * n)} for n in range(400))).encode()
LOOPBACK = {"allowed_hosts": ["127.0.0.1"]}
SHA256 = hashlib.sha256(ROWS).hexdigest()


def test_several_files_are_read_in_their_order(yard: Yard, files: FileServer) -> None:
    urls = [files.add("/b.jsonl", jsonl({"text": "first"}).encode()), files.add("/a.csv", b"text\nsecond\n")]
    data = yard.load({"urls": urls, "shuffle": False, **LOOPBACK})
    assert [row["text"] for row in data.train] == ["first", "second"]
    assert list(data.digests) == urls
    assert data.digests[urls[1]] == "sha256:" + hashlib.sha256(b"text\nsecond\n").hexdigest()


def test_a_file_that_has_not_changed_is_not_fetched_again(yard: Yard, files: FileServer) -> None:
    url = files.add("/train.jsonl", ROWS)
    yard.load({"urls": [url], **LOOPBACK})
    yard.load({"urls": [url], **LOOPBACK})
    assert files.sent == len(ROWS), "the second run has fetched the file again"
    files.add("/train.jsonl", ROWS + ROWS)
    assert len(yard.load({"urls": [url], **LOOPBACK}).train) == 800, "the file has changed at its server"


def test_with_its_checksum_a_file_that_is_there_needs_no_server(yard: Yard, files: FileServer) -> None:
    url = files.add("/train.jsonl", ROWS)
    settings = {"urls": [url], "checksums": [{"url": url, "sha256": SHA256}], **LOOPBACK}
    yard.load(settings)
    yard.load(settings)
    assert len(files.requests) == 1


def test_a_file_damaged_on_the_disk_is_fetched_again(yard: Yard, files: FileServer) -> None:
    url = files.add("/train.jsonl", ROWS)
    before = yard.load({"urls": [url], **LOOPBACK})
    [kept] = (yard.root / "job" / "data" / "urls").glob("*.jsonl")
    kept.write_bytes(b"x" * len(ROWS))
    assert yard.load({"urls": [url], **LOOPBACK}) == before


def test_a_copy_serves_while_its_server_is_down(yard: Yard, files: FileServer, impatient: None) -> None:
    url = files.add("/train.jsonl", ROWS)
    before = yard.load({"urls": [url], **LOOPBACK})
    files.faults = [503] * 10
    assert yard.load({"urls": [url], **LOOPBACK}) == before
    assert any("the copy fetched earlier is used" in said for said in yard.said)


@pytest.mark.parametrize("faults", [[503, 503], [429], [500, 502, 504]])
def test_a_server_that_is_busy_is_asked_again(
    yard: Yard, files: FileServer, faults: list[int], impatient: None
) -> None:
    url = files.add("/train.jsonl", ROWS)
    files.faults = list(faults)
    assert len(yard.load({"urls": [url], **LOOPBACK}).train) == 400
    assert any(f"HTTP {faults[0]}, another attempt in" in said for said in yard.said)


def test_a_download_goes_on_where_it_broke_off(yard: Yard, files: FileServer, impatient: None) -> None:
    url = files.add("/train.jsonl", ROWS)
    files.breaks = [5000, 2000]
    assert yard.load({"urls": [url], **LOOPBACK}).digests == {url: f"sha256:{SHA256}"}
    assert [asked for _, asked in files.requests] == [None, "bytes=5000-", "bytes=7000-"]
    assert files.sent == len(ROWS)


def test_another_process_goes_on_with_what_one_has_left(yard: Yard, files: FileServer, impatient: None) -> None:
    url = files.add("/train.jsonl", ROWS)
    files.breaks = [5000, 0, 0, 0, 0, 0]
    assert yard.refused({"urls": [url], **LOOPBACK}).reason == "DataUnreachable"
    files.breaks, files.requests = [], []
    yard.load({"urls": [url], **LOOPBACK})
    assert [asked for _, asked in files.requests] == ["bytes=5000-"]


def test_a_file_that_changes_in_the_middle_is_fetched_from_its_beginning(
    yard: Yard, files: FileServer, impatient: None
) -> None:
    url = files.add("/train.jsonl", ROWS)
    files.breaks = [5000, 0, 0, 0, 0, 0]
    yard.refused({"urls": [url], **LOOPBACK})
    other = jsonl(*({"text": f"{n}" * 100} for n in range(300))).encode()
    files.add("/train.jsonl", other)
    files.breaks = []
    assert yard.load({"urls": [url], **LOOPBACK}).digests[url] == f"sha256:{hashlib.sha256(other).hexdigest()}"


@pytest.mark.parametrize("lacking", ["has_ranges", "has_etags"])
def test_a_server_without_ranges_or_etags_sends_everything_again(
    yard: Yard, files: FileServer, lacking: str, impatient: None
) -> None:
    url = files.add("/train.jsonl", ROWS)
    setattr(files, lacking, False)
    files.breaks = [5000]
    assert yard.load({"urls": [url], **LOOPBACK}).digests == {url: f"sha256:{SHA256}"}


def test_redirects_are_followed_and_the_login_stays_behind(yard: Yard, files: FileServer) -> None:
    login = "Basic " + base64.b64encode(b"me:secret").decode()
    files.logins = {"/data.csv": login}
    files.add("/data.csv", b"text\nhello\n")
    url = files.url("/data.csv").replace("http://", "http://me:secret@")
    data = yard.load({"urls": [url], **LOOPBACK})
    assert list(data.digests) == [files.url("/data.csv")], "a login is told"
    with FileServer(redirects={"/moved": files.url("/data.csv")}) as other:
        moved = other.url("/moved").replace("http://", "http://me:secret@")
        assert yard.refused({"urls": [moved], **LOOPBACK}).reason == "DataUnauthorized", "a login went elsewhere"


@pytest.mark.parametrize("allowed", [[], ["localhost"], ["127.0.0.1.example.com"]])
def test_loopback_is_refused_unless_it_is_allowed(yard: Yard, files: FileServer, allowed: list[str]) -> None:
    error = yard.refused({"urls": [files.add("/a.csv", b"text\na\n")], "allowed_hosts": allowed})
    assert error.reason == "DataRefused"
    assert "add 127.0.0.1 to tuning.input.allowedHosts" in error.message
    assert not files.requests, "it was asked nevertheless"


@pytest.mark.parametrize(
    "to",
    ["http://127.0.0.2:1/a.csv", "http://10.0.0.1/a.csv", "http://169.254.169.254/latest/meta-data", "http://[::1]/x"],
)
def test_a_redirect_to_a_private_address_is_refused(yard: Yard, files: FileServer, to: str) -> None:
    files.redirects = {"/a.csv": to}
    error = yard.refused({"urls": [files.url("/a.csv")], **LOOPBACK})
    assert error.reason == "DataRefused"


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost"])
def test_other_spellings_of_loopback_are_refused(yard: Yard, host: str) -> None:
    assert yard.refused({"urls": [f"http://{host}:9/a.csv"]}).reason == "DataRefused"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("168.63.129.16", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("fd00:ec2::254", False),
        ("fe80::1%eth0", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
    ],
)
def test_addresses_of_the_internet_are_told_from_others(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_the_connection_goes_to_the_address_that_was_looked_at(
    yard: Yard, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is harmless when it is looked at and private a moment later."""
    answers = iter(["1.1.1.1", "127.0.0.1"])
    real = socket.getaddrinfo
    asked: list[object] = []

    def rebinding(host: object, *args: object, **options: object) -> object:
        if host != "rebinding.example":
            return real(host, *args, **options)  # type: ignore[call-overload]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 0))]

    connected: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], *_args: object, **_options: object) -> socket.socket:
        connected.append(address)
        raise OSError("nothing here")

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr("tuning.data.download.SECONDS_BEFORE_NEXT", ())
    yard.refused({"urls": ["http://rebinding.example/a.csv"]})
    assert connected == [("1.1.1.1", 80)]
    assert len(asked) == 1, "the name was resolved a second time"


def test_the_environments_proxy_is_used_and_private_addresses_stay_refused(
    yard: Yard, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", files.url(""))
    files.add("/a.csv", b"text\nhello\n")
    assert yard.load({"urls": ["http://data.invalid/a.csv"]}).train == ({"text": "hello"},)
    assert files.requests == [("http://data.invalid/a.csv", None)]
    assert yard.refused({"urls": ["http://10.0.0.1/a.csv"]}).reason == "DataRefused"


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_file_that_is_too_large_is_given_up(yard: Yard, files: FileServer, tells_length: bool) -> None:
    files.tells_length = tells_length
    url = files.add("/train.jsonl", ROWS)
    error = yard.refused({"urls": [url], "most_bytes": 1000, **LOOPBACK})
    assert error.reason == "DataTooLarge"
    assert "raise tuning.input.maxGib" in error.message
    assert not list((yard.root / "job" / "data" / "urls").glob("*.part")), "what was fetched of it is left there"


def test_a_checksum_that_differs_is_told_with_both(yard: Yard, files: FileServer) -> None:
    url = files.add("/train.jsonl", ROWS)
    settings = {"urls": [url], "checksums": [{"url": url, "sha256": "0" * 64}], **LOOPBACK}
    error = yard.refused(settings)
    assert error.reason == "DataChecksumMismatch"
    assert SHA256 in error.message
    assert "0" * 64 in error.message
    assert yard.refused(settings).reason == "DataChecksumMismatch", "the second run takes what the first refused"


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    yard: Yard, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = files.add("/train.jsonl", ROWS)
    monkeypatch.setattr(space, "free_bytes", lambda _directory: 1000)
    error = yard.refused({"urls": [url], **LOOPBACK})
    assert error.reason == "NoSpace"
    assert "1 kB is free" in error.message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_disk_that_fills_up_is_told(yard: Yard, files: FileServer) -> None:
    url = files.add("/train.jsonl", ROWS)
    name = f"001-{hashlib.sha256(url.encode()).hexdigest()[:8]}-train.jsonl.part"
    folder = yard.root / "job" / "data" / "urls"
    folder.mkdir(parents=True)
    (folder / name).symlink_to("/dev/full")
    error = yard.refused({"urls": [url], **LOOPBACK})
    assert error.reason == "NoSpace"
    assert "fetching http://127.0.0.1" in error.message


@pytest.mark.parametrize(
    ("url", "reason", "told"),
    [
        ("ftp://example.com/a.csv", "DataRefused", "is no http or https URL"),
        ("file:///etc/passwd", "DataRefused", "is no http or https URL"),
        ("http:///a.csv", "DataRefused", "is no http or https URL"),
        ("http://exa mple:x/a.csv", "DataRefused", "is no URL"),
        ("http://no-such-host.invalid/a.csv", "DataUnreachable", "no-such-host.invalid"),
        ("{server}/missing.csv", "DataNotFound", "there is nothing at"),
        ("{server}/private.csv", "DataUnauthorized", "HTTP 401"),
        ("{server}/loop", "DataUnreachable", "redirects more than 10 times"),
        ("{server}/to-file", "DataRefused", "is no http or https URL"),
        ("{server}/broken", "DataUnreachable", "HTTP 418"),
        ("http://127.0.0.1:1/a.csv", "DataUnreachable", "5 times in a row"),
    ],
)
def test_a_url_that_leads_nowhere_is_told(
    yard: Yard, files: FileServer, url: str, reason: str, told: str, impatient: None
) -> None:
    files.redirects = {"/loop": "/loop", "/to-file": "file:///etc/passwd"}
    files.logins = {"/private.csv": "Basic x"}
    if url.endswith("broken"):
        files.faults = [418]
    error = yard.refused({"urls": [url.replace("{server}", files.url(""))], **LOOPBACK})
    assert error.reason == reason
    assert told in error.message


def test_a_secret_in_a_url_is_told_nowhere(yard: Yard, files: FileServer, impatient: None) -> None:
    files.faults = [503] * 9
    url = files.url("/a.csv?sig=hunter2").replace("http://", "http://me:hunter2@")
    error = yard.refused({"urls": [url], **LOOPBACK})
    assert "hunter2" not in error.message + "".join(yard.said)
    files.faults = []
    files.add("/a.csv", b"text\nhello\n")
    data = yard.load({"urls": [url, url.replace("sig=", "sig=x")], **LOOPBACK})
    assert list(data.digests) == [files.url("/a.csv?..."), files.url("/a.csv?... (2)")]
    assert "hunter2" not in data.report.read_text()


class _TlsServer(FileServer):
    """With a certificate that it signed itself, for the name data.example."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.certificate, key = folder / "certificate.pem", folder / "key.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-subj", "/CN=data.example", "-addext", "subjectAltName=DNS:data.example"]
        command += ["-keyout", str(key), "-out", str(self.certificate)]
        subprocess.run(command, check=True, capture_output=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)

    def listening(self, handler: type[LoopbackHandler]) -> ThreadingHTTPServer:
        server = super().listening(handler)
        server.socket = self._context.wrap_socket(server.socket, server_side=True)
        return server

    @property
    def port(self) -> str:
        return self.host.partition(":")[2]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
def test_the_certificate_is_that_of_the_name_although_the_address_is_connected_to(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    def here(_host: object, port: int, *_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", here)
    server = _TlsServer(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    with server:
        server.add("/a.csv", b"text\nhello\n")
        good, other = (f"https://{name}:{server.port}/a.csv" for name in ("data.example", "other.example"))
        assert yard.load({"urls": [good], "allowed_hosts": ["data.example"]}).train == ({"text": "hello"},)
        error = yard.refused({"urls": [other], "allowed_hosts": ["other.example"]})
        assert error.reason == "DataUnreachable"
        assert "certificate" in error.message
