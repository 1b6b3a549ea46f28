"""Every class and function that the record knows has a translation, or is refused with a reason."""

from batchdot.porting.inspection.becomes import MODULES
from batchdot.porting.record.classes import SPECS
from batchdot.porting.record.operation_names import FUNCTIONS, GRAPH, KERAS3, PARAMETERS
from batchdot.porting.translation import table

UNTRANSLATED = {
    "InputLayer",  # an argument of forward
    *("LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells"),  # inside of RNN
    "RandomCrop",  # refused: it resizes as well, by its own rules
}

SAID_BY_CONFIG = {
    *("LSTM", "GRU", "SimpleRNN", "RNN", "BatchNormalization", "Bidirectional", "TimeDistributed"),
    *("Activation", "MultiHeadAttention"),
}
"""Classes of which `becomes` decides by the config what to say."""


def translated(kind):
    return {name for each, name in table() if each == kind}


def test_table_has_every_class_of_the_record():
    known = {spec.name for spec in SPECS.values() if not spec.problem}
    assert known - translated("layer") == UNTRANSLATED
    assert translated("layer") <= known


def test_table_has_every_operation_of_the_record():
    assert translated("operation") == set(PARAMETERS)
    assert {*FUNCTIONS.values(), *GRAPH.values(), *KERAS3.values()} <= set(PARAMETERS)


def test_becomes_has_a_word_for_every_class_with_a_translation():
    said = set(MODULES) | SAID_BY_CONFIG
    assert {name for name in translated("layer") if not name.startswith("Random")} - said == set()
    assert set(MODULES) - translated("layer") == {"InputLayer"}
