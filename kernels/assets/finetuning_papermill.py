"""papermill's parameters in Rust: Python values -> `let` lines of a cell.

papermill looks for engines among the entry points of installed packages and imports each, but not for translators; so this
file stands there as an engine, which is papermill's own, and makes the translator known when it is imported.
"""

import math
import re

from papermill.engines import NBClientEngine
from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators


class RustEngine(NBClientEngine):
    """papermill's own engine under the name `rust`."""


class RustTranslator(Translator):
    """Values of Python and YAML -> expressions of Rust. A list is a `Vec`, a dictionary a `BTreeMap`, nothing is `None::<String>`."""

    LET = re.compile(r"^\s*let\s+(?:mut\s+)?(?P<name>\w+)\s*(?::\s*(?P<type>[^=]+?))?\s*=\s*(?P<value>.*?);\s*(?://\s*(?P<help>.*))?$")

    @classmethod
    def translate_none(cls, val):
        return "None::<String>"

    @classmethod
    def translate_bool(cls, val):
        return "true" if val else "false"

    @classmethod
    def translate_int(cls, val):
        suffix = "" if -(2**31) <= val < 2**31 else "_i64" if -(2**63) <= val < 2**63 else "_i128"
        return f"{val}{suffix}"

    @classmethod
    def translate_float(cls, val):
        if math.isnan(val):
            return "f64::NAN"
        if math.isinf(val):
            return "f64::INFINITY" if val > 0 else "f64::NEG_INFINITY"
        text = repr(val)
        return text if any(sign in text for sign in ".e") else text + ".0"

    @classmethod
    def translate_escaped_str(cls, str_val):
        text = str(str_val).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return '"' + "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text) + '"'

    @classmethod
    def translate_list(cls, val):
        return f"vec![{', '.join(cls.of_one_type(val))}]"

    @classmethod
    def translate_dict(cls, val):
        pairs = zip((cls.translate_str(key) for key in val), cls.of_one_type(list(val.values())))
        return f"std::collections::BTreeMap::from([{', '.join(f'({key}, {value})' for key, value in pairs)}])"

    @classmethod
    def of_one_type(cls, values):
        """The values as expressions of one type, where Rust wants it and Python does not."""
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        if numbers and any(isinstance(value, float) for value in values):
            values = [float(value) for value in values]
        elif numbers and values:
            suffix = max((cls.translate_int(value).partition("_")[2] for value in values), key=len)
            return [f"{value}_{suffix}" if suffix else str(value) for value in values]
        if any(value is None for value in values):
            known = [f"Some({cls.text(value)})" if value is not None else "None" for value in values]
            return known if any(value is not None for value in values) else [cls.translate_none(value) for value in values]
        return [cls.translate(value) for value in values]

    @classmethod
    def text(cls, value):
        """A value that stands beside nothing, whose text is owned."""
        return f"{cls.translate(value)}.to_string()" if isinstance(value, str) else cls.translate(value)

    @classmethod
    def comment(cls, cmt_str):
        return f"// {cmt_str}".strip()

    @classmethod
    def assign(cls, name, str_val):
        return f"let {name} = {str_val};"

    @classmethod
    def inspect(cls, parameters_cell):
        found = (cls.LET.match(line) for line in parameters_cell["source"].splitlines())
        return [
            Parameter(name=line["name"], inferred_type_name=line["type"] or "None", default=line["value"], help=line["help"] or "")
            for line in found
            if line
        ]


papermill_translators.register("rust", RustTranslator)
