"""Models of the kinds that people publish, built in live Keras: ``ZOO`` has a function for each.

A function takes the module, `tf_keras` or `keras`, and returns a model with random weights, each unlike the
others. `LARGE` are image classifiers, which take seconds.
"""

import numpy as np

RATE = 0.3


def memory_network(k):
    """The babi memory network: Sequentials of embeddings, one of them shared by two questions."""
    layers = k.layers
    story, question = k.Input((9,), name="story"), k.Input((4,), name="question")
    encoder_m = k.Sequential([layers.Embedding(21, 8), layers.Dropout(RATE)], name="m")
    encoder_c = k.Sequential([layers.Embedding(21, 4), layers.Dropout(RATE)], name="c")
    encoder_q = k.Sequential([layers.Embedding(21, 8), layers.Dropout(RATE)], name="q")
    asked = encoder_q(question)
    match = layers.Activation("softmax")(layers.Dot((2, 2))([encoder_m(story), asked]))
    response = layers.Permute((2, 1))(layers.Add()([match, encoder_c(story)]))
    answer = layers.LSTM(7)(layers.Concatenate()([response, asked]))
    answer = layers.Dense(21)(layers.Dropout(RATE)(answer))
    return k.Model([story, question], layers.Activation("softmax")(answer))


def factorization(k):
    """Matrix factorization with biases, regularized."""
    layers = k.layers
    user, item = k.Input((1,), name="user-id"), k.Input((1,), name="item-id")

    def embedded(tensor, count, size, name):
        penalty = k.regularizers.L2(1e-6)
        return layers.Flatten()(
            layers.Embedding(count, size, embeddings_regularizer=penalty, name=name)(tensor)
        )

    product = layers.Dot(axes=1)([embedded(user, 30, 6, "p"), embedded(item, 40, 6, "q")])
    total = layers.Add()([product, embedded(user, 30, 1, "user-bias"), embedded(item, 40, 1, "item_bias")])
    rating = layers.Activation("sigmoid")(total)
    return k.Model([user, item], layers.Rescaling(4.5, offset=0.5)(rating))


def two_towers(k):
    """Towers of ids and of numbers that are normalized, side by side by cosine."""
    layers = k.layers
    normalization = layers.Normalization(name="age-and-price")
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (50, 2)).astype("float32"))
    user, numbers, item = (
        k.Input((1,), dtype="int32", name="user"),
        k.Input((2,), name="numbers"),
        k.Input((5,), dtype="int64", name="words"),
    )
    left = layers.Concatenate()([layers.Flatten()(layers.Embedding(11, 6)(user)), normalization(numbers)])
    right = layers.GlobalAveragePooling1D()(layers.Embedding(13, 6, mask_zero=True)(item))
    tops = [k.Sequential([layers.Dense(12, "relu"), layers.Dense(6)], name=name) for name in ("u", "i")]
    cosine = layers.Dot(-1, normalize=True)([tops[0](left), tops[1](right)])
    return k.Model(inputs=[user, numbers, item], outputs=cosine)


def luong(k):
    """Encoder and decoder of LSTMs, with Luong's attention."""
    layers = k.layers
    source, target = k.Input((7,), name="source"), k.Input((5,), name="target")
    encoded, h, c = layers.LSTM(8, return_sequences=True, return_state=True)(layers.Embedding(17, 6)(source))
    decoded = layers.LSTM(8, return_sequences=True)(layers.Embedding(19, 6)(target), initial_state=[h, c])
    attention = layers.Activation("softmax", name="attention")(layers.Dot([2, 2])([decoded, encoded]))
    context = layers.Dot([2, 1], name="context")([attention, encoded])
    joined = layers.Concatenate()([context, decoded])
    joined = layers.TimeDistributed(layers.Dense(8, activation="tanh"))(joined)
    return k.Model([source, target], layers.TimeDistributed(layers.Dense(19, activation="softmax"))(joined))


def one_step_attention(k):
    """Shared layers that are called ten times, as in courses on dates: states go around a loop."""
    layers = k.layers
    repeat, concatenate = layers.RepeatVector(6), layers.Concatenate(axis=-1)
    first, second = layers.Dense(10, activation="tanh"), layers.Dense(1, activation="relu")
    softmax, dot = layers.Softmax(axis=1, name="weights"), layers.Dot(axes=1)
    post, output = layers.LSTM(8, return_state=True), layers.Dense(5, activation="softmax")
    x, s0, c0 = k.Input((6, 4)), k.Input((8,), name="s0"), k.Input((8,), name="c0")
    sequence = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    s, c, outputs = s0, c0, []
    for _ in range(10):
        energies = second(first(concatenate([sequence, repeat(s)])))
        s, _, c = post(dot([softmax(energies), sequence]), initial_state=[s, c])
        outputs.append(output(s))
    return k.Model([x, s0, c0], outputs)


