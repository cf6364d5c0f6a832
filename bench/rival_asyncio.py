"""python-socketio on asyncio as its manual has it, fed by RabbitMQ: what comes on the exchange goes to all."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import kombu
import socketio
import uvicorn

sio = socketio.AsyncServer(async_mode="asgi")


@sio.on("User_connect")
async def user_connect(sid: str, token: str) -> dict[str, bool]:
    """Everybody is in one room."""
    await sio.enter_room(sid, "all")
    return {"ok": True}


def consume(uri: str, exchange: str, loop: asyncio.AbstractEventLoop) -> None:
    """In a thread of its own: kombu knows no asyncio."""

    def take(body: Any, message: Any) -> None:
        asyncio.run_coroutine_threadsafe(sio.emit("Notify_File_create", body, room="all"), loop)

    with kombu.Connection(uri) as connection:
        source = kombu.Exchange(exchange, "fanout", durable=False, auto_delete=True)
        queue = kombu.Queue("", source, exclusive=True)
        with connection.Consumer(queue, callbacks=[take], no_ack=True):
            while True:
                connection.drain_events()


async def main(port: int, uri: str, exchange: str) -> None:
    """Serve until killed."""
    threading.Thread(target=consume, args=(uri, exchange, asyncio.get_running_loop()), daemon=True).start()
    app = socketio.ASGIApp(sio)
    # Engine.IO has a ping of its own; uvicorn's would close clients that answer only that one.
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", ws_ping_interval=None)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
