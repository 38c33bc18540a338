"""What schemathesis cannot know from the description alone: a key of a request is used once."""

import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, *args):
    fields = case.headers or {}
    if "idempotency-key" in fields and case.meta is not None and case.meta.generation.mode.is_positive:
        case.headers["idempotency-key"] = str(uuid.uuid4())
