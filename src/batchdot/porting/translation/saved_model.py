"""Translate a saved model to a program, or refuse it with all that cannot be ported."""

from batchdot.porting.errors import ModelFileError, NotPortableError, quote
from batchdot.porting.program import Names, Program
from batchdot.porting.program.names import class_name
from batchdot.porting.record import ModelRecord
from batchdot.porting.translation.custom import CustomError
from batchdot.porting.translation.dtypes import is_mixed
from batchdot.porting.translation.layer import UNFORESEEN, unforeseen
from batchdot.porting.translation.model import ModelTranslator
from batchdot.porting.translation.notes import notes_on
from batchdot.porting.translation.port import Options, Port


def translate(
    record: ModelRecord, title: str, name: str, reserved: frozenset[str], options: Options
) -> Program:
    """Return the program of a saved model.

    Args:
        record: the model.
        title: what it is, in one line.
        name: what to call the class, if that is free.
        reserved: names that helpers have.
        options: how to port it.

    Raises:
        NotPortableError: layers have no translation, or mean what cannot be translated; all are named.
    """
    port = Port(options, reserved, Names(reserved), record.has_weights, is_mixed(record))
    for sentence in record.notes:
        port.note(sentence)
    try:
        model = ModelTranslator(
            port,
            record,
            class_name(name, port.class_names),
            trainable=record.trainable,
            images_first=options.channels == "first" and not _has_channels_first(record),
        ).run()
    except (CustomError, ModelFileError):
        raise
    except UNFORESEEN as error:
        raise NotPortableError([(record.name, unforeseen(error))]) from error
    if port.lacks_weights:
        reason = "the file has no weights; give the file that has them (weights= or --weights)"
        raise NotPortableError([(record.name, reason)])
    if port.missing:
        raise NotPortableError(list(port.missing.items()))
    try:
        for sentence in notes_on(record, model):
            port.note(sentence)
    except UNFORESEEN as error:
        raise NotPortableError([(record.name, unforeseen(error))]) from error
    remarks = tuple(
        f"custom[{quote(unused)}] is the name of no layer, class or activation of this model."
        for unused in options.custom
        if unused not in port.functions
    )
    definitions = tuple((name, expression) for expression, name in port.definitions.items())
    return Program(title, model, tuple(port.notes), tuple(port.functions.values()), remarks, definitions)


def _has_channels_first(record: ModelRecord) -> bool:
    """Whether layers of the Keras model have their channels behind the batch."""
    return any(layer.config.get("data_format") == "channels_first" for layer in record.all_layers())
