"""What schemathesis cannot know from the description alone: a key of a request is used once. A repeat gets the first reply, whatever its
parameters say."""

import re
import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, *args):
    fields = case.headers or {}
    if re.fullmatch(r"[!#-~][ -~]{0,254}", str(fields.get("idempotency-key", ""))):
        case.headers["idempotency-key"] = str(uuid.uuid4())
