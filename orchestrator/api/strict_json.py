"""Bodies as JSON has them: no NaN, no Infinity, no number of 400 digits, no half of a character."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, NoReturn

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from jobs import wire
from jobs.specs import plain


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"a finite number is expected (got {word})")


def _whole(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("a whole number of 64 bits is expected")
    return int(digits)


class StrictRequest(Request):
    def read(self, body: bytes) -> Any:
        return json.loads(body, parse_constant=_refuse, parse_int=_whole)

    async def json(self) -> Any:
        body = await self.body()
        try:
            value = self.read(body)
            plain.check_values(value, longest=len(body))
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            raise HTTPException(422, f"the body cannot be kept: {error}") from None
        return value


class DriverRequest(StrictRequest):
    """What a training measures may be no number: it becomes null."""

    def read(self, body: bytes) -> Any:
        return wire.finite(json.loads(body, parse_int=_whole))


class StrictRoute(APIRoute):
    reader: ClassVar[type[StrictRequest]] = StrictRequest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(self.reader(request.scope, request.receive))

        return strict


class DriverRoute(StrictRoute):
    reader = DriverRequest