def conv_lstm(k):
    """Frames of a film to the next frame."""
    layers = k.layers
    x = k.Input((None, 10, 10, 1))
    y = layers.ConvLSTM2D(4, 3, padding="same", return_sequences=True)(x)
    y = layers.BatchNormalization()(y)
    y = layers.ConvLSTM2D(3, (1, 1), return_sequences=True, activation="relu")(y)
    return k.Model(x, layers.Conv3D(1, 3, activation="sigmoid", padding="same")(y))


def deep_fm(k):
    """Many features by name, in pairs and through a deep part."""
    layers = k.layers
    inputs = {f"C{number}": k.Input((1,), name=f"C{number}") for number in range(12)}
    inputs["I1"] = k.Input((3,), name="I1")
    vectors = [layers.Embedding(20, 4, name=f"v_{name}")(inputs[name]) for name in inputs if name[0] == "C"]
    stacked = layers.Concatenate(axis=1)(vectors)
    pairs = layers.Dot(axes=2)([stacked, stacked])
    pairs = layers.Flatten()(pairs)
    deep = layers.Concatenate()([layers.Flatten()(stacked), inputs["I1"]])
    for size in (16, 8):
        deep = layers.Dense(size)(deep)
        deep = layers.BatchNormalization()(deep)
        deep = layers.Dropout(RATE)(layers.ReLU()(deep))
    linear = layers.Dense(1)(inputs["I1"])
    total = layers.Add()([layers.Dense(1)(pairs), layers.Dense(1)(deep), linear])
    return k.Model(inputs, {"click": layers.Activation("sigmoid", name="click")(total)})


def u_net(k):
    layers = k.layers

    def block(tensor, size):
        for _ in range(2):
            tensor = layers.Conv2D(size, 3, padding="same", kernel_initializer="he_normal")(tensor)
            tensor = layers.LeakyReLU()(layers.BatchNormalization()(tensor))
        return tensor

    x = k.Input((16, 16, 3))
    one = block(x, 4)
    two = block(layers.MaxPooling2D()(one), 6)
    three = layers.SpatialDropout2D(RATE)(block(layers.MaxPooling2D(2)(two), 8))
    up = layers.Concatenate()([layers.Conv2DTranspose(6, 2, strides=2, padding="same")(three), two])
    up = block(up, 6)
    up = layers.concatenate([layers.UpSampling2D(2, interpolation="bilinear")(up), one], axis=3)
    return k.Model(x, layers.Conv2D(1, 1, activation="sigmoid")(block(up, 4)))


def wavenet(k):
    """Dilated causal convolutions with gates, residuals and skips."""
    layers = k.layers
    x = k.Input((None, 4))
    y, skips = layers.Conv1D(6, 1)(x), []
    for rate in (1, 2, 4, 8):
        gate = layers.Conv1D(6, 2, dilation_rate=rate, padding="causal", activation="sigmoid")(y)
        value = layers.Conv1D(6, 2, dilation_rate=rate, padding="causal", activation="tanh")(y)
        skip = layers.Conv1D(6, 1)(layers.Multiply()([gate, value]))
        skips.append(skip)
        y = layers.Add()([y, skip])
    out = layers.Activation("relu")(layers.Add()(skips))
    return k.Model(x, layers.Conv1D(3, 1, activation="softmax")(out))


def transformer(k):
    """Two encoder blocks, with masked ids and positions."""
    layers = k.layers
    ids, places = k.Input((6,), dtype="int32", name="ids"), k.Input((6,), dtype="int32", name="places")
    y = layers.Add()([layers.Embedding(15, 8)(ids), layers.Embedding(6, 8)(places)])
    for number in range(2):
        attended = layers.MultiHeadAttention(2, 4, dropout=0.1, name=f"heads_{number}")(y, y)
        y = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([y, layers.Dropout(0.1)(attended)]))
        hidden = layers.Dense(16, activation="gelu")(y)
        y = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([y, layers.Dense(8)(hidden)]))
    return k.Model([ids, places], layers.Dense(3, "softmax")(layers.GlobalMaxPooling1D()(y)))


