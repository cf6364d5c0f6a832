"""``python -m bench.one_process``: docsave's own services in ONE process, with the same settings.

Gateway, users, files, backup, notifier and webhooks run as ``make run`` runs them, from the same classes and
``config.yml``. What is left out is supervisord, the borders between the processes and RabbitMQ: calls and events pass
inside the process, unless ``DOCSAVE_AMQP_URI`` names a broker that they are to take.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import os  # noqa: E402 - after the patching, as in Nameko's own command line
import sys  # noqa: E402
from argparse import Namespace  # noqa: E402

from eventlet import tpool  # noqa: E402
from nameko.cli import run  # noqa: E402

from bench.in_process import run_without_broker  # noqa: E402
from docsave_services.runtime import bootstrap  # noqa: E402
from docsave_services.runtime import environment as env  # noqa: E402
from docsave_services.runtime.programs import SERVICES  # noqa: E402
from gateway_http.limits import STORE_THREADS  # noqa: E402

THREADS = STORE_THREADS + 2 * 20
"""For what blocks: as many as gateway, files and backup have together, with eventlet's 20 for each of the latter."""


def main() -> None:
    """Prepare as ``make run`` does, then serve until SIGTERM."""
    resolved = env.add_secrets(env.resolve(os.environ))
    os.environ.update(resolved)
    os.chdir(env.ROOT)
    bootstrap.main()  # Nameko's parser of config.yml is ready afterwards
    if not resolved.get(env.AMQP_URI):
        run_without_broker()
    tpool.set_num_threads(THREADS)
    targets = [program.target for program in SERVICES.values()]
    run.main(Namespace(config=str(env.CONFIG), services=targets, broker=None, backdoor_port=None))


if __name__ == "__main__":
    sys.exit(main())
