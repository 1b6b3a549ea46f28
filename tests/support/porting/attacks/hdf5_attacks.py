"""HDF5: files that `make_hdf5_attacks.py` wrote, and what has to be said of each."""

from pathlib import Path

from tests.support.porting.attacks.registry import attack_for

FOLDER = Path(__file__).parent / "hdf5"

attack = attack_for(".h5")

EXPECTED = {
    "honest": "weights without a model",
    "external_link": "an external link",
    "soft_link": "soft link",
    "soft_link_to_itself": "soft link",
    "hard_link_cycle": "two names, or a cycle",
    "two_names_for_one_array": "two names",
    "external_storage": "in other files",
    "virtual_dataset": "in other files",
    "references": "HDF5 references",
    "compound": "HDF5 compounds",
    "sequences": "variable length",
    "text": "weights without a model",
    "complex_numbers": "HDF5 compounds",
    "enumeration": "enumerations",
    "lzf": "filter 32000",
    "fletcher32": "filter 3;",
    "scale_offset": "filter 6;",
    "never_written": "0 bytes|bytes for an HDF5 dataset",
    "chunks_of_petabytes": "of shape",
    "longer_than_any_axis": "of shape",
    "zeros_thousandfold": "chunks that inflate",
    "missing_array": "no dataset",
    "array_that_is_not_named": "no layer names",
    "named_twice": "named twice",
    "name_that_climbs": "no dataset",
    "shape_of_petabytes": "of shape",
    "shape_that_overflows": "of shape",
    "shape_larger_than_its_bytes": "bytes for an HDF5 dataset",
    "group_tree_that_loops": "SNOD.*as HDF5 has there",
    "not_a_superblock": "superblock",
    "truncated": "cut off",
    "only_a_signature": "early",
    "half_a_superblock": "early",
    "config_that_is_a_number": "no text",
    "config_that_is_no_json": "no JSON",
    "something_else": "no Keras model",
    "layer_names_that_are_numbers": "no list of names",
    "variables_with_gaps": "not numbered from 0",
    "variables_with_odd_numbers": "a variable '01'",
    "deep_groups": "deeper|weights without a model",
    "long_paths": "in all",
    "text_named_many_times": "more text",
    "factors_of_other_shapes": "whose product has the shape of the kernel",
    "factors_of_a_product_of_gigabytes": "whose product has the shape of the kernel",
    "gates_that_are_scalars": "gates of one shape",
    "gates_of_other_shapes": "gates of one shape",
    "kernel_of_no_layout": r"shape \(2, 4, 3, 2\)",
    "weights_of_a_layer_that_has_none": "weights of 1 layers for a model with 0",
    "weights_of_another_size_than_their_axis": "for an input of size 4",
    "weights_of_different_sizes": r"shape \(5,\) of 'moving_variance'",
    "kernel_of_another_equation": r"shape \(9,\) of 'kernel'",
    "heads_put_together_otherwise": r"shape \(9,\) of 'output.kernel'",
    "weights_that_are_booleans": "numbers of type 'bool'",
    "config_of_nothing": "found null; allowed: an object",
}

for _name, _refused in EXPECTED.items():

    def _build(name=_name):
        return (FOLDER / f"{name}.h5").read_bytes()

    _build.__name__ = _name
    attack(_refused)(_build)