def encoder_of_vae(k):
    layers = k.layers
    x = k.Input((12, 12, 1), name="encoder_input")
    y = layers.Conv2D(4, 3, activation="relu", strides=2, padding="same")(x)
    y = layers.Conv2D(6, 3, activation="relu", strides=2, padding="same")(y)
    y = layers.Dense(8, activation="relu")(layers.Flatten()(y))
    return k.Model(
        x, [layers.Dense(2, name="z_mean")(y), layers.Dense(2, name="z_log_var")(y)], name="encoder"
    )


def decoder_of_vae(k):
    layers = k.layers
    return k.Sequential(
        [
            k.Input((2,)),
            layers.Dense(3 * 3 * 6, activation="relu"),
            layers.Reshape((3, 3, 6)),
            layers.Conv2DTranspose(4, 3, activation="relu", strides=2, padding="same"),
            layers.Conv2DTranspose(3, 3, activation="relu", strides=2),
            layers.ZeroPadding2D(((0, 1), (1, 0))),
            layers.Cropping2D(1),
            layers.Conv2DTranspose(1, 3, activation="sigmoid", padding="same"),
        ],
        name="decoder",
    )


def seq2seq(k):
    """GRUs over masked ids; the states of the encoder start the decoder."""
    layers = k.layers
    source, target = k.Input((None,), name="encoder_inputs"), k.Input((None,), name="decoder_inputs")
    read = layers.Embedding(12, 6, mask_zero=True)(source)
    forward_backward = layers.Bidirectional(layers.GRU(5, return_sequences=True, return_state=True))
    sequence, ahead, back = forward_backward(read)
    state = layers.Concatenate()([ahead, back])
    written = layers.GRU(10, return_sequences=True)(layers.Embedding(9, 6)(target), initial_state=state)
    attended = layers.Attention()([written, sequence])
    return k.Model([source, target], layers.Dense(9, "softmax")(layers.Concatenate()([attended, written])))


def inception(k):
    layers = k.layers

    def block(tensor):
        branches = [
            layers.Conv2D(3, 1, padding="same", activation="relu")(tensor),
            layers.Conv2D(3, (1, 5), padding="same", activation="relu")(
                layers.Conv2D(2, (5, 1), padding="same", activation="relu")(tensor)
            ),
            layers.Conv2D(2, 1, activation="relu")(
                layers.AveragePooling2D(3, strides=1, padding="same")(tensor)
            ),
        ]
        return layers.Concatenate(axis=-1)(branches)

    x = k.Input((11, 13, 3))
    y = layers.MaxPooling2D(3, strides=2, padding="same")(block(block(x)))
    return k.Model(x, layers.Dense(4, "softmax")(layers.GlobalAveragePooling2D()(y)))


def squeeze_excite(k):
    layers = k.layers
    x = k.Input((9, 9, 4))
    y = layers.SeparableConv2D(8, 3, padding="same", activation="swish", use_bias=False)(x)
    y = layers.DepthwiseConv2D(3, strides=2, padding="same")(y)
    squeezed = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(y))
    squeezed = layers.Dense(2, activation="relu", use_bias=False)(squeezed)
    y = layers.Multiply()([y, layers.Dense(8, activation="hard_sigmoid")(squeezed)])
    return k.Model(x, layers.Flatten()(layers.PReLU(shared_axes=[1, 2])(y)))


def reused_models(k):
    """A model inside a model inside a model, each called twice, and layers shared across them."""
    layers = k.layers
    shared = layers.Dense(4, name="shared")
    a = k.Input((4,))
    inner = k.Model(a, [shared(a), layers.Dense(3, "relu")(a)], name="inner")
    b = k.Input((4,))
    one, two = inner(b)
    again, _ = inner(one)
    middle = k.Model(b, layers.Concatenate()([again, two]), name="middle")
    x, y = k.Input((4,), name="left"), k.Input((4,), name="right")
    difference = layers.Subtract()([middle(x), middle(shared(y))])
    return k.Model([x, y], [difference, x, difference])


