"""Chat templates that ask for today's date get one fixed day: a text must have the same tokens tomorrow.

Otherwise a run that is resumed after midnight would see other data, and find nothing in its caches.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import lru_cache

from ..errors import TemplateError

DAY = datetime(2024, 7, 26, 12)
"""The day that Llama 3's templates write where they are given no clock."""
CLOCK = "strftime_now"
"""What transformers calls the function that templates get the date from."""
_CALL = re.compile(rf"{CLOCK}\s*\(")
_LITERAL = re.compile(rf"""{CLOCK}\s*\(\s*(["'])(.*?)\1\s*\)""")


@lru_cache(maxsize=64)
def on_a_fixed_day(template: str) -> str:
    """The template, before it a macro that stands for the clock and knows every format that the template uses.

    Raises:
        TemplateError: a format is not written out, so that it cannot be known.
    """
    formats = [found[2] for found in _LITERAL.finditer(template)]
    if len(formats) < len(_CALL.findall(template)):
        raise TemplateError(
            f"the chat template calls {CLOCK} with a format that it works out itself, so its date cannot be fixed; "
            "pass a file with the format written out as data.template"
        )
    if not formats:
        return template
    days = json.dumps({one: DAY.strftime(one) for one in formats})
    return f"{{%- macro {CLOCK}(format) -%}}{{{{ {days}[format] }}}}{{%- endmacro +%}}{template}"
