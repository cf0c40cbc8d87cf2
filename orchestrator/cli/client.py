"""The API as Python calls; answers as plain data, failures as CliError with the right exit code."""

import secrets
from typing import Any

import httpx
import tenacity

from jobs import direct
from orchestrator.cli.errors import CliError, Exit

_CODES = {401: Exit.REFUSED, 403: Exit.REFUSED, 503: Exit.UNREACHABLE}
TRIES = 4  # for a POST, which carries a key and so is never done twice


class Client:
    def __init__(self, url: str, token: str, *, timeout: float = 30.0) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {token}"}
        try:
            self._http = direct.client(base_url=f"{url}/api/v1", headers=headers, timeout=timeout)
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise CliError(f"{url!r} or its token cannot be sent: {error}") from None

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._answer(self._send("GET", path, params={k: v for k, v in query.items() if v is not None})).json()

    def get_bytes(self, path: str) -> bytes:
        return self._answer(self._send("GET", path)).content

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        key = {"Idempotency-Key": secrets.token_hex(16)}
        return self._answer(self._send("POST", path, json=body or {}, headers=key, tries=TRIES)).json()

    def delete(self, path: str) -> Any:
        return self._answer(self._send("DELETE", path)).json()

    def submit(
        self,
        documents: list[dict[str, Any]],
        *,
        key: str | None,
        dry_run: bool = False,
        source: str | None = None,
        once: bool = False,
    ) -> dict[str, Any]:
        """Submit every document in one transaction. The key makes our own repeated request harmless."""
        body = {"documents": documents, "key": key or secrets.token_hex(16), "dry_run": dry_run, "source": source}
        body |= {"once": once}
        return self.post("/jobs", body)

    def _send(self, method: str, path: str, *, tries: int = 1, **request: Any) -> httpx.Response:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(httpx.HTTPError),
            stop=tenacity.stop_after_attempt(tries),
            wait=tenacity.wait_exponential(multiplier=0.3),
            reraise=True,
        )
        try:
            return retrying(self._http.request, method, path, **request)
        except httpx.InvalidURL as error:
            raise CliError(f"{self.url!r} is no URL: {error}", Exit.BAD_INPUT) from None
        except httpx.HTTPError as error:
            raise CliError(
                f"no answer from {self.url} ({type(error).__name__}); is the server running? "
                "`ganworks up` starts one here, GANWORKS_URL names another",
                Exit.UNREACHABLE,
            ) from None

    def _answer(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        raise CliError(_message(response, self.url), _CODES.get(response.status_code, Exit.BAD_INPUT))


def _message(response: httpx.Response, url: str) -> str:
    try:
        error = response.json()["error"]
        problems = error.get("problems") or []
        lines = [
            f"{problem['path']}: {problem['message']}" if problem.get("path") else problem["message"]
            for problem in problems
        ]
        return "\n".join(lines) if lines else error["message"]
    except (ValueError, KeyError, TypeError):
        return f"{url} answered {response.status_code}: {response.text[:200]}"
