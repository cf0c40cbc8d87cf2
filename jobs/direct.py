"""HTTP between our own processes: never through a proxy, whatever the environment says of proxies."""

import os
import ssl
from typing import Any

import httpx


def client(**options: Any) -> httpx.Client:
    """Return a client that goes straight to the server; the certificates of SSL_CERT_FILE and SSL_CERT_DIR are trusted."""
    return httpx.Client(trust_env=False, verify=trusted(), **options)


def trusted() -> ssl.SSLContext | bool:
    """Return whom to trust: httpx's own list where nothing else is set."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return ssl.create_default_context(cafile=file, capath=folder) if file or folder else True
