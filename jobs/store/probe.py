"""Try a store for real, and learn what it can do."""

import secrets

from jobs.store.protocol import AlreadyExists, Capabilities, Store, StoreError


def probe(store: Store) -> Capabilities:
    """Write, read, list and delete one small object; see whether put-if-absent is honoured."""
    key = f"_probe/{secrets.token_hex(8)}"
    content = b"ganworks"
    store.put(key, content)
    try:
        if store.get(key) != content or [info.key for info in store.list(key)] != [key]:
            raise StoreError(f"{store.uri}: what was written does not come back as it was")
        return Capabilities(put_if_absent=_honours_if_absent(store, key))
    finally:
        store.delete(key)


def _honours_if_absent(store: Store, key: str) -> bool:
    try:
        store.put(key, b"another content", if_absent=True)
    except AlreadyExists:
        return True
    except StoreError:
        return False
    return False
