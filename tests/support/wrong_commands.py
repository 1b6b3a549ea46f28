"""Commands that are refused, and how the line begins. The files are those of test_cli.py."""

WRONG = {
    "command": ("dott a.npy", "argument COMMAND: invalid choice: 'dott'"),
    "no files": ("dot", "the following arguments are required: X, Y, -o/--output (see batchdot dot --help)"),
    "no output": (
        "dot a.npy b.npy",
        "the following arguments are required: -o/--output (see batchdot dot --help)",
    ),
    "unknown option": (
        "dot a.npy b.npy -o o.npy --nope",
        "unrecognized arguments: --nope; did you mean --no-progress? (see batchdot dot --help)",
    ),
    "abbreviation": (
        "dot a.npy b.npy -o o.npy --norm",
        "unrecognized arguments: --norm; did you mean --normalize? (see batchdot dot --help)",
    ),
    "option of Keras": (
        "dot a.npy b.npy -o o.npy --axis 1",
        "unrecognized arguments: --axis; did you mean --axes? (see batchdot dot --help)",
    ),
    "unknown option and nothing else": (
        "top-k --count=5",
        "unrecognized arguments: --count=5 (see batchdot top-k --help)",
    ),
    "unknown short option": (
        "dot a.npy b.npy -o o.npy -x",
        "unrecognized arguments: -x (see batchdot dot --help)",
    ),
    "unknown option of no command": (
        "--nope",
        "the following arguments are required: COMMAND (see batchdot --help)",
    ),
    "a file too many": (
        "explain --axes -1 5,3 5,3 5,3",
        "unrecognized arguments: 5,3 (see batchdot explain --help)",
    ),
    "option of another command": (
        "inspect a.npy --axes 1",
        "unrecognized arguments: --axes (see batchdot inspect --help)",
    ),
    "two axes apart": (
        "dot a.npy b.npy -o o.npy --axes 2 1",
        "unrecognized arguments: 1 (see batchdot dot --help)",
    ),
    "no axes": (
        "dot a.npy b.npy -o o.npy --axes",
        "argument --axes: expected one argument (see batchdot dot --help)",
    ),
    "axes text": (
        "dot a.npy b.npy -o o.npy --axes one",
        "cannot parse the axes 'one': write one axis (1 or -1), one for each input (1,2), or several joined "
        "by + (1+2,2+3)",
    ),
    "three axes": ("dot a.npy b.npy -o o.npy --axes 1,2,3", "cannot parse the axes '1,2,3': write one axis"),
    "uneven axes": (
        "dot a.npy b.npy -o o.npy --axes 1+2,1",
        "Invalid format for argument `axes`: both elements should be integers, or both sequences "
        "of integers. Received: axes=((1, 2), 1)",
    ),
    "axis": (
        "dot a.npy b.npy -o o.npy --axes 3",
        "Axis 3 is out of range for x, whose rank is 3. Received: x.shape=(5, 3, 4), "
        "y.shape=(5, 4, 2), axes=3.",
    ),
    "shared axis": (
        "dot a.npy b.npy -o o.npy --axes 0",
        "Cannot perform batch_dot over axis 0: the first axis is shared between the samples.",
    ),
    "sizes": (
        "dot a.npy b.npy -o o.npy --axes 1",
        "Cannot sum over axes of different sizes: x.shape[1] != y.shape[1] (3 != 4). "
        "Received: x.shape=(5, 3, 4), y.shape=(5, 4, 2), axes=1.",
    ),
    "batch sizes": (
        "dot a.npy c.npy -o o.npy --axes 2,1",
        "Cannot do batch_dot on inputs with different batch sizes: x.shape[0] != y.shape[0] (5 != 6). "
        "Received: x.shape=(5, 3, 4), y.shape=(6, 4), axes=(2, 1).",
    ),
    "batch_dims text": (
        "dot a.npy b.npy -o o.npy --batch-dims two",
        "argument --batch-dims: invalid int value: 'two' (see batchdot dot --help)",
    ),
    "batch_dims 0": ("dot a.npy b.npy -o o.npy --batch-dims 0", "batch_dims counts the axes shared"),
    "batch_dims 3": (
        "dot a.npy b.npy -o o.npy --batch-dims 5",
        "batch_dims=5 leaves no axis to sum over: with inputs of ranks 3 and 3 it is at most 2. Received: ",
    ),
    "batch_dims beyond the axes": (
        "dot a.npy b.npy -o o.npy --batch-dims 5 --axes 2",
        "Cannot perform batch_dot over axis 2: the first 5 axes are shared between the samples. Sum over a "
        "later one, or share fewer than batch_dims=5. Received: axes=2",
    ),
    "epsilon text": (
        "dot a.npy b.npy -o o.npy --epsilon tiny",
        "argument --epsilon: invalid float value: 'tiny' (see batchdot dot --help)",
    ),
    "epsilon": (
        "dot a.npy b.npy -o o.npy --normalize --epsilon nan",
        "epsilon is a floor on the squared norm",
    ),
    "dtype": ("dot a.npy b.npy -o o.npy --dtype float", "dtype should be one of float64, float32, float16"),
    "narrowing": (
        "dot a.npy b.npy -o o.npy --dtype int8",
        "x is float32: a cast to int8 would lose the fraction.",
    ),
    "bfloat16 in npy": (
        "dot a.npy b.npy -o o.npy --dtype bfloat16",
        "cannot write o.npy: a .npy file cannot hold bfloat16; write a .safetensors file, or ask for "
        "--dtype float32",
    ),
    "complex128 in safetensors": (
        "dot a.npy b.npy -o o.safetensors --dtype complex128",
        "cannot write o.safetensors: a .safetensors file cannot hold complex128; write a .npy file",
    ),
    "output suffix": (
        "dot a.npy b.npy -o o.txt",
        "cannot tell the format of 'o.txt' from its name: it should end with .npy or .safetensors, or be "
        "FILE.safetensors:TENSOR",
    ),
    "input suffix": (
        "dot a.npz b.npy -o o.npy",
        "cannot tell the format of 'a.npz' from its name: it should",
    ),
    "a letter that is a capital of another only in Unicode": (
        "dot a.npy b.npy -o o.\u017fafetensors:q",
        "cannot tell the format of 'o.\u017fafetensors:q' from its name: it should",
    ),
    "no name": ("dot a.npy b.npy -o ", "cannot tell the format of '' from its name: it should end with"),
    "no tensor name": (
        "dot a.npy b.npy -o o.safetensors:",
        "cannot write o.safetensors: '' cannot be the name of a tensor in a .safetensors",
    ),
    "metadata": (
        "dot a.npy b.npy -o o.safetensors:__metadata__",
        "cannot write o.safetensors: '__metadata__' cannot be the name of a tensor in a .safetensors file",
    ),
    "which tensor": (
        "dot d.safetensors b.npy -o o.npy",
        "d.safetensors holds 2 tensors; say which with d.safetensors:NAME. It has 'p', 'q'",
    ),
    "missing": ("dot no.npy b.npy -o o.npy", "cannot read no.npy: no such file or directory"),
    "below a file": ("dot a.npy/x.npy b.npy -o o.npy", "cannot read a.npy/x.npy: not a directory"),
    "no model": ("inspect no.h5", "cannot open no.h5: no such file or directory"),
    "no weights": ("inspect a.npy --weights no.h5", "a.npy: found a NumPy array (.npy); allowed: a model"),
    "array as model": (
        "inspect a.npy",
        "a.npy: found a NumPy array (.npy); allowed: a model that Keras saved",
    ),
    "no model to port": ("port no.h5 -o o.py", "cannot open no.h5: no such file or directory"),
    "array to port": (
        "port a.npy -o o.py",
        "a.npy: found a NumPy array (.npy); allowed: a model that Keras saved",
    ),
    "no file to write": (
        "port a.npy",
        "the following arguments are required: -o/--output (see batchdot port --help)",
    ),
    "channels": (
        "port a.npy -o o.py --channels last",
        "argument --channels: invalid choice: 'last'",
    ),
    "custom text": (
        "port a.npy -o o.py --custom double",
        "--custom takes NAME=MODULE:FUNCTION, not 'double' (see batchdot port --help)",
    ),
    "custom without a name": (
        "verify a.npy --data io.npz --custom =m:f",
        "--custom takes NAME=MODULE:FUNCTION, not '=m:f' (see batchdot port --help)",
    ),
    "custom module": (
        "port a.npy -o o.py --custom d=no_such:f",
        "--custom d=no_such:f: No module named 'no_such'",
    ),
    "custom function": (
        "port a.npy -o o.py --custom d=json:no_such",
        "--custom d=json:no_such: module 'json' has no attribute 'no_such'",
    ),
    "custom constant": ("port a.npy -o o.py --custom d=math:pi", "--custom d=math:pi: it is no function"),
    "custom package": ("port a.npy -o o.py --custom d=.:f", "--custom d=.:f: "),
    "nothing to compare with": (
        "verify a.npy",
        "give either --data IO.npz or --against keras (see batchdot verify --help)",
    ),
    "two to compare with": (
        "verify a.npy --data io.npz --against keras",
        "give either --data IO.npz or --against keras (see batchdot verify --help)",
    ),
    "unknown Keras": (
        "verify a.npy --against theano",
        "argument --against: invalid choice: 'theano'",
    ),
    "array to verify": (
        "verify a.npy --data a.npy",
        "a.npy: found a NumPy array (.npy); allowed: a model that Keras saved",
    ),
    "folder as input": ("dot . b.npy -o o.npy", "cannot tell the format of '.' from its name: it should"),
    "missing folder": (
        "dot a.npy b.npy -o no/o.npy",
        "cannot write no/o.npy: there is no folder {folder}/no",
    ),
    "output is x": ("dot a.npy b.npy -o a.npy", "cannot write a.npy: it is the same file as the input a.npy"),
    "output is y": (
        "dot a.npy b.npy -o ./b.npy",
        "cannot write ./b.npy: it is the same file as the input b.npy",
    ),
    "output holds y": (
        "dot a.npy d.safetensors:q -o d.safetensors:new",
        "cannot write d.safetensors: it is the same file as the input d.safetensors",
    ),
    "shape text": (
        "explain 3x4 4x5",
        "cannot parse the shape '3x4': write sizes as (32, 64, 10), with None or ? for an unknown one",
    ),
    "negative size": ("explain (32,-1) (32,4)", "cannot parse the shape '(32,-1)': write sizes as"),
    "code as shape": (
        "explain __import__('os') (32,4)",
        "cannot parse the shape \"__import__('os')\": write sizes",
    ),
    "no shape": (
        "explain (32,4)",
        "the following arguments are required: Y_SHAPE (see batchdot explain --help)",
    ),
    "empty shape": (
        "explain () ()",
        "Cannot do batch_dot on inputs with rank < 2. Received: x.shape=(), y.shape=()",
    ),
    "explained sizes": (
        "explain (32,4) (32,5) --axes 1",
        "Cannot sum over axes of different sizes: x.shape[1]",
    ),
    "picture of another format": (
        "explain 2,3 2,3 --axes 1 --svg o.png",
        "the picture is an SVG: 'o.png' should end with .svg",
    ),
    "picture nowhere": (
        "explain 2,3 2,3 --axes 1 --svg no/o.svg",
        "cannot write no/o.svg: there is no folder {folder}/no",
    ),
    "picture of a wrong call": ("explain 2,3 2,3 --axes 2 --svg o.svg", "Axis 2 is out of range for x"),
    "explained axes": ("explain (32,4) (32,4) --axes x", "cannot parse the axes 'x': write one axis"),
}
