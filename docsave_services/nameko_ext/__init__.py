"""Our subclasses of Nameko's extensions. They know messages and deadlines, not files or users."""

from docsave_services.nameko_ext import message_json  # noqa: F401 - for all messages of a process that imports this
from docsave_services.nameko_ext.calm_collector import CalmCollector
from docsave_services.nameko_ext.deadline_rpc import DeadlineRpc, RpcCaller
from docsave_services.nameko_ext.durable_events import DurableEventHandler, durable_event_handler
from docsave_services.nameko_ext.hints import HintHandler, hint
from docsave_services.nameko_ext.prompt_stop import PromptStop
from docsave_services.nameko_ext.request_context import RequestContext
from docsave_services.nameko_ext.rpc_entrypoint import rpc

__all__ = [
    "CalmCollector",
    "DeadlineRpc",
    "DurableEventHandler",
    "HintHandler",
    "PromptStop",
    "RequestContext",
    "RpcCaller",
    "durable_event_handler",
    "hint",
    "rpc",
]
