"""Where training data may come from: a host outside, however its name is spelt."""

from __future__ import annotations

import pytest

from components.planning.data_urls import url_problems
from components.planning.place import Place


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "localhost.",
            "localhost%2e",
            "%6cocalhost",
            "a.localhost",
            "metadata",
            "kubernetes.default.svc",
        ),
        *(
            "db.svc.cluster.local",
            "metadata.google.internal",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0.0.0.0",
            "10.1.2.3",
        ),
        *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "169.254.169.254", "100.64.0.1", "100.100.100.200"),
        *("198.18.0.1", "255.255.255.255", "224.0.0.1", "168.63.129.16", "[::1]", "[::ffff:10.0.0.1]", "[fd00::1]"),
        *(
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[::127.0.0.1]",
            "[::ffff:168.63.129.16]",
            "local\u00adhost",
            "user@localhost",
            "localhost:8080",
        ),
    ],
)
def test_a_host_inside_is_refused(host: str) -> None:
    assert url_problems(f"http://{host}/data.csv", Place("url")), host


@pytest.mark.parametrize(
    "host", ["huggingface.co", "example.com:8443", "8.8.8.8", "[2606:4700::1111]", "a.b.internal.example.com"]
)
def test_a_host_outside_is_accepted(host: str) -> None:
    assert not url_problems(f"https://{host}/data.parquet?download=true", Place("url")), host
