"""Build the layers of one class: what each adds to ``__init__``, and the function that writes its calls."""

from collections.abc import Callable
from dataclasses import replace

from batchdot.porting.errors import quote
from batchdot.porting.program import Names
from batchdot.porting.record import Activation, LayerRecord, ModelRecord
from batchdot.porting.translation.custom import (
    advice,
    custom_activation,
    custom_layer,
    custom_layer_of,
    missing_activations,
    wanted,
)
from batchdot.porting.translation.dtypes import of_one_dtype
from batchdot.porting.translation.layer import Layer, RefusedError, Scope, UnlikeError
from batchdot.porting.translation.nesting import Inside, Place
from batchdot.porting.translation.port import Port
from batchdot.porting.translation.registry import Forward, translation_of
from batchdot.porting.translation.sharing import Loan


class Builder:
    """Builds the layers of one class.

    Args:
        port: what all classes of the program share.
        place: the class.
        layers: names of the layers.
        trainable: whether anything in the class may learn.
        translate: translates a model that is a layer of this one and adds it to ``__init__``; returns it,
            and the expression by which it is reached.
    """

    def __init__(
        self,
        port: Port,
        place: Place,
        layers: list[str],
        *,
        trainable: bool,
        translate: Callable[[Layer, ModelRecord], tuple[Inside, str]],
    ) -> None:
        self.port = port
        self.place = place
        self._translate = translate
        self._models: dict[str, Inside] = {}
        self.scope = Scope(
            Names(first=layers),
            self.build,
            self._replace,
            port.note,
            port.define,
            trainable=trainable,
            with_batchdot=port.options.with_batchdot,
        )

    def build(self, layer: Layer) -> Forward:
        """Add what a layer needs to ``__init__``; return the function that writes its calls.

        Raises:
            RefusedError: there is no translation of it.
        """
        record = layer.record
        custom = custom_layer_of(record, self.port)
        if custom is not None:
            return custom_layer(layer, custom)
        self._check(record)
        if layer.scope.lent is not None:
            return self._built(layer)
        loan = self.port.loans.find(record)
        if loan is not None and loan.owner is not self.place:
            try:
                return self._lent(layer, loan)
            except UnlikeError:
                layer.scope = self.scope
        before = len(self.scope.submodules)
        forward = self._built(layer)
        self.scope.submodules[before:] = list(of_one_dtype(self.scope.submodules[before:]))
        model = self._models.get(record.name) if record.model is not None else None
        self.port.loans.add(Loan(record, self.place, self.scope.submodules[before:], model))
        return forward

    def _check(self, record: LayerRecord) -> None:
        """Raise RefusedError if a layer is one that cannot be ported, with what the user can give."""
        missing = missing_activations(record, self.port)
        if not record.problem or missing == []:
            return
        needs = [wanted(record)] if record.kind == "custom" or record.is_a("Lambda") else []
        needs += [advice(activation.name) for activation in missing or ()]
        raise RefusedError("; ".join([record.problem, *needs]))

    def _built(self, layer: Layer) -> Forward:
        """Add what a layer needs to ``__init__``, or take what is lent in its place."""
        if layer.record.model is not None:
            model, module = self._translate(layer, layer.record.model)
            self._models[layer.record.name] = model
            return model.calls(module, self.place)
        translation = translation_of(layer.record)
        if translation is None:
            name = layer.record.class_name
            raise RefusedError(f"there is no translation of {name}; {advice(name)}")
        return translation(layer)

    def _lent(self, layer: Layer, loan: Loan) -> Forward:
        """Return the function that writes calls of a layer that another class has built."""
        reached = [self.place.reach(loan.owner, submodule) for submodule in loan.submodules]
        if loan.model is not None:
            return loan.model.calls(reached[0], self.place)
        layer.scope = replace(self.scope, lent=list(zip(loan.submodules, reached, strict=True)))
        return self._built(layer)

    def _replace(self, layer: Layer, activation: Activation) -> Activation:
        function = self.port.custom(activation.name)
        if function is None:
            raise RefusedError(
                f"the activation {quote(activation.name)} is not Keras's own; {advice(activation.name)}"
            )
        return custom_activation(layer, activation, function)
