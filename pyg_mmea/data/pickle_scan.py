"""Finds pickles that are small as files and endless in memory, before they are loaded.

The unpickler of Python knows no limits: a few hundred bytes make it hash a tuple of tuples for
years, overflow the stack of C, or fill the memory with an empty table of objects.
"""

import pickle
import pickletools
from typing import IO

_MAX_DEPTH = 50  # of tuples in tuples; arrays need three
_MAX_SIZE = 1_000_000  # of a tuple with all that is in it, counted as often as it is reached

_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"}
# They change what is under their arguments, or leave it as it is if there is nothing to do.
_KEEPING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GET = {"GET", "BINGET", "LONG_BINGET"}

# Size and depth of a tuple; anything else is hashed at once, or not at all.
_Weight = tuple[int, int]
_NOTHING: _Weight = (1, 0)


def _effect(opcode: pickletools.OpcodeInfo) -> tuple[int, bool, int]:
    """How many objects an operation takes, whether it first takes all down to the last mark, and
    how many it leaves."""
    before, mark = opcode.stack_before, pickletools.markobject
    if mark in before:
        return before.index(mark), True, len(opcode.stack_after)
    return len(before), False, len(opcode.stack_after)


_EFFECTS = {opcode.name: _effect(opcode) for opcode in pickletools.opcodes}


def scan_pickle(file: IO[bytes]) -> None:
    """Follows the operations of a pickle without doing anything, up to its end.

    Raises:
        pickle.UnpicklingError: If it would take time or memory out of all proportion to its size.
        ValueError: If it is damaged.
    """
    stack: list[_Weight | None] = []  # None is a mark
    memo: dict[int, _Weight] = {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        name = opcode.name
        if name in _PUT:
            place = len(memo) if name == "MEMOIZE" else int(argument or 0)
            if place > count:
                raise pickle.UnpicklingError("its table of objects has gaps")
            memo[place] = _top(stack)
        elif name in _GET:
            if argument not in memo:
                raise pickle.UnpicklingError("an object is used before it is there")
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(None)
        elif name == "DUP":
            stack.append(_top(stack))
        elif name == "POP" and stack and stack[-1] is None:
            stack.pop()
        else:
            _follow(name, stack)


def _top(stack: list[_Weight | None]) -> _Weight:
    if not stack or stack[-1] is None:
        raise pickle.UnpicklingError("an object is missing")
    return stack[-1]


def _follow(name: str, stack: list[_Weight | None]) -> None:
    num, to_mark, num_after = _EFFECTS[name]
    if not num and not to_mark and name != "EMPTY_TUPLE":
        stack += [_NOTHING] * num_after  # nearly all operations of a large pickle
        return
    taken: list[_Weight] = []
    if to_mark:
        while stack and stack[-1] is not None:
            taken.append(_top(stack))
            stack.pop()
        if not stack:
            raise pickle.UnpicklingError("a mark is missing")
        stack.pop()
    for _ in range(num):
        taken.append(_top(stack))
        stack.pop()
    if name in _TUPLES:
        size = 1 + sum(size for size, _ in taken)
        depth = 1 + max((depth for _, depth in taken), default=0)
        if size > _MAX_SIZE or depth > _MAX_DEPTH:
            raise pickle.UnpicklingError("tuples are nested too deeply or too often")
        stack.append((size, depth))
    elif name in _KEEPING:
        stack.append(taken[-1])
    else:
        stack += [_NOTHING] * num_after
