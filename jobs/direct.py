"""HTTP between our own processes: never through a proxy, whatever the environment says of proxies."""

import os
import ssl
from functools import cache
from typing import Any

import httpx


def client(**options: Any) -> httpx.Client:
    """Return a client that goes straight to the server; the certificates of SSL_CERT_FILE and SSL_CERT_DIR are trusted."""
    trusted = _trusted(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    return httpx.Client(trust_env=False, verify=trusted, **options)


@cache  # reading all the world's certificates takes longer than what a client then asks on loopback
def _trusted(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Return whom to trust: httpx's own list where nothing else is set."""
    if file or folder:
        return ssl.create_default_context(cafile=file, capath=folder)
    return httpx.create_ssl_context(trust_env=False)
