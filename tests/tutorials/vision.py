"""Vision: a siamese network and PointNet; see recommenders.py."""

from typing import Any

import numpy as np

POINTS, CLASSES = 16, 3


def siamese(keras: Any, parts: Any) -> Any:
    """mnist_siamese: the distance of two images after one network, with the contrastive loss."""
    layers, K = keras.layers, keras.backend  # noqa: N806

    def euclidean_distance(vects: Any) -> Any:
        x, y = vects
        sum_square = K.sum(K.square(x - y), axis=1, keepdims=True)
        return K.sqrt(K.maximum(sum_square, K.epsilon()))

    def eucl_dist_output_shape(shapes: Any) -> Any:
        shape1, _shape2 = shapes
        return (shape1[0], 1)

    def contrastive_loss(y_true: Any, y_pred: Any) -> Any:
        margin = 1
        square_pred = K.square(y_pred)
        margin_square = K.square(K.maximum(margin - y_pred, 0))
        return K.mean(y_true * square_pred + (1 - y_true) * margin_square)

    def create_base_network(input_shape: Any) -> Any:
        input = keras.Input(shape=input_shape)
        x = layers.Flatten()(input)
        x = layers.Dense(16, activation="relu")(x)
        x = layers.Dropout(0.1)(x)
        x = layers.Dense(16, activation="relu")(x)
        return keras.Model(input, x)

    base_network = create_base_network((6, 6))
    input_a = keras.Input(shape=(6, 6))
    input_b = keras.Input(shape=(6, 6))
    processed_a = base_network(input_a)
    processed_b = base_network(input_b)
    distance = layers.Lambda(euclidean_distance, output_shape=eucl_dist_output_shape)(
        [processed_a, processed_b]
    )
    return keras.Model([input_a, input_b], distance), contrastive_loss


def point_net(keras: Any, parts: Any) -> Any:
    """Points, turned by matrices that the network computes, with a regularizer that keeps them orthogonal."""
    layers, K = keras.layers, keras.backend  # noqa: N806

    def conv_bn(x: Any, filters: int, name: str) -> Any:
        x = parts.conv1d(x, filters, 1, f"{name}_conv")
        x = parts.batch_norm(x, f"{name}_bn")
        return layers.Activation("relu")(x)

    def dense_bn(x: Any, filters: int, name: str) -> Any:
        x = layers.Dense(filters, name=f"{name}_dense")(x)
        x = parts.batch_norm(x, f"{name}_bn")
        return layers.Activation("relu")(x)

    class OrthogonalRegularizer(keras.regularizers.Regularizer):
        def __init__(self, num_features: int, l2reg: float = 0.001) -> None:
            self.num_features = num_features
            self.l2reg = l2reg
            self.eye = K.eye(num_features)

        def __call__(self, x: Any) -> Any:
            x = K.reshape(x, (-1, self.num_features, self.num_features))
            xxt = K.batch_dot(x, x, axes=(2, 2))
            return K.sum(self.l2reg * K.square(xxt - self.eye))

    def tnet(inputs: Any, num_features: int, name: str) -> Any:
        bias = keras.initializers.Constant(np.eye(num_features).flatten())
        reg = OrthogonalRegularizer(num_features)
        x = conv_bn(inputs, 8, f"{name}1")
        x = conv_bn(x, 16, f"{name}2")
        x = parts.max_over_steps(x)
        x = dense_bn(x, 8, f"{name}3")
        x = layers.Dense(
            num_features * num_features,
            kernel_initializer="zeros",
            bias_initializer=bias,
            activity_regularizer=reg,
            name=f"{name}_matrix",
        )(x)
        feat_t = layers.Reshape((num_features, num_features))(x)
        return layers.Dot(axes=(2, 1))([inputs, feat_t])

    inputs = keras.Input(shape=(POINTS, 3))
    x = tnet(inputs, 3, "a")
    x = conv_bn(x, 8, "b")
    x = tnet(x, 8, "c")
    x = conv_bn(x, 16, "d")
    x = parts.max_over_steps(x)
    x = dense_bn(x, 8, "e")
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(CLASSES, activation="softmax", name="classes")(x)
    return keras.Model(inputs=inputs, outputs=outputs, name="pointnet"), "sparse_categorical_crossentropy"
