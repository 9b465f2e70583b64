"""A download that breaks off, from a real server on this machine."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision import datasets

from regbench.data.sources import TorchvisionIDX
from tests.data.idx import trust_archives, write_archives


@pytest.fixture
def breaking_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve archives of which the third breaks off half-way."""
    write_archives(tmp_path / "offered")
    trust_archives(tmp_path / "offered", monkeypatch)
    raw = tmp_path / "offered/MNIST/raw"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = (raw / self.path.strip("/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if "t10k-images" in self.path else content)

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.delenv("DATA_DIR", raising=False)
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("breaking_server")
def test_a_half_finished_download_is_never_used_and_is_refused_by_name(tmp_path: Path) -> None:
    source = TorchvisionIDX("MNIST")
    with pytest.raises(FileNotFoundError, match="none could be downloaded"):
        source.read(tmp_path / "data")
    with pytest.raises(
        ValueError, match=r"t10k-images-idx3-ubyte\.gz: damaged, or no official archive .*; move it away and run again"
    ):
        source.read(tmp_path / "data")