def dicts(k):
    """Inputs and outputs by name, of a model and of one inside of it, none in the order of the alphabet."""
    layers = k.layers
    inside = {"n": k.Input((3,), name="n"), "m": k.Input((3,), name="m")}
    inner = k.Model(
        inside, {"t": layers.Dense(3)(inside["m"]), "s": layers.Dense(3, "tanh")(inside["n"])}, name="inner"
    )
    inputs = {"b": k.Input((3,), name="second"), "a": k.Input((3,), name="first")}
    given = {"n": inputs["b"], "m": inputs["a"]}
    both = inner(given)
    y = layers.Maximum()([both["t"], inputs["b"]])
    return k.Model(inputs, {"z": layers.Subtract()([both["s"], inputs["a"]]), "y": y})


def siamese(k):
    """One convolutional encoder for two images, and their distance by layers."""
    layers = k.layers
    encoder = k.Sequential(
        [
            k.Input((14, 14, 1)),
            layers.Conv2D(4, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(6, activation=None),
            layers.UnitNormalization() if hasattr(layers, "UnitNormalization") else layers.Dense(6),
        ],
        name="encoder",
    )
    left, right = k.Input((14, 14, 1), name="left"), k.Input((14, 14, 1), name="right")
    distance = layers.Subtract()([encoder(left), encoder(right)])
    return k.Model([left, right], layers.Dense(1, "sigmoid")(layers.Multiply()([distance, distance])))


def point_net(k):
    """A transform of points by a matrix that is computed from them."""
    layers = k.layers
    x = k.Input((20, 3))
    y = layers.Dense(8)(layers.GlobalMaxPooling1D()(layers.Conv1D(6, 1, activation="relu")(x)))
    matrix = layers.Reshape((3, 3))(layers.Dense(9)(layers.BatchNormalization(momentum=0.0)(y)))
    moved = layers.Dot(axes=(2, 1))([x, matrix])
    y = layers.Conv1D(12, kernel_size=1, padding="valid")(moved)
    y = layers.Activation("relu")(layers.BatchNormalization(momentum=0.0)(y))
    return k.Model(x, layers.Dense(4, activation="softmax")(layers.GlobalMaxPooling1D()(y)))


def text_classifier(k):
    """Convolutions of several widths over words, and a bidirectional LSTM, both over masked ids."""
    layers = k.layers
    words = k.Input((None,), dtype="int32")
    vectors = layers.SpatialDropout1D(RATE)(layers.Embedding(25, 6, mask_zero=True)(words))
    pooled = [
        layers.GlobalMaxPooling1D()(layers.Conv1D(4, width, padding="same", activation="elu")(vectors))
        for width in (2, 3, 4)
    ]
    states = layers.Bidirectional(layers.LSTM(5), merge_mode="sum")(vectors)
    return k.Model(words, layers.Dense(2, "softmax")(layers.Concatenate()([*pooled, states])))


def resnet_1d(k):
    """Residual blocks over time, with strides and a projection."""
    layers = k.layers
    x = k.Input((32, 2))
    y = x
    for size, stride in ((4, 1), (6, 2), (6, 1)):
        short = y
        y = layers.Conv1D(size, 7, strides=stride, padding="same")(y)
        y = layers.Conv1D(size, 4, padding="same")(layers.ReLU()(layers.BatchNormalization()(y)))
        y = layers.BatchNormalization(scale=False)(y)
        if short.shape[-1] != size or stride != 1:
            short = layers.Conv1D(size, 1, strides=stride, padding="same")(short)
        y = layers.ReLU(6.0)(layers.add([y, short]))
    y = layers.MaxPooling1D(3, padding="same")(y)
    return k.Model(x, layers.GlobalAveragePooling1D()(layers.ZeroPadding1D((1, 2))(y)))


def stacked_gru(k):
    """A Sequential of recurrent layers, backwards and with dropouts, and a dense layer for each step."""
    layers = k.layers
    return k.Sequential(
        [
            k.Input((None, 5)),
            layers.Masking(0.0),
            layers.GRU(6, return_sequences=True, dropout=0.1, recurrent_dropout=0.1),
            layers.LSTM(5, return_sequences=True, go_backwards=True),
            layers.SimpleRNN(4, return_sequences=True, activation="relu"),
            layers.TimeDistributed(layers.Dense(3, activation="softplus")),
        ]
    )


def autoencoder_lstm(k):
    layers = k.layers
    x = k.Input((8, 3))
    code = layers.LSTM(4)(layers.LSTM(6, return_sequences=True)(x))
    y = layers.LSTM(6, return_sequences=True)(layers.RepeatVector(8)(code))
    return k.Model(x, layers.TimeDistributed(layers.Dense(3))(y), name="lstm-autoencoder")


def time_distributed_images(k):
    """A convolutional model for each frame, then an LSTM."""
    layers = k.layers
    frame = k.Sequential(
        [
            k.Input((8, 8, 2)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
        ]
    )
    x = k.Input((4, 8, 8, 2))
    return k.Model(x, layers.Dense(2)(layers.LSTM(5)(layers.TimeDistributed(frame)(x))))


def operators(k):
    """Python operators and slices on tensors, which become layers of operations."""
    x, y = k.Input((6, 4), name="x"), k.Input((6, 4), name="y")
    z = (x - y) * 2.0 + 1.0 / (x * x + 3.0)
    last = z[:, -1, :]
    middle = z[:, 1:4, ::2]
    return k.Model([x, y], [last, k.layers.Flatten()(middle), -z[:, 2:, 0]])


def expanded(k):
    """Softmax attention over one layer of scores, with axes moved by Permute and RepeatVector."""
    layers = k.layers
    x = k.Input((7, 5))
    states = layers.LSTM(6, return_sequences=True)(x)
    scores = layers.Flatten()(layers.Dense(1, activation="tanh")(states))
    weights = layers.Permute([2, 1])(layers.RepeatVector(6)(layers.Activation("softmax")(scores)))
    context = layers.GlobalAveragePooling1D()(layers.multiply([states, weights]))
    return k.Model(x, [layers.Dense(2, activation="linear")(context), weights])


def capsules(k):
    """A convolution to capsules, compared by Dot over the last of four axes."""
    layers = k.layers
    x = k.Input((8, 8, 1))
    y = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    y = layers.Reshape((-1, 4))(y)
    y = layers.LayerNormalization()(y)
    return k.Model(x, layers.Dot(axes=2, normalize=True)([y, y]))


def volumes(k):
    layers = k.layers
    x = k.Input((6, 8, 8, 1))
    y = layers.Conv3D(4, 3, activation="relu", padding="same")(x)
    y = layers.AveragePooling3D((1, 2, 2))(layers.BatchNormalization(axis=-1)(y))
    y = layers.Conv3DTranspose(2, 2, strides=2)(layers.UpSampling3D((2, 1, 1))(y))
    return k.Model(x, layers.GlobalMaxPooling3D()(y))


def normalizations(k):
    layers = k.layers
    x = k.Input((6, 6, 8))
    y = layers.GroupNormalization(groups=4)(layers.Conv2D(8, 3, groups=2)(x))
    y = layers.Rescaling(1 / 127.5, offset=-1)(y)
    y = layers.GaussianNoise(0.1)(layers.AlphaDropout(0.1)(layers.UnitNormalization()(y)))
    if hasattr(layers, "ThresholdedReLU"):
        y = layers.LayerNormalization(axis=[1, 2])(layers.ThresholdedReLU(0.1)(y))
    return k.Model(x, layers.Softmax(axis=1)(layers.ELU(0.7)(y)))


ZOO = (
    memory_network, factorization, two_towers, luong, one_step_attention, conv_lstm, deep_fm, u_net, wavenet,
    transformer, encoder_of_vae, decoder_of_vae, seq2seq, inception, squeeze_excite, reused_models, dicts,
    siamese, point_net, text_classifier, resnet_1d, stacked_gru, autoencoder_lstm, time_distributed_images,
    operators, expanded, capsules, volumes, normalizations,
)  # fmt: skip


def application(name, size=64):
    """Return a function that builds one of ``keras.applications`` for small images."""

    def build(k):
        return getattr(k.applications, name)(weights=None, input_shape=(size, size, 3), classes=10)

    build.__name__ = name
    return build


LARGE = tuple(
    map(application, ("MobileNetV2", "MobileNetV3Small", "ResNet50", "ResNet50V2", "EfficientNetB0",
                      "DenseNet121", "NASNetMobile", "VGG16"))
)  # fmt: skip


def randomized(k, make):
    """Return a model of the zoo whose biases, offsets and statistics are random too."""
    k.utils.set_random_seed(1)
    model = make(k)
    rng = np.random.default_rng(2)
    model.set_weights(
        [
            array + rng.uniform(0, 0.2, array.shape).astype(array.dtype)
            if array.ndim <= 1 and array.dtype.kind == "f"
            else array
            for array in model.get_weights()
        ]
    )
    return model
