"""Names with one or several values, as requests and responses have them: arguments, form fields, headers."""


class MultiDict(dict):
    """The first value of each name is what a plain dict would have; getlist gives all of them."""

    def __init__(self, pairs=()):
        super().__init__()
        self._all = {}
        for name, value in pairs:
            self.setdefault(name, value)
            self._all.setdefault(name, []).append(value)

    def get(self, name, default=None, type=None):
        if name not in self:
            return default
        return _converted(self[name], default, type)

    def getlist(self, name, type=None):
        values = self._all.get(name, [])
        return list(values) if type is None else _all_converted(values, type)

    def items(self, multi=False):
        if not multi:
            return super().items()
        return [(name, value) for name, values in self._all.items() for value in values]

    def lists(self):
        return [(name, list(values)) for name, values in self._all.items()]

    def listvalues(self):
        return [list(values) for values in self._all.values()]

    def to_dict(self, flat=True):
        return dict(super().items()) if flat else dict(self.lists())

    def has_key(self, name):
        return name in self


class Headers:
    """Header values in their order; a name is found in any spelling and may have several values."""

    def __init__(self, values=()):
        self._pairs = []
        self.extend(values)

    def __getitem__(self, name):
        found = self.getlist(name)
        if not found:
            raise KeyError(name)
        return found[0]

    def __setitem__(self, name, value):
        at = next((i for i, (known, _) in enumerate(self._pairs) if known.lower() == name.lower()), None)
        if at is None:
            self.add(name, value)
            return
        pair = (self._pairs[at][0], str(value))
        self._pairs[at:] = [pair] + [p for p in self._pairs[at + 1 :] if p[0].lower() != name.lower()]

    def __delitem__(self, name):
        self._pairs = [p for p in self._pairs if p[0].lower() != name.lower()]

    def __contains__(self, name):
        return any(known.lower() == str(name).lower() for known, _ in self._pairs)

    def __iter__(self):
        return iter(self._pairs)

    def __len__(self):
        return len(self._pairs)

    def __eq__(self, other):
        return isinstance(other, Headers) and self._pairs == other._pairs

    __hash__ = None

    def __repr__(self):
        return "Headers(%r)" % (self._pairs,)

    def __str__(self):
        return "".join("%s: %s\r\n" % pair for pair in self._pairs)

    def get(self, name, default=None, type=None, as_bytes=False):
        found = self.getlist(name)
        return _converted(found[0], default, type) if found else default

    def getlist(self, name, type=None, as_bytes=False):
        values = [value for known, value in self._pairs if known.lower() == str(name).lower()]
        return values if type is None else _all_converted(values, type)

    get_all = getlist

    def add(self, name, value):
        self._pairs.append((str(name), str(value)))

    add_header = add

    def set(self, name, value):
        self[name] = value

    def setdefault(self, name, value):
        if name not in self:
            self.add(name, value)
        return self[name]

    def extend(self, values):
        for name, value in values.items() if hasattr(values, "items") else values:
            for one in value if isinstance(value, (list, tuple)) else (value,):
                self.add(name, one)

    def update(self, values):
        for name, value in dict(values).items():
            self[name] = value

    def remove(self, name):
        del self[name]

    def pop(self, name, *default):
        if name not in self and default:
            return default[0]
        value = self[name]
        del self[name]
        return value

    def keys(self):
        return [name for name, _ in self._pairs]

    def values(self):
        return [value for _, value in self._pairs]

    def items(self):
        return list(self._pairs)

    def has_key(self, name):
        return name in self


def _converted(value, default, type):
    if type is None:
        return value
    try:
        return type(value)
    except ValueError:
        return default


def _all_converted(values, type):
    marker = object()
    return [v for v in (_converted(value, marker, type) for value in values) if v is not marker]
